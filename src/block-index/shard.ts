/**
 * One shard of the block table: open addressing with linear probing over one Uint32Array.
 *
 * An entry is {@link STRIDE} words: `[key hi, key lo, set << 2 | warmth]`, its third never 0 where there is one. Deleting
 * shifts the entries behind back, so there are no tombstones and a probe ends at the first free entry.
 * @module
 */

export const STRIDE = 3;
/** Offset of an entry's set and warmth. */
export const REF = 2;
export const WARMTH_BITS = 2;
/** Warmth of an entry, 0 … 3: the clock of eviction counts it down, a lookup sets it to 3. */
export const WARMTH = 3;
export const STORED_WARMTH = 1;

/** Entries fill at most this part of a shard. Linear probing at 0.8 reads about 3 entries a hit, 13 a miss. */
const MAX_LOAD = 0.8;
/** Or this one, for as long as its growth waits for other shards'. That of a smaller one is soon done. */
const BEARABLE_LOAD = 0.875;
const BEARABLE_FROM = 1024;
/** A power of two, and so are all after it. */
const FIRST_CAPACITY = 8;

/** Places that are looked at for an entry that nobody holds: so many that a shard near the smallest limit is seen whole. */
const DEAD_LOOKS = 64;

/** Takes an entry that was dropped, by its set and key. */
export type OnDropped = (set: number, hi: number, lo: number) => void;

/** A well-mixed 32 bits of a block key. Engine keys are hash values already; hand-made ones in tests are not. */
export function mixKey(hi: number, lo: number): number {
  let h = Math.imul(lo ^ Math.imul(hi, 0x85ebca6b), 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 15), 0xc2b2ae35);
  return (h ^ (h >>> 13)) >>> 0;
}

/** There are `2 ** SHARD_BITS` shards; a mixed key's first bits say which is its own. */
export const SHARD_BITS = 10;

export class Shard {
  words!: Uint32Array;
  used = 0;
  #capacity!: number;
  #hand = 0;
  /** Where {@link makeRoom} looks next for what is dead. */
  #deadHand = 0;
  readonly #directory: Directory;
  readonly #number: number;

  constructor(directory: Directory, number: number) {
    this.#directory = directory;
    this.#number = number;
    this.#renew(FIRST_CAPACITY);
  }

  get bytes(): number {
    return this.words.byteLength;
  }

  /** Offset of the key's entry; where it has none, of the free place that it would get, inverted (`~`). */
  find(hi: number, lo: number, mixed: number): number {
    const words = this.words;
    const end = words.length;
    let at = (mixed & (this.#capacity - 1)) * STRIDE;
    while (words[at + REF] !== 0) {
      if (words[at + 1] === lo && words[at] === hi) return at;
      if ((at += STRIDE) === end) at = 0;
    }
    return ~at;
  }

  /** Whether one more entry fits without growing. */
  get hasRoom(): boolean {
    return this.used + 1 <= this.#capacity * MAX_LOAD;
  }

  /** Whether it may grow a little later. */
  get bearsMore(): boolean {
    return this.#capacity >= BEARABLE_FROM && this.used + 1 <= this.#capacity * BEARABLE_LOAD;
  }

  /** Bytes that {@link grow} would add; it needs as much again for the moment of copying. */
  get growthBytes(): number {
    return this.words.byteLength;
  }

  /** Make room for as many entries again. Cost: one pass over this shard. */
  grow(): void {
    this.#rebuild(this.#capacity * 2);
  }

  /** Take a step down in size, dropping the coldest entries where they do not fit any more; the smallest is emptied. */
  shrink(onDrop: OnDropped): void {
    const capacity = Math.max(FIRST_CAPACITY, this.#capacity / 2);
    const fit = capacity === this.#capacity ? 0 : capacity * MAX_LOAD;
    while (this.used > fit) this.dropColdest(onDrop);
    if (capacity < this.#capacity) this.#rebuild(capacity);
  }

  /** Add an entry at the place that {@link find} told, which must not be the last free one: see {@link hasRoom} and {@link bearsMore}. */
  insert(at: number, hi: number, lo: number, set: number): void {
    this.words[at] = hi;
    this.words[at + 1] = lo;
    this.words[at + REF] = ((set << WARMTH_BITS) | STORED_WARMTH) >>> 0;
    this.used++;
  }

  /** Give an entry another set; without one, it goes. */
  setAt(at: number, set: number, warmth = 0): void {
    if (set === 0) this.#close(at);
    else this.words[at + REF] = ((set << WARMTH_BITS) | (this.words[at + REF]! & WARMTH) | warmth) >>> 0;
  }

  /** Give every entry the set that `cleaned` makes of its own. Cost: one pass over this shard. */
  sweep(cleaned: (set: number) => number): void {
    for (let at = 0; at < this.words.length; ) {
      const ref = this.words[at + REF]!;
      const set = ref >>> WARMTH_BITS;
      const clean = ref === 0 ? set : cleaned(set);
      if (clean !== set) this.setAt(at, clean);
      // An entry that goes is replaced by one from behind it: look at the same place again.
      if (ref === 0 || clean !== 0) at += STRIDE;
    }
  }

  /** Drop the coldest entry by a clock over this shard (about the least recently stored or asked for). */
  dropColdest(onDrop: OnDropped): void {
    if (this.used === 0) return;
    for (;;) {
      if (this.#hand >= this.words.length) this.#hand = 0;
      const at = this.#hand;
      const ref = this.words[at + REF]!;
      if (ref !== 0 && (ref & WARMTH) === 0) {
        onDrop(ref >>> WARMTH_BITS, this.words[at]!, this.words[at + 1]!);
        this.#close(at);
        return;
      }
      if (ref !== 0) this.words[at + REF] = ref - 1;
      this.#hand += STRIDE;
    }
  }

  /** Make room for one more entry: an entry that nobody holds any more goes first, if there is one among the next few. */
  makeRoom(onDrop: OnDropped, isDead: ((set: number) => boolean) | undefined): void {
    if (isDead === undefined || !this.#dropDead(isDead, onDrop)) this.dropColdest(onDrop);
  }

  #dropDead(isDead: (set: number) => boolean, onDrop: OnDropped): boolean {
    for (let looks = Math.min(DEAD_LOOKS, this.#capacity); looks > 0; looks--) {
      if (this.#deadHand >= this.words.length) this.#deadHand = 0;
      const at = this.#deadHand;
      const set = this.words[at + REF]! >>> WARMTH_BITS;
      if (set !== 0 && isDead(set)) {
        onDrop(set, this.words[at]!, this.words[at + 1]!);
        this.#close(at);
        return true;
      }
      this.#deadHand += STRIDE;
    }
    return false;
  }

  #free(mixed: number): number {
    let at = (mixed & (this.#capacity - 1)) * STRIDE;
    while (this.words[at + REF] !== 0) if ((at += STRIDE) === this.words.length) at = 0;
    return at;
  }

  #close(hole: number): void {
    const words = this.words;
    const end = words.length;
    this.used--;
    for (let at = hole; ; ) {
      if ((at += STRIDE) === end) at = 0;
      if (words[at + REF] === 0) break;
      const home = (mixKey(words[at]!, words[at + 1]!) & (this.#capacity - 1)) * STRIDE;
      // Move it back unless its home lies cyclically in (hole, at].
      if (hole <= at ? hole < home && home <= at : hole < home || home <= at) continue;
      words[hole] = words[at]!;
      words[hole + 1] = words[at + 1]!;
      words[hole + REF] = words[at + REF]!;
      hole = at;
    }
    words[hole] = words[hole + 1] = words[hole + REF] = 0;
  }

  /** Copy everything into a table of this capacity. */
  #rebuild(capacity: number): void {
    const { words } = this;
    this.#renew(capacity);
    this.#hand = 0;
    for (let from = 0; from < words.length; from += STRIDE) {
      if (words[from + REF] === 0) continue;
      const to = this.#free(mixKey(words[from]!, words[from + 1]!));
      this.words[to] = words[from]!;
      this.words[to + 1] = words[from + 1]!;
      this.words[to + REF] = words[from + REF]!;
    }
  }

  /** An empty table of this capacity. */
  #renew(capacity: number): void {
    this.#capacity = capacity;
    this.words = new Uint32Array(capacity * STRIDE);
    this.#directory.words[this.#number] = this.words;
    this.#directory.masks[this.#number] = capacity - 1;
  }
}

/** All shards, and where their entries are, which they keep in step. */
export class Directory {
  /** By shard. */
  readonly words: Uint32Array[] = [];
  /** By shard: how many places it has, less 1. */
  readonly masks: Uint32Array = new Uint32Array(2 ** SHARD_BITS);
  readonly shards: readonly Shard[] = Array.from({ length: 2 ** SHARD_BITS }, (_, i) => new Shard(this, i));
}
