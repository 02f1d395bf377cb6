/**
 * The block index: block key → who holds it.
 *
 * 1,024 {@link Shard}s of one hash table, so that growing copies a thousandth of it at a time: the pause stays in
 * microseconds where one table would stop the host for seconds. Memory is bounded in bytes: at the limit the coldest
 * entries of the shard that needs room are dropped, and the caller is told whose they were.
 * @module
 */
import { checkInteger } from "../errors.js";
import { dropSink } from "./drops.js";
import {
  type BlockIndexOptions,
  DEFAULT_MEMORY_LIMIT_BYTES,
  type IndexCounts,
  type LookupSink,
  MIN_MEMORY_LIMIT_BYTES,
  zeroCounts,
} from "./index-types.js";
import { COUNT_BITS, type HolderSink, MAX_COUNT, mixKey, Shard } from "./shard.js";
import { type HolderLine, Role, Slots } from "./slots.js";
import { Sweeper } from "./sweeper.js";

const SHARD_BITS = 10;

/** Keys are u32 pairs `[hi, lo]`, end to end; ranges are in blocks. No method allocates per block. */
export class BlockIndex {
  readonly slots: Slots = new Slots();
  readonly counts: IndexCounts = zeroCounts();
  readonly memoryLimitBytes: number;
  readonly #shards: Shard[] = Array.from({ length: 2 ** SHARD_BITS }, () => new Shard());
  readonly #sweeper: Sweeper = new Sweeper(this.slots, this.#shards);
  readonly #dropped: HolderSink;
  readonly #onEvicted: BlockIndexOptions["onEvicted"];
  /** Bytes of all shards: now, and at their smallest. */
  #shardBytes: number;
  readonly #emptyBytes: number;
  #reserved = 0;
  #shrinkAt = 0;

  constructor(options: BlockIndexOptions = {}) {
    this.memoryLimitBytes = checkInteger(
      "memoryLimitBytes",
      options.memoryLimitBytes ?? DEFAULT_MEMORY_LIMIT_BYTES,
      MIN_MEMORY_LIMIT_BYTES,
    );
    this.#shardBytes = this.#emptyBytes = this.#shards.reduce((sum, shard) => sum + shard.bytes, 0);
    this.#dropped = dropSink(this.slots, this.counts, options.onDropped);
    this.#onEvicted = options.onEvicted;
  }

  /** Bytes of the table, the slots and what others have reserved. */
  get usedBytes(): number {
    return this.#shardBytes + this.slots.bytes + this.#reserved;
  }

  /** Entries with at least one holder; those of voided slots count until they are swept. */
  get blocks(): number {
    return this.#shards.reduce((sum, shard) => sum + shard.used, 0);
  }

  /**
   * Count `bytes` kept elsewhere (handle maps, held frames) towards the limit; negative gives them back. At the limit
   * the table shrinks for them, its coldest entries first. Returns false, and counts nothing, if they do not fit at all.
   */
  reserve(bytes: number): boolean {
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
    this.#sweeper.sweepFor(to - from);
    const { slots, counts } = this;
    const slot = this.#slotOf(line, Role.Held);
    for (let block = from; block < to; block++) {
      const hi = keys[2 * block]!;
      const lo = keys[2 * block + 1]!;
      const mixed = mixKey(hi, lo);
      const shard = this.#roomIn(mixed);
      const at = shard.find(hi, lo, mixed);
      const holder = at < 0 ? -1 : shard.holderOf(at, line.id, slots.line);
      if (holder < 0) {
        const word = ((slot << COUNT_BITS) | 1) >>> 0;
        if (at < 0) shard.insert(hi, lo, mixed, word);
        else shard.append(at, word);
        slots.resident[slot]!++;
        counts.admissions++;
        continue;
      }
      const word = shard.wordAt(holder);
      const old = word >>> COUNT_BITS;
      let count = word & MAX_COUNT;
      if (slots.role[old] === Role.Removed) {
        count = 1;
        counts.admissions++;
      } else {
        counts.duplicates++;
        // Of a suspect entry nobody knows how many copies are left: only the new one is sure.
        if (slots.suspect[old] === 1 || !line.countCopies) count = 1;
        else if (count < MAX_COUNT && ++count === MAX_COUNT) counts.saturated++;
      }
      if (old !== slot) {
        slots.resident[old]!--;
        slots.resident[slot]!++;
      }
      shard.setWord(holder, ((slot << COUNT_BITS) | count) >>> 0);
    }
  }

  /**
   * Note a block that no event of the line announced and that must be there (a stored child proves its parent).
   * Nothing happens if the line holds the block already; a suspect one is sure again, in one copy.
   */
  imply(line: HolderLine, hi: number, lo: number): void {
    const { slots } = this;
    const slot = this.#slotOf(line, Role.Implied);
    const mixed = mixKey(hi, lo);
    const shard = this.#roomIn(mixed);
    const at = shard.find(hi, lo, mixed);
    const holder = at < 0 ? -1 : shard.holderOf(at, line.id, slots.line);
    const old = holder < 0 ? 0 : shard.wordAt(holder) >>> COUNT_BITS;
    if (holder >= 0 && slots.role[old] !== Role.Removed && slots.suspect[old] === 0) return;
    const word = ((slot << COUNT_BITS) | 1) >>> 0;
    if (holder >= 0) {
      slots.resident[old]!--;
      shard.setWord(holder, word);
    } else if (at >= 0) shard.append(at, word);
    else shard.insert(hi, lo, mixed, word);
    slots.resident[slot]!++;
    if (slots.suspect[old] === 0) this.counts.admissions++;
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
    this.#sweeper.sweepFor(to - from);
    const { slots, counts } = this;
    const held = left === undefined ? 0 : this.#slotOf(line, Role.Held);
    const mark = line.leaveMarks ? ((this.#slotOf(line, Role.Removed) << COUNT_BITS) | 1) >>> 0 : 0;
    for (let block = from; block < to; block++) {
      const hi = keys[2 * block]!;
      const lo = keys[2 * block + 1]!;
      const mixed = mixKey(hi, lo);
      const shard = line.leaveMarks ? this.#roomIn(mixed) : this.#shards[mixed >>> (32 - SHARD_BITS)]!;
      const at = shard.find(hi, lo, mixed);
      const holder = at < 0 ? -1 : shard.holderOf(at, line.id, slots.line);
      const word = holder < 0 ? 0 : shard.wordAt(holder);
      const slot = word >>> COUNT_BITS;
      if (holder < 0 || slots.role[slot] === Role.Removed) {
        counts.unknownRemovals++;
        // With a copy left it is not gone, though nobody told that it came.
        if (holder >= 0 || mark === 0 || (left?.[block - from] ?? 0) > 0) continue;
        if (at < 0) shard.insert(hi, lo, mixed, mark);
        else shard.append(at, mark);
        this.#onEvicted?.(line.id, hi, lo);
        slots.resident[mark >>> COUNT_BITS]!++;
        continue;
      }
      const count = word & MAX_COUNT;
      // A saturated count no longer knows how many copies there are; keeping it would keep the block for ever. What was
      // counted before the line ceased to count is one.
      const rest = left?.[block - from] ?? (line.countCopies && count < MAX_COUNT ? count - 1 : 0);
      if (rest > 0) {
        const into = left === undefined ? slot : held;
        slots.resident[slot]!--;
        slots.resident[into]!++;
        shard.setWord(holder, ((into << COUNT_BITS) | Math.min(rest, MAX_COUNT)) >>> 0);
        continue;
      }
      slots.resident[slot]!--;
      counts.evictions++;
      this.#onEvicted?.(line.id, hi, lo);
      if (mark === 0) shard.remove(at, holder);
      else {
        slots.resident[mark >>> COUNT_BITS]!++;
        shard.setWord(holder, mark);
      }
    }
  }

  /** Void one block of the line, whatever its count. */
  forget(line: HolderLine, hi: number, lo: number): void {
    const { shard, at, holder } = this.#find(line, hi, lo);
    if (holder < 0) return;
    const slot = shard.wordAt(holder) >>> COUNT_BITS;
    this.slots.resident[slot]!--;
    if (this.slots.role[slot] !== Role.Removed) this.counts.voided++;
    shard.remove(at, holder);
  }

  /** Whether the line holds the block (a mark is not holding). */
  holds(line: HolderLine, hi: number, lo: number): boolean {
    const { shard, holder } = this.#find(line, hi, lo);
    return holder >= 0 && this.slots.role[shard.wordAt(holder) >>> COUNT_BITS] !== Role.Removed;
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
   *
   * @param firstBlock - the number that the sink is told for the first key
   * @returns whether the walk came to the end of the keys
   *
   * Changes nothing but (where `warm`) the warmth of the entries it meets: what lookups ask for is dropped last at the memory limit,
   * so a system prompt that is never announced again stays.
   */
  lookup(keys: Uint32Array, sink: LookupSink, firstBlock = 0, warm = true): boolean {
    for (let i = 0, block = firstBlock; i < keys.length; i += 2, block++) {
      const hi = keys[i]!;
      const lo = keys[i + 1]!;
      const mixed = mixKey(hi, lo);
      const shard = this.#shards[mixed >>> (32 - SHARD_BITS)]!;
      const at = shard.find(hi, lo, mixed);
      if (at >= 0) shard.visit(at, block, sink, warm);
      if (!sink.endBlock(block)) return false;
    }
    return true;
  }

  #find(line: HolderLine, hi: number, lo: number): { shard: Shard; at: number; holder: number } {
    const mixed = mixKey(hi, lo);
    const shard = this.#shards[mixed >>> (32 - SHARD_BITS)]!;
    const at = shard.find(hi, lo, mixed);
    return { shard, at, holder: at < 0 ? -1 : shard.holderOf(at, line.id, this.slots.line) };
  }

  /** The shard of a key, with room for one more entry and one more holder. */
  #roomIn(mixed: number): Shard {
    const shard = this.#shards[mixed >>> (32 - SHARD_BITS)]!;
    if (shard.hasRoom) return shard;
    if (this.usedBytes + shard.growthBytes <= this.memoryLimitBytes) {
      const before = shard.bytes;
      shard.grow();
      this.#shardBytes += shard.bytes - before;
    } else {
      while (!shard.hasRoom) shard.dropColdest(this.#dropped);
    }
    return shard;
  }

  /**
   * The line's slot of a role. Opening one may enlarge the slots' arrays, and the table shrinks to make up for it: to be
   * asked for before an entry is looked for.
   */
  #slotOf(line: HolderLine, role: Role): number {
    const known = line.slots[role];
    if (known !== undefined) return known;
    if (this.slots.isFull) this.#sweeper.sweepAll();
    const slot = this.slots.of(line, role);
    this.#shrinkTo(this.memoryLimitBytes);
    return slot;
  }

  /** Shrink shards, in turn, until no more than `bytes` are in use. Returns false, shrinking nothing, if that cannot be. */
  #shrinkTo(bytes: number): boolean {
    if (this.usedBytes - this.#shardBytes + this.#emptyBytes > bytes) return false;
    while (this.usedBytes > bytes) {
      const shard = this.#shards[this.#shrinkAt]!;
      this.#shrinkAt = (this.#shrinkAt + 1) % this.#shards.length;
      const before = shard.bytes;
      shard.shrink(this.#dropped);
      this.#shardBytes += shard.bytes - before;
    }
    return true;
  }
}
