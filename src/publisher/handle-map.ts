/**
 * Engine handle → own key: how `tokens` mode knows the blocks that an event names by the engine's hash.
 *
 * Both are 64 bits, as two u32 lanes: an entry is 16 bytes, four of them to a cache line. Small open-addressing tables,
 * 64 at first, found by the handle's last bits: one that is full grows, and is split by one more bit where it would be
 * larger than some thousands of entries, so that a pause is short however many there are (extendible hashing). A handle outlives the last copy of its block, since a slower tier or a child may
 * still name it: the last ones whose blocks the engine removed are remembered, and forgotten first in, first out. What
 * blocks leave otherwise (dropped, void) is found by a hand that goes round while there are many more handles than held
 * blocks, a few places per insertion, and drops what was found unheld twice.
 * @module
 */
import { MAX_LOAD, STRIDE, Table } from "./handle-table.js";

/** Bits that the first tables are found by, and the most that any is: handles that are alike in these share one. */
const FIRST_BITS = 6;
const MOST_BITS = 14;
const FIRST_CAPACITY = 16;
/** Entries of a table that is not split yet: to copy as many takes a third of a millisecond. */
const MAX_CAPACITY = 8192;
const GROWTH = 1.5;
/** Handles of removed blocks that are kept: a power of two. */
const KEPT_REMOVED = 2048;
/** So many at a time are forgotten. */
const FORGOTTEN = 32;
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

/** What was read ahead. Of no meaning, but what is not used would not be read. */
const ahead = { words: 0 };

export class HandleMap {
  /** The last {@link get}'s own key. */
  ownHi = 0;
  ownLo = 0;
  size = 0;
  readonly #options: HandleMapOptions;
  /** By the last bits of a handle's low lane: a table of fewer bits is there several times. */
  #tables: (Table | undefined)[] = newTables();
  #mask = 2 ** FIRST_BITS - 1;
  /** The last handles that {@link removed} was told of, in a ring. */
  #removed: Uint32Array | undefined;
  #removals = 0;
  #bytes = 0;
  #handTable = 0;
  #handAt = 0;

  constructor(options: HandleMapOptions) {
    this.#options = options;
  }

  /** Bytes of the tables, as reserved. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the handle is known; then {@link ownHi} and {@link ownLo} are its own key. */
  get(hi: number, lo: number): boolean {
    const table = this.#tables[lo & this.#mask];
    if (table === undefined) return false;
    const { words } = table;
    const at = table.find(hi, lo);
    this.ownHi = words[at + 2]!;
    this.ownLo = words[at + 3]!;
    return (this.ownHi | this.ownLo) !== 0;
  }

  /** Remember a handle's own key. False if memory was refused and the handle was not kept, and for the own key 0. */
  set(hi: number, lo: number, ownHi: number, ownLo: number, heldBlocks: number): boolean {
    if ((ownHi | ownLo) === 0) return false;
    if (this.size > 2 * heldBlocks + 2 * KEPT_REMOVED) this.#age();
    let table = this.#tables[lo & this.#mask];
    if (table === undefined || table.isFull) {
      if (!(table === undefined ? this.#open(lo) : this.#grow(table, lo))) return false;
      table = this.#tables[lo & this.#mask]!;
    }
    if (table.put(hi, lo, ownHi, ownLo)) this.size++;
    return true;
  }

  /**
   * The own keys of some blocks' handles, pairs `[hi, lo]` as these, into `own` at their places.
   * @returns the first block whose handle is not known, or `to`
   */
  getAll(handles: Uint32Array, own: Uint32Array, from: number, to: number): number {
    for (let block = from; block < to; block++) {
      const known = this.get(handles[2 * block]!, handles[2 * block + 1]!);
      own[2 * block] = this.ownHi;
      own[2 * block + 1] = this.ownLo;
      if (!known) return block;
    }
    return to;
  }

  /**
   * As {@link set}, of some blocks' handles.
   * @returns the first block whose handle was not kept, or `to`
   */
  setAll(handles: Uint32Array, own: Uint32Array, to: number, heldBlocks: number): number {
    if (to > 1) this.readAhead(handles, 0, to);
    for (let i = 0; i < 2 * to; i += 2)
      if (!this.set(handles[i]!, handles[i + 1]!, own[i]!, own[i + 1]!, heldBlocks)) return i / 2;
    return to;
  }

  /** As {@link removed}, of all these handles. */
  removedAll(handles: Uint32Array): void {
    for (let i = 0; i < handles.length; i += 2) this.removed(handles[i]!, handles[i + 1]!);
  }

  /** The handle's block is not held any more: it is forgotten after so many others, unless it is set again before. */
  removed(hi: number, lo: number): void {
    if (this.#removed === undefined) {
      if (!this.#reserve(KEPT_REMOVED * 8)) return; // the hand finds it
      this.#removed = new Uint32Array(2 * KEPT_REMOVED);
    }
    this.#tables[lo & this.#mask]?.noteUnheld(hi, lo);
    const at = 2 * (this.#removals++ & (KEPT_REMOVED - 1));
    this.#removed[at] = hi;
    this.#removed[at + 1] = lo;
    if (this.#removals % FORGOTTEN === 0 && this.#removals >= KEPT_REMOVED) this.#forgetOldest(this.#removed);
  }

  /** The oldest of the ring make room for the next. */
  #forgetOldest(ring: Uint32Array): void {
    const from = this.#removals & (KEPT_REMOVED - 1);
    this.readAhead(ring, from, from + FORGOTTEN);
    for (let i = 2 * from; i < 2 * (from + FORGOTTEN); i += 2)
      if (this.#tables[ring[i + 1]! & this.#mask]?.removeUnheld(ring, i)) this.size--;
  }

  /** Read where some handles are looked for, so that memory is waited for once and not handle by handle. */
  readAhead(handles: Uint32Array, from: number, to: number): void {
    let words = 0;
    for (let i = 2 * from; i < 2 * to; i += 2) {
      const table = this.#tables[handles[i + 1]! & this.#mask];
      if (table !== undefined) words ^= table.firstWord(handles[i]!, handles[i + 1]!);
    }
    ahead.words = words;
  }

  /** Forget a handle, if it is known. */
  delete(hi: number, lo: number): void {
    const table = this.#tables[lo & this.#mask];
    if (table === undefined || !this.get(hi, lo)) return;
    table.remove(table.find(hi, lo));
    this.size--;
  }

  clear(): void {
    this.#options.reserve(-this.#bytes);
    this.#tables = newTables();
    this.#mask = this.#tables.length - 1;
    this.#removed = undefined;
    this.size = this.#removals = this.#bytes = this.#handTable = this.#handAt = 0;
  }

  #reserve(bytes: number): boolean {
    if (!this.#options.reserve(bytes)) return false;
    this.#bytes += bytes;
    return true;
  }

  #open(lo: number): boolean {
    // They fill alike: of one size they would all grow at the same moment.
    const share = (lo & (2 ** FIRST_BITS - 1)) / 2 ** FIRST_BITS;
    const capacity = Math.round(FIRST_CAPACITY * GROWTH ** share);
    if (!this.#reserve(Table.bytesOf(capacity))) return false;
    this.#place(new Table(capacity, FIRST_BITS), lo);
    return true;
  }

  /** Make room in a full table: returns false if memory was refused. */
  #grow(old: Table, lo: number): boolean {
    const capacity = Math.ceil(old.capacity * GROWTH);
    if (capacity > MAX_CAPACITY && old.bits < MOST_BITS) return this.#split(old, lo);
    if (!this.#reserve(Table.bytesOf(capacity) - old.bytes)) return false;
    const table = new Table(capacity, old.bits);
    table.takeAll(old);
    this.#place(table, lo);
    return true;
  }

  /** Two tables for one, each with those of one value of the next bit. Both have room. */
  #split(old: Table, lo: number): boolean {
    const bit = 1 << old.bits;
    const counts = old.countBy(bit);
    const [low, high] = counts.map((count) => Math.max(FIRST_CAPACITY, roomFor(count))) as [number, number];
    if (!this.#reserve(Table.bytesOf(low) + Table.bytesOf(high) - old.bytes)) return false;
    if (bit > this.#mask) {
      this.#tables.push(...this.#tables);
      this.#mask = this.#tables.length - 1;
    }
    for (const [value, capacity] of [
      [0, low],
      [bit, high],
    ] as const) {
      const table = new Table(capacity, old.bits + 1);
      table.takeAll(old, bit, value);
      this.#place(table, (lo & (bit - 1)) | value);
    }
    return true;
  }

  /** Where all handles find it that are alike with `lo` in its bits. */
  #place(table: Table, lo: number): void {
    const step = 2 ** table.bits;
    for (let at = lo & (step - 1); at < this.#tables.length; at += step) this.#tables[at] = table;
  }

  #age(): void {
    for (let looks = 0, places = 0; looks < HAND_LOOKS && places < HAND_PLACES; places++) {
      const table = this.#tables[this.#handTable];
      // A table that is there several times is looked at once.
      const isSeen = table !== undefined && this.#handTable >>> table.bits !== 0;
      if (table === undefined || isSeen || this.#handAt >= table.words.length) {
        this.#handTable = (this.#handTable + 1) & this.#mask;
        this.#handAt = 0;
        continue;
      }
      const { words } = table;
      const at = this.#handAt;
      this.#handAt += STRIDE;
      if ((words[at + 2]! | words[at + 3]!) === 0) continue;
      looks++;
      const isHeld = this.#options.isHeld(words[at + 2]!, words[at + 3]!, words[at]!, words[at + 1]!);
      if (!table.noteHeld(at, isHeld)) continue;
      table.remove(at);
      // Another entry may have moved here.
      this.#handAt = at;
      this.size--;
    }
  }
}

const newTables = (): (Table | undefined)[] => new Array<Table | undefined>(2 ** FIRST_BITS).fill(undefined);

/** Capacity for so many entries and as many again as a table grows by. */
const roomFor = (count: number): number => Math.ceil((count / MAX_LOAD) * GROWTH);
