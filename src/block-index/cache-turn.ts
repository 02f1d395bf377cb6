/**
 * How far the cache behind a line has turned over: what ends the suspicion that a gap left, and drops old marks.
 *
 * Caches evict what was not used for the longest time. So when a line was told of as many new blocks as the cache can
 * hold, all that was there before is gone, unless it was used since: removals that a gap lost have all come to pass.
 * @module
 */

/** A cache is taken for full when it evicts what the line knows: net of removals of blocks never heard of, this part. */
const KNOWN_PART = 4;

export class CacheTurn {
  /** Blocks that came new to the line, or again after a gap. */
  stored = 0;
  /**
   * The most blocks it was seen to hold while evicting: what the engine never announces. 0: not known yet. In the unit
   * of `stored`, so it leaves out what also takes room and is never announced, as blocks that are not full.
   */
  capacity = 0;
  /** `stored` at the last gap, and at each gap whose suspects are left. */
  gapAt = 0;
  readonly suspectSince: number[] = [];
  /** The slot of marks from before the last turn, and `stored` then. */
  formerMarks: number | undefined = undefined;
  marksSince = 0;
  /** Removals of known blocks, less those of unknown ones: after joining late or a long gap, most are unknown. */
  #evicted = 0;

  /** Whether the cache has turned over since the last gap. */
  get sinceGap(): boolean {
    return this.hasTurned(this.gapAt);
  }

  /** Whether the cache has turned over since that many blocks were stored. */
  hasTurned(since: number): boolean {
    return this.capacity > 0 && this.stored - since >= this.capacity;
  }

  /**
   * Removals were seen.
   * @param held - blocks that the line held before them
   */
  noteRemovals(evicted: number, unknown: number, held: number): void {
    this.#evicted = Math.min(held, Math.max(0, this.#evicted + evicted - unknown));
    if (evicted > 0 && held > this.capacity && this.#evicted * KNOWN_PART >= held) this.capacity = held;
  }
}
