/**
 * One shard of the block table: open addressing with linear probing over one Uint32Array.
 *
 * An entry is {@link STRIDE} words: `[key hi, key lo, meta, a, b, c]`. A holder word is `slot << 12 | count`, never 0, so
 * an entry is taken when its `a` is not 0. Up to three holders stand in a, b, c; with more, `meta` has {@link CHAINED} and
 * `c` is a list of {@link HolderChunks}. Deleting shifts the entries behind back, so there are no tombstones and a probe
 * ends at the first free entry.
 * @module
 */
import { CHUNK, HolderChunks } from "./holder-chunks.js";
import { NO_OWNER } from "./slots.js";

export const STRIDE = 6;
const META = 2;
const HOLDERS = 3;
/** The last holder's place, or the list's. */
const LIST = 5;
const CHAINED = 4;
/** Warmth of an entry, 0 … 3, in meta's low bits: the clock of eviction counts it down, a lookup sets it to 3. */
const WARMTH = 3;
const STORED_WARMTH = 1;

export const COUNT_BITS = 12;
/** A duplicate count stays here once reached. */
export const MAX_COUNT: number = 2 ** COUNT_BITS - 1;

/** Entries fill at most this part of a shard. Linear probing at 0.8 reads about 3 entries a hit, 13 a miss. */
const MAX_LOAD = 0.8;
const GROWTH = 1.4;
const FIRST_CAPACITY = 8;
const FIRST_CHUNKS = 8;

/** Receives the holders of a block, a run of words at a time. */
export interface HolderSink {
  /** Words `words[from]` … `words[to - 1]` are holders of block number `block`: `slot << 12 | count`. */
  holders(block: number, words: Uint32Array, from: number, to: number): void;
}

/** A well-mixed 32 bits of a block key. Engine keys are hash values already; hand-made ones in tests are not. */
export function mixKey(hi: number, lo: number): number {
  let h = Math.imul(lo ^ Math.imul(hi, 0x85ebca6b), 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 15), 0xc2b2ae35);
  return (h ^ (h >>> 13)) >>> 0;
}

export class Shard {
  words: Uint32Array = new Uint32Array(FIRST_CAPACITY * STRIDE);
  used = 0;
  #capacity = FIRST_CAPACITY;
  #chunks: HolderChunks = new HolderChunks(FIRST_CHUNKS);
  #hand = 0;

  get bytes(): number {
    return this.words.byteLength + this.#chunks.words.byteLength;
  }

  /** Offset of the key's entry, or -1. */
  find(hi: number, lo: number, mixed: number): number {
    const words = this.words;
    const end = words.length;
    let at = this.#home(mixed);
    while (words[at + HOLDERS] !== 0) {
      if (words[at + 1] === lo && words[at] === hi) return at;
      if ((at += STRIDE) === end) at = 0;
    }
    return -1;
  }

  /** Whether one more entry and one more chunk fit without growing. */
  get hasRoom(): boolean {
    return this.#hasPlace && this.#chunks.hasRoom;
  }

  /** Bytes that {@link grow} would add; it needs as much again for the moment of copying. */
  get growthBytes(): number {
    return (
      (this.#grownCapacity - this.#capacity) * STRIDE * 4 +
      (this.#grownChunks - this.#chunks.capacity) * CHUNK * 4
    );
  }

  /** Make room for one more entry and one more chunk. Cost: one pass over this shard. */
  grow(): void {
    this.#rebuild(this.#grownCapacity, this.#grownChunks);
  }

  /** Take a step down in size, dropping the coldest entries where they do not fit any more. */
  shrink(onDrop: HolderSink): void {
    const capacity = Math.max(FIRST_CAPACITY, Math.floor(this.#capacity / GROWTH));
    while (this.used > capacity * MAX_LOAD) this.dropColdest(onDrop);
    // In the smallest table, what is left to give are long lists of holders.
    if (capacity === this.#capacity && this.#chunks.used >= this.#chunks.capacity) {
      const chunks = Math.max(FIRST_CHUNKS, Math.floor(this.#chunks.used / GROWTH));
      while (this.#chunks.used > chunks) this.dropColdest(onDrop);
    }
    this.#rebuild(capacity, Math.max(FIRST_CHUNKS, this.#chunks.used));
  }

  /** Add an entry with its first holder; the key must be absent and {@link hasRoom}. */
  insert(hi: number, lo: number, mixed: number, word: number): void {
    const at = this.#free(mixed);
    this.words[at] = hi;
    this.words[at + 1] = lo;
    this.words[at + META] = STORED_WARMTH;
    this.words[at + HOLDERS] = word;
    this.used++;
  }

  /** Add a holder to an entry; {@link hasRoom} must hold. */
  append(at: number, word: number): void {
    const words = this.words;
    words[at + META]! |= STORED_WARMTH;
    if ((words[at + META]! & CHAINED) !== 0) {
      words[at + LIST] = this.#chunks.append(words[at + LIST]!, word);
      return;
    }
    for (let i = at + HOLDERS; i < at + STRIDE; i++) {
      if (words[i] !== 0) continue;
      words[i] = word;
      return;
    }
    const list = this.#chunks.take(0);
    this.#chunks.append(list, words[at + LIST]!);
    words[at + LIST] = this.#chunks.append(list, word);
    words[at + META]! |= CHAINED;
  }

  /**
   * A reference to the entry's first holder whose slot has the `wanted` value in `ofSlot` (slots' lines, slots' owners),
   * or -1. {@link wordAt}, {@link setWord} and {@link remove} take it.
   */
  holderOf(at: number, wanted: number, ofSlot: Int32Array): number {
    const words = this.words;
    const chained = (words[at + META]! & CHAINED) !== 0;
    const inlineEnd = at + (chained ? LIST : STRIDE);
    for (let i = at + HOLDERS; i < inlineEnd && words[i] !== 0; i++)
      if (ofSlot[words[i]! >>> COUNT_BITS] === wanted) return i;
    if (!chained) return -1;
    const chunks = this.#chunks.words;
    for (let chunk = words[at + LIST]!; chunk !== 0; chunk = chunks[chunk]!)
      for (let i = chunk + 1; i < chunk + CHUNK && chunks[i] !== 0; i++)
        if (ofSlot[chunks[i]! >>> COUNT_BITS] === wanted) return words.length + i;
    return -1;
  }

  wordAt(holder: number): number {
    const inline = this.words.length;
    return holder < inline ? this.words[holder]! : this.#chunks.words[holder - inline]!;
  }

  setWord(holder: number, word: number): void {
    const inline = this.words.length;
    if (holder < inline) this.words[holder] = word;
    else this.#chunks.words[holder - inline] = word;
  }

  /** Remove one holder of the entry; the entry goes with its last. Returns whether the entry is gone. */
  remove(at: number, holder: number): boolean {
    const words = this.words;
    if ((words[at + META]! & CHAINED) !== 0) {
      const head = words[at + LIST]!;
      const last = this.#chunks.pop(head);
      // Unless it was the last itself.
      if (this.wordAt(holder) !== 0) this.setWord(holder, last);
      if (this.#chunks.words[head + 1] !== 0) return false;
      const next = this.#chunks.words[head]!;
      this.#chunks.give(head);
      words[at + LIST] = next;
      if (next === 0) words[at + META]! &= ~CHAINED;
      return false;
    }
    let last = at + STRIDE - 1;
    while (words[last] === 0) last--;
    words[holder] = words[last]!;
    words[last] = 0;
    if (last > at + HOLDERS) return false;
    this.#close(at);
    return true;
  }

  /** Hand all holders of an entry to the sink, and note (unless not `warm`) that it was asked for. */
  visit(at: number, block: number, sink: HolderSink, warm = true): void {
    const words = this.words;
    const meta = words[at + META]!;
    if (warm && (meta & WARMTH) !== WARMTH) words[at + META] = meta | WARMTH;
    const chained = (meta & CHAINED) !== 0;
    let end = at + (chained ? LIST : STRIDE);
    while (words[end - 1] === 0) end--;
    sink.holders(block, words, at + HOLDERS, end);
    if (!chained) return;
    const chunks = this.#chunks.words;
    for (let chunk = words[at + LIST]!; chunk !== 0; chunk = chunks[chunk]!) {
      let to = chunk + CHUNK;
      while (chunks[to - 1] === 0) to--;
      sink.holders(block, chunks, chunk + 1, to);
    }
  }

  /** Remove all holders of dead slots. Cost: one pass over this shard. */
  sweep(ownerOfSlot: Int32Array): void {
    for (let at = 0; at < this.words.length; )
      // An entry that goes is replaced by one from behind it: look at the same place again.
      if (this.words[at + HOLDERS] === 0 || !this.#dropDead(at, ownerOfSlot)) at += STRIDE;
  }

  /** Drop the coldest entry by a clock over this shard (about the least recently stored or asked for). */
  dropColdest(onDrop: HolderSink): void {
    if (this.used === 0) return;
    for (;;) {
      if (this.#hand >= this.words.length) this.#hand = 0;
      const at = this.#hand;
      const words = this.words;
      if (words[at + HOLDERS] === 0) {
        this.#hand += STRIDE;
      } else if ((words[at + META]! & WARMTH) === 0) {
        this.visit(at, 0, onDrop);
        if ((words[at + META]! & CHAINED) !== 0) this.#chunks.giveList(words[at + LIST]!);
        this.#close(at);
        return;
      } else {
        words[at + META]!--;
        this.#hand += STRIDE;
      }
    }
  }

  #dropDead(at: number, ownerOfSlot: Int32Array): boolean {
    for (;;) {
      const dead = this.holderOf(at, NO_OWNER, ownerOfSlot);
      if (dead < 0) return false;
      if (this.remove(at, dead)) return true;
    }
  }

  #home(mixed: number): number {
    // The top bits chose the shard, so the low 22 place the entry: (low / 2^22) × capacity, rounded down.
    return Math.floor(((mixed & 0x3fffff) * this.#capacity) / 0x400000) * STRIDE;
  }

  #free(mixed: number): number {
    let at = this.#home(mixed);
    while (this.words[at + HOLDERS] !== 0) if ((at += STRIDE) === this.words.length) at = 0;
    return at;
  }

  #close(hole: number): void {
    const words = this.words;
    const end = words.length;
    this.used--;
    for (let at = hole; ; ) {
      if ((at += STRIDE) === end) at = 0;
      if (words[at + HOLDERS] === 0) break;
      const home = this.#home(mixKey(words[at]!, words[at + 1]!));
      // Move it back unless its home lies cyclically in (hole, at].
      if (hole <= at ? hole < home && home <= at : hole < home || home <= at) continue;
      words.copyWithin(hole, at, at + STRIDE);
      hole = at;
    }
    words.fill(0, hole, hole + STRIDE);
  }

  /** Copy everything into tables of this size: entries to their places, their lists close together. */
  #rebuild(capacity: number, chunkCapacity: number): void {
    const { words } = this;
    const chunks = this.#chunks;
    this.#capacity = capacity;
    this.words = new Uint32Array(capacity * STRIDE);
    this.#chunks = new HolderChunks(chunkCapacity);
    this.#hand = 0;
    for (let from = 0; from < words.length; from += STRIDE) {
      if (words[from + HOLDERS] === 0) continue;
      const to = this.#free(mixKey(words[from]!, words[from + 1]!));
      for (let i = 0; i < STRIDE; i++) this.words[to + i] = words[from + i]!;
      if ((words[from + META]! & CHAINED) !== 0)
        this.words[to + LIST] = this.#chunks.copyList(chunks, words[from + LIST]!);
    }
  }

  get #hasPlace(): boolean {
    return this.used + 1 <= this.#capacity * MAX_LOAD;
  }

  get #grownCapacity(): number {
    return this.#hasPlace ? this.#capacity : Math.ceil(this.#capacity * GROWTH);
  }

  get #grownChunks(): number {
    const { hasRoom, capacity } = this.#chunks;
    return hasRoom ? capacity : Math.ceil(capacity * GROWTH);
  }
}
