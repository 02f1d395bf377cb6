/**
 * What a block index is made with, counts and hands out: types and limits.
 * @module
 */
/** Default memory limit: room for about 10 million blocks. */
export const DEFAULT_MEMORY_LIMIT_BYTES: number = 256 * 2 ** 20;
export const MIN_MEMORY_LIMIT_BYTES: number = 2 ** 20;

/** Walks a lookup: the holders of each block in order. */
export interface LookupSink {
  /**
   * Words `words[from]` … `words[to - 1]` are all holders of block number `block`, as `slot << 12 | count`; there are none
   * if nobody holds it. Returns whether to look further.
   */
  block(block: number, words: Uint32Array, from: number, to: number): boolean;
  /** The next `blocks` blocks, at least 1, have the same holders as the one before them. */
  again(blocks: number): void;
}

/** Entries since creation; an entry is one (block, line). */
export interface IndexCounts {
  /** Became resident. */
  admissions: number;
  /** Stored again while resident. */
  duplicates: number;
  /** Last copy removed. */
  evictions: number;
  /** Removals of a block that the line does not hold. */
  unknownRemovals: number;
  /** Voided by {@link BlockIndex.clear} or {@link BlockIndex.clearSuspects}. */
  voided: number;
  /** Dropped to keep the memory limit. */
  dropped: number;
  /** Duplicate counts that reached their maximum and no longer tell copies apart. */
  saturated: number;
}

export interface BlockIndexOptions {
  memoryLimitBytes?: number | undefined;
  /** Called with the owner, the line's id and the block of each entry that the memory limit dropped. */
  onDropped?: ((owner: number, line: number, hi: number, lo: number) => void) | undefined;
  /** Called with a line's id and a block whose last copy it was told is gone: its place among some keys. */
  onEvicted?: ((line: number, keys: Uint32Array, block: number) => void) | undefined;
}

export function zeroCounts(): IndexCounts {
  return {
    admissions: 0,
    duplicates: 0,
    evictions: 0,
    unknownRemovals: 0,
    voided: 0,
    dropped: 0,
    saturated: 0,
  };
}
