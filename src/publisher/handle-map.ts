/**
 * Engine handle → own key: how `tokens` mode knows the blocks that an event names by the engine's hash.
 *
 * Both are 64 bits, as two u32 lanes. 64 small open-addressing tables, so that growing one is a short pause. A handle
 * outlives the last copy of its block, since a slower tier or a child may still name it; while there are many more
 * handles than held blocks a hand goes round, a few places per insertion, and drops what was found unheld twice.
 * @module
 */

const SHARDS = 64;
const STRIDE = 5;
const FIRST_CAPACITY = 16;
const GROWTH = 1.5;
const MAX_LOAD = 0.75;
/** In an entry's flags: taken; and found unheld by the hand once. */
const TAKEN = 1;
const UNHELD = 2;
/** Entries that the hand looks at per insertion: more than two, as each is looked at twice before it goes. */
const HAND_LOOKS = 4;
/** Places that it passes for them at most, taken or free. */
const HAND_PLACES = 32;

export interface HandleMapOptions {
  /** Ask for memory (negative: give it back). False refuses. */
  reserve(bytes: number): boolean;
  /** Whether an entry is still of use: the publisher holds the own key on any tier. The handle comes last. */
  isHeld(ownHi: number, ownLo: number, hi: number, lo: number): boolean;
}

export class HandleMap {
  /** The last {@link get}'s own key. */
  ownHi = 0;
  ownLo = 0;
  size = 0;
  readonly #options: HandleMapOptions;
  readonly #tables: Uint32Array[] = [];
  readonly #used: number[] = [];
  #bytes = 0;
  #handTable = 0;
  #handAt = 0;

  constructor(options: HandleMapOptions) {
    this.#options = options;
  }

  /** Whether the handle is known; then {@link ownHi} and {@link ownLo} are its own key. */
  get(hi: number, lo: number): boolean {
    const table = this.#tables[lo & (SHARDS - 1)];
    if (table === undefined) return false;
    const at = find(table, hi, lo);
    if (table[at + 4] === 0) return false;
    this.ownHi = table[at + 2]!;
    this.ownLo = table[at + 3]!;
    return true;
  }

  /** Remember a handle's own key. False if memory was refused and the handle was not kept. */
  set(hi: number, lo: number, ownHi: number, ownLo: number, heldBlocks: number): boolean {
    if (this.size > 2 * heldBlocks + 4096) this.#age();
    const shard = lo & (SHARDS - 1);
    let table = this.#tables[shard];
    if (table === undefined || (this.#used[shard]! + 1) * STRIDE > table.length * MAX_LOAD) {
      const grown = this.#grow(shard);
      if (grown === undefined) return false;
      table = grown;
    }
    const at = find(table, hi, lo);
    if (table[at + 4] === 0) {
      this.#used[shard]!++;
      this.size++;
    }
    table[at] = hi;
    table[at + 1] = lo;
    table[at + 2] = ownHi;
    table[at + 3] = ownLo;
    table[at + 4] = TAKEN;
    return true;
  }

  /** Forget a handle, if it is known. */
  delete(hi: number, lo: number): void {
    const table = this.#tables[lo & (SHARDS - 1)];
    const at = table === undefined ? 0 : find(table, hi, lo);
    if (table === undefined || table[at + 4] === 0) return;
    remove(table, at);
    this.#used[lo & (SHARDS - 1)]!--;
    this.size--;
  }

  clear(): void {
    this.#options.reserve(-this.#bytes);
    this.#tables.length = this.#used.length = 0;
    this.size = this.#bytes = this.#handTable = this.#handAt = 0;
  }

  #grow(shard: number): Uint32Array | undefined {
    const old = this.#tables[shard];
    // They fill alike: of one size they would all grow at the same moment.
    const first = Math.round(FIRST_CAPACITY * GROWTH ** (shard / SHARDS));
    const capacity = old === undefined ? first : Math.ceil((old.length / STRIDE) * GROWTH);
    const bytes = capacity * STRIDE * 4 - (old?.byteLength ?? 0);
    if (!this.#options.reserve(bytes)) return undefined;
    this.#bytes += bytes;
    const table = new Uint32Array(capacity * STRIDE);
    for (let from = 0; old !== undefined && from < old.length; from += STRIDE) {
      if (old[from + 4] === 0) continue;
      table.set(old.subarray(from, from + STRIDE), find(table, old[from]!, old[from + 1]!));
    }
    this.#tables[shard] = table;
    this.#used[shard] ??= 0;
    return table;
  }

  #age(): void {
    for (let looks = 0, places = 0; looks < HAND_LOOKS && places < HAND_PLACES; places++) {
      const table = this.#tables[this.#handTable];
      if (table === undefined || this.#handAt >= table.length) {
        this.#handTable = (this.#handTable + 1) % SHARDS;
        this.#handAt = 0;
        continue;
      }
      const at = this.#handAt;
      this.#handAt += STRIDE;
      if (table[at + 4] === 0) continue;
      looks++;
      if (this.#options.isHeld(table[at + 2]!, table[at + 3]!, table[at]!, table[at + 1]!))
        table[at + 4] = TAKEN;
      else if ((table[at + 4]! & UNHELD) === 0) table[at + 4]! |= UNHELD;
      else {
        remove(table, at);
        // Another entry may have moved here.
        this.#handAt = at;
        this.#used[this.#handTable]!--;
        this.size--;
      }
    }
  }
}

function home(table: Uint32Array, hi: number, lo: number): number {
  const h = Math.imul((lo >>> 6) ^ Math.imul(hi, 0x85ebca6b), 0x9e3779b1) >>> 0;
  return Math.floor((h * (table.length / STRIDE)) / 2 ** 32) * STRIDE;
}

/** Offset of the handle's entry, or of the free place where it belongs. */
function find(table: Uint32Array, hi: number, lo: number): number {
  let at = home(table, hi, lo);
  while (table[at + 4] !== 0 && (table[at + 1] !== lo || table[at] !== hi))
    if ((at += STRIDE) === table.length) at = 0;
  return at;
}

/** Free an entry; those behind it shift back, so that a probe ends at the first free place. */
function remove(table: Uint32Array, hole: number): void {
  for (let at = hole; ; ) {
    if ((at += STRIDE) === table.length) at = 0;
    if (table[at + 4] === 0) break;
    const wanted = home(table, table[at]!, table[at + 1]!);
    if (hole <= at ? hole < wanted && wanted <= at : hole < wanted || wanted <= at) continue;
    table.copyWithin(hole, at, at + STRIDE);
    hole = at;
  }
  table.fill(0, hole, hole + STRIDE);
}
