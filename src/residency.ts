/**
 * How a publisher's stores and removals add up, and what that gives away: that its engine announces blocks again which
 * it merely reuses, so that counted copies never run out; or that a slower tier never says what it removes.
 *
 * **What the engine can hold** is not announced, so it is learned. An engine takes each block of its pool once before it
 * evicts anything, so by the first removal of a block that was seen to come, what it has announced (in all attention
 * groups, which share the pool) is its pool but for blocks without a hash: the last one of each request, and no more
 * than one for each that it announced where requests fill a block at least. So the pool is at most twice that, and
 * {@link RUNNING}.
 *
 * **Copies.** With one store for each physical copy, as vLLM announces by default, what was stored and not removed is a
 * part of the pool, however often one block is copied. Beyond the bound it cannot be: most of it was announced again
 * without being there again (`kv_cache_report_mode=full`), or goes without a removal for each copy. Copies are not counted
 * then, and what was counted before is suspect until the engine has turned its pool over.
 *
 * **Tiers.** A tier that has stored {@link HOST_TIMES} or {@link STORE_TIMES} times the engine's pool and removed nothing
 * either is very large or does not say what it removes (LMCache's issue 5076). Its blocks count for nothing until its
 * first removal, which an honest one announces when it is full; after that it is believed.
 * @module
 */
import type { BlockIndex, HolderLine, Tiers } from "./block-index/index.js";

/** Blocks of requests under way that have no hash yet: one for each, of at most 1,024 at once. */
const RUNNING = 1024;
/** How many times its engine's pool host memory is believed to hold. GPU servers have up to about this much more. */
const HOST_TIMES = 16;
/** And a disk or a store, which may be shared. */
const STORE_TIMES = 256;
/** A tier of fewer blocks is not worth a doubt. */
const MIN_STORED = 4096;
/** The engine's own among the tiers. */
const ENGINE = 0;

interface TierTally {
  /** Blocks that became resident there. */
  stored: number;
  removes: boolean;
  doubted: boolean;
}

export class Residency {
  /** Blocks that the engine's pool holds at least, about; 0 until it was seen to evict. */
  capacity = 0;
  /** Copies that were counted when they ceased to be; undefined while they are, and where they never were. */
  countedCopies: number | undefined;
  /** What has become otherwise: {@link countedCopies}, or {@link doubtedTiers}. Whoever tells of it sets it back. */
  changed: "copies" | "tiers" | undefined;

  readonly #index: BlockIndex;
  readonly #tiers: Tiers;
  readonly #lines: () => Iterable<HolderLine>;
  /** Whether copies of the engine's tier are counted, and whether those of others. */
  #counts: boolean;
  readonly #countsElsewhere: boolean;
  /** Blocks that the engine announced before it was seen to evict. */
  #announced = 0;
  /** Stored and not removed since all that was there was known, or since events were lost; and how much of it again. */
  #copies = 0;
  #again = 0;
  /** Blocks that the engine removed since its copies ceased to be counted, until that has emptied its pool. */
  #turnedOver = Number.POSITIVE_INFINITY;
  /** Its removals say how many copies are left: then there is nothing to find out. */
  #saysCopies = false;
  /** Slower tiers. */
  readonly #tallies = new Map<number, TierTally>();

  /**
   * @param counts - copies are counted, until they turn out not to be copies
   * @param lines - all of the publisher's
   */
  constructor(index: BlockIndex, tiers: Tiers, counts: boolean, lines: () => Iterable<HolderLine>) {
    this.#index = index;
    this.#tiers = tiers;
    this.#counts = this.#countsElsewhere = counts;
    this.#lines = lines;
  }

  /** A line was opened. */
  adopt(line: HolderLine): void {
    line.countCopies = line.tier === ENGINE ? this.#counts : this.#countsElsewhere;
    if (this.#tallies.get(line.tier)?.doubted === true) this.#index.slots.doubt(line, true);
  }

  /** Names of the tiers whose blocks count for nothing. */
  get doubtedTiers(): readonly string[] {
    return [...this.#tallies].flatMap(([tier, { doubted }]) => (doubted ? [this.#tiers.names[tier]!] : []));
  }

  /** Blocks that the tiers of {@link doubtedTiers} have stored. */
  get doubtedBlocks(): number {
    let sum = 0;
    for (const { doubted, stored } of this.#tallies.values()) if (doubted) sum += stored;
    return sum;
  }

  /** Add to the index. */
  add(line: HolderLine, keys: Uint32Array, from = 0, to: number = keys.length / 2): void {
    const { counts } = this.#index;
    const { admissions, duplicates } = counts;
    this.#index.add(line, keys, from, to);
    if (line.tier !== ENGINE) {
      this.#storedIn(line.tier, counts.admissions - admissions);
      return;
    }
    this.announcedElsewhere(to - from);
    this.#copies += to - from;
    this.#again += counts.duplicates - duplicates;
    const mostPossible = 2 * this.capacity + RUNNING;
    if (this.capacity === 0 || this.#copies <= mostPossible || 2 * this.#again < this.#copies) return;
    if (this.#counts && !this.#saysCopies) this.#stopCounting();
  }

  /** Blocks of the engine's pool were announced that are not in the index: of a window or state group. */
  announcedElsewhere(blocks: number): void {
    if (this.capacity === 0) this.#announced += blocks;
  }

  /**
   * Take from the index.
   * @param all - how many copies are left of each key, where the engine says so
   */
  evict(
    line: HolderLine,
    keys: Uint32Array,
    all: Uint32Array | null,
    from = 0,
    to: number = keys.length / 2,
  ): void {
    const blocks = to - from;
    const left = all === null || blocks === all.length ? all : all.subarray(from, to);
    if (left !== null && line.leaveMarks) this.#implyLeft(line, keys, from, left);
    const { counts } = this.#index;
    const unknown = counts.unknownRemovals;
    this.#index.evict(line, keys, from, to, left ?? undefined);
    if (blocks === 0) return;
    if (line.tier !== ENGINE) {
      this.#removedIn(line.tier);
      return;
    }
    if (left !== null) this.#saysCopies = true;
    if (this.capacity === 0 && counts.unknownRemovals - unknown < blocks) this.capacity = this.#announced;
    this.#copies = Math.max(0, this.#copies - blocks);
    this.#turnedOver += blocks;
    if (this.#turnedOver < this.capacity || this.#turnedOver === Number.POSITIVE_INFINITY) return;
    this.#turnedOver = Number.POSITIVE_INFINITY;
    for (const own of this.#engineLines()) this.#index.clearSuspects(own);
  }

  /** Removals may have been lost: what was stored before may be gone. */
  lost(): void {
    this.#copies = this.#again = 0;
    if (this.#turnedOver !== Number.POSITIVE_INFINITY) this.#turnedOver = 0;
  }

  /** The engine's tier was cleared. */
  cleared(): void {
    this.#announced = this.#copies = this.#again = 0;
  }

  #stopCounting(): void {
    this.#counts = false;
    this.countedCopies = this.#copies;
    this.changed = "copies";
    this.#turnedOver = 0;
    for (const line of this.#engineLines()) {
      line.countCopies = false;
      this.#index.makeSuspect(line);
    }
  }

  /** Of a block that was never heard of, a copy that is left says as much as a child would. */
  #implyLeft(line: HolderLine, keys: Uint32Array, from: number, left: Uint32Array): void {
    for (let i = 0; i < left.length; i++)
      if (left[i]! > 0) this.#index.imply(line, keys[2 * (from + i)]!, keys[2 * (from + i) + 1]!);
  }

  #storedIn(tier: number, blocks: number): void {
    let tally = this.#tallies.get(tier);
    if (tally === undefined) this.#tallies.set(tier, (tally = { stored: 0, removes: false, doubted: false }));
    tally.stored += blocks;
    const times = this.#tiers.names[tier] === "cpu" ? HOST_TIMES : STORE_TIMES;
    if (tally.removes || tally.doubted || this.capacity === 0) return;
    if (tally.stored >= Math.max(MIN_STORED, times * this.capacity)) this.#doubt(tier, tally, true);
  }

  #removedIn(tier: number): void {
    const tally = this.#tallies.get(tier);
    if (tally === undefined) this.#tallies.set(tier, { stored: 0, removes: true, doubted: false });
    else {
      tally.removes = true;
      if (tally.doubted) this.#doubt(tier, tally, false);
    }
  }

  #doubt(tier: number, tally: TierTally, doubted: boolean): void {
    tally.doubted = doubted;
    this.changed = "tiers";
    for (const line of this.#lines()) if (line.tier === tier) this.#index.slots.doubt(line, doubted);
  }

  *#engineLines(): Iterable<HolderLine> {
    for (const line of this.#lines()) if (line.tier === ENGINE) yield line;
  }
}
