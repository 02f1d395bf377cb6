/**
 * The block index: block key → who holds it.
 *
 * 1,024 {@link Shard}s of one hash table, so that growing copies a thousandth of it at a time. A block's holders are a set
 * that it shares with others (see `holder-sets.ts`). Memory is bounded in bytes: at the limit the coldest entries of the
 * shard that needs room are dropped, and the caller is told whose they were.
 * @module
 */
import { checkInteger } from "../errors.js";
import { dropper } from "./drops.js";
import {
  type BlockIndexOptions,
  DEFAULT_MEMORY_LIMIT_BYTES,
  type IndexCounts,
  type LookupSink,
  MIN_MEMORY_LIMIT_BYTES,
  zeroCounts,
} from "./index-types.js";
import { AHEAD, readAhead, setsOf } from "./read-ahead.js";
import { Directory, mixKey, REF, SHARD_BITS, type Shard, STORED_WARMTH, WARMTH_BITS } from "./shard.js";
import { type HolderLine, Role, Slots } from "./slots.js";
import { Sweeper } from "./sweeper.js";
import { Effect, Transitions, Verb } from "./transitions.js";

const GONE: number = Effect.Evicted | Effect.Marked;
const NOBODY: Uint32Array = new Uint32Array(0);

/** Keys are u32 pairs `[hi, lo]`, end to end; ranges are in blocks. No method allocates per block. */
export class BlockIndex {
  readonly slots: Slots;
  readonly counts: IndexCounts = zeroCounts();
  readonly memoryLimitBytes: number;
  readonly #transitions: Transitions;
  readonly #directory = new Directory();
  readonly #shards: readonly Shard[] = this.#directory.shards;
  readonly #sweeper: Sweeper;
  readonly #dropped: ReturnType<typeof dropper>;
  readonly #onEvicted: BlockIndexOptions["onEvicted"];
  /** Bytes of all shards: now, and at their smallest. */
  #shardBytes: number = this.#shards.reduce((sum, shard) => sum + shard.bytes, 0);
  readonly #emptyBytes: number;
  #reserved = 0;
  #shrinkAt = 0;
  #setBytes = 0; // of the sets, when it was last seen to that all fits
  #hasGrown = false; // a shard, in the call under way
  #lastMet = -1; // the set of the last lookup's last block

  constructor(options: BlockIndexOptions = {}) {
    this.memoryLimitBytes = checkInteger(
      "memoryLimitBytes",
      options.memoryLimitBytes ?? DEFAULT_MEMORY_LIMIT_BYTES,
      MIN_MEMORY_LIMIT_BYTES,
    );
    this.slots = new Slots(this.memoryLimitBytes);
    this.#transitions = new Transitions(this.slots);
    this.#sweeper = new Sweeper(this.slots, this.#shards, this.#transitions);
    this.#emptyBytes = this.#shardBytes + this.#transitions.bytes;
    this.#dropped = dropper(this.slots, this.counts, this.#transitions, options.onDropped);
    this.#onEvicted = options.onEvicted;
  }

  /** Bytes of the table, the sets, the slots and what others have reserved. */
  get usedBytes(): number {
    return this.#shardBytes + this.#transitions.bytes + this.slots.bytes + this.#reserved;
  }

  /** Entries with at least one holder; those of voided slots count until they are swept. */
  get blocks(): number {
    return this.#shards.reduce((sum, shard) => sum + shard.used, 0);
  }

  /**
   * Count `bytes` kept elsewhere (handle maps, held frames) towards the limit; negative gives them back. At the limit
   * the table shrinks for them, its coldest entries first. Returns false, and counts nothing, if they do not fit into
   * three quarters of it.
   */
  reserve(bytes: number): boolean {
    if (bytes > 0 && this.#reserved + bytes > this.memoryLimitBytes * 0.75) return false;
    if (bytes > 0 && !this.#shrinkTo(this.memoryLimitBytes - bytes)) return false;
    this.#reserved += bytes;
    return true;
  }

  /** @throws RangeError if `group` is not within 0 … 31, or `slots.canOpenLine` is false */
  openLine(owner: number, tier: number, group: number): HolderLine {
    return this.slots.openLine(owner, tier, group);
  }

  /** Void everything that the line holds, at once, and let the line go. */
  closeLine(line: HolderLine): void {
    this.clear(line);
    this.slots.closeLine();
  }

  /** Count one more copy of each block under the line. */
  add(line: HolderLine, keys: Uint32Array, from = 0, to: number = keys.length / 2): void {
    this.#change(line, keys, from, to, line.countCopies ? Verb.Add : Verb.AddOnce, Role.Held);
  }

  /**
   * Note a block that no event of the line announced and that must be there (a stored child proves its parent).
   * Nothing happens if the line holds the block already; a suspect one is sure again, in one copy.
   */
  imply(line: HolderLine, hi: number, lo: number): void {
    this.#change(line, Uint32Array.of(hi, lo), 0, 1, Verb.Imply, Role.Implied);
  }

  /**
   * Count one copy less of each block under the line; an entry goes with its last copy.
   * @param left - how many copies are left of each block from `from` on, where that is known
   */
  evict(
    line: HolderLine,
    keys: Uint32Array,
    from = 0,
    to: number = keys.length / 2,
    left?: Uint32Array,
  ): void {
    const role = line.leaveMarks ? Role.Removed : undefined;
    const all = line.leaveMarks ? Verb.EvictAllMark : Verb.EvictAll;
    if (left === undefined) {
      const one = line.leaveMarks ? Verb.EvictMark : Verb.Evict;
      this.#change(line, keys, from, to, line.countCopies ? one : all, role);
      return;
    }
    for (let block = from; block < to; block++) {
      const copies = left[block - from]!;
      if (copies > 0) this.#change(line, keys, block, block + 1, Verb.Set, Role.Held, copies);
      else this.#change(line, keys, block, block + 1, all, role);
    }
  }

  /** Void one block of the line, whatever its count. */
  forget(line: HolderLine, hi: number, lo: number): void {
    this.#change(line, Uint32Array.of(hi, lo), 0, 1, Verb.Forget, undefined);
  }

  /** Whether the line holds the block (a mark is not holding). */
  holds(line: HolderLine, hi: number, lo: number): boolean {
    const mixed = mixKey(hi, lo);
    const shard = this.#shards[mixed >>> (32 - SHARD_BITS)]!;
    const at = shard.find(hi, lo, mixed);
    return at >= 0 && this.#transitions.holds(shard.words[at + REF]! >>> WARMTH_BITS, line);
  }

  /** Void everything that the line holds, at once. */
  clear(line: HolderLine): void {
    this.counts.voided += this.slots.close(line);
  }

  /** What the line holds now may have been removed by a frame that was lost. */
  makeSuspect(line: HolderLine): void {
    this.counts.voided += this.slots.makeSuspect(line);
  }

  /** Void what is still suspect. */
  clearSuspects(line: HolderLine): void {
    this.counts.voided += this.slots.closeSuspects(line);
  }

  /**
   * Walk the holders of some blocks in order, as long as the sink wants.
   * @param firstBlock - the number that the sink is told for the first key
   * @param warm - whether the blocks looked at, a few behind the walk's end among them, are dropped last at the memory limit
   * @param goesOn - the sink was told of the blocks before these by the last lookup, which came to their end
   * @returns whether the walk came to the end of the keys
   *
   * Changes nothing but that warmth: so a system prompt that is asked for and never announced again stays.
   */
  lookup(keys: Uint32Array, sink: LookupSink, firstBlock = 0, warm = true, goesOn = false): boolean {
    const { sets } = this.#transitions;
    let same = 0; // blocks that have the same holders as the last that the sink was told of
    let last = goesOn ? this.#lastMet : -1;
    const blocks = keys.length / 2;
    let found = NOBODY;
    for (let block = 0; block < blocks; block++) {
      if (block % AHEAD === 0) found = setsOf(this.#directory, keys, block, blocks, warm);
      const set = found[block % AHEAD]!;
      if (set === last) {
        same++;
        continue;
      }
      if (same > 0) sink.again(same);
      same = 0;
      last = set;
      const start = set === 0 ? 0 : sets.startOf(set);
      const words = set === 0 ? NOBODY : sets.wordsOf(set);
      if (!sink.block(firstBlock + block, words, start, start + sets.sizeOf(set))) return false;
    }
    if (same > 0) sink.again(same);
    this.#lastMet = last;
    return true;
  }

  /** Do the same to some blocks of a line. */
  #change(
    line: HolderLine,
    keys: Uint32Array,
    first: number,
    end: number,
    verb: Verb,
    role: Role | undefined,
    copies = 0,
  ): void {
    this.#sweeper.sweepFor(end - first);
    this.#hasGrown = false;
    const slot = role === undefined ? 0 : this.#slotOf(line, role);
    const transitions = this.#transitions;
    const onEvicted = this.#onEvicted;
    // Blocks of an event mostly come from one set and go to one: worked out once for as long as that is so.
    let from = -1;
    let to = 0;
    let run = 0;
    for (let block = first; block < end; block++) {
      if ((block - first) % AHEAD === 0 && end - block > 1) readAhead(this.#directory, keys, block, end);
      const hi = keys[2 * block]!;
      const lo = keys[2 * block + 1]!;
      const mixed = mixKey(hi, lo);
      const shard = this.#shards[mixed >>> (32 - SHARD_BITS)]!;
      const at = shard.find(hi, lo, mixed);
      const set = at < 0 ? 0 : shard.words[at + REF]! >>> WARMTH_BITS;
      if (set !== from) {
        transitions.account(from, run, this.counts);
        transitions.of(set, line, slot, verb, copies);
        from = set;
        to = transitions.to;
        run = 0;
      }
      run++;
      if (onEvicted !== undefined && (transitions.effect & GONE) !== 0) onEvicted(line.id, keys, block);
      if (at >= 0) {
        if (to !== set || role !== undefined) shard.setAt(at, to, role === undefined ? 0 : STORED_WARMTH);
      } else if (to !== 0) {
        if (shard.hasRoom) shard.insert(~at, hi, lo, to);
        else {
          // What is dropped for it may be of the sets under way: they are accounted for first.
          transitions.account(from, run, this.counts);
          run = 0;
          this.#makeRoom(shard);
          shard.insert(~shard.find(hi, lo, mixed), hi, lo, to);
        }
      }
    }
    transitions.account(from, run, this.counts);
    // All else that takes memory was asked for where it was taken.
    const setBytes = transitions.sets.bytes;
    if (setBytes === this.#setBytes) return;
    this.#setBytes = setBytes;
    if (this.usedBytes > this.memoryLimitBytes) this.#shrinkTo(this.memoryLimitBytes);
  }

  /** Shards fill alike, and would grow by the handful in one call: large ones wait for another call, as far as they bear it. */
  #makeRoom(shard: Shard): void {
    if (this.#hasGrown && shard.bearsMore) return;
    if (this.usedBytes + shard.growthBytes <= this.memoryLimitBytes) {
      this.#shardBytes += shard.growthBytes;
      shard.grow();
      this.#hasGrown = true;
    } else shard.makeRoom(this.#dropped, this.slots.sweepNeeded ? this.#transitions.isDead : undefined);
  }

  /**
   * The line's slot of a role. Opening one may enlarge the slots' arrays, and the table shrinks to make up for it: to be
   * asked for before an entry is looked for.
   */
  #slotOf(line: HolderLine, role: Role): number {
    const known = line.slots[role];
    if (known !== undefined) return known;
    this.#sweeper.sweepForSlot();
    const slot = this.slots.of(line, role);
    this.#shrinkTo(this.memoryLimitBytes);
    return slot;
  }

  /** Shrink shards, in turn, until no more than `bytes` are in use. Returns false if that cannot be. */
  #shrinkTo(bytes: number): boolean {
    if (this.slots.bytes + this.#reserved + this.#emptyBytes > bytes) return false;
    for (let left = this.#shards.length; this.usedBytes > bytes; left--) {
      if (left === 0) return false;
      const used = this.usedBytes;
      const shard = this.#shards[this.#shrinkAt]!;
      this.#shrinkAt = (this.#shrinkAt + 1) % this.#shards.length;
      const before = shard.bytes;
      if (this.slots.sweepNeeded) this.#sweeper.sweep(shard);
      shard.shrink(this.#dropped);
      this.#shardBytes += shard.bytes - before;
      if (this.usedBytes < used) left = this.#shards.length;
    }
    return true;
  }
}
