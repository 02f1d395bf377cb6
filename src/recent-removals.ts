/**
 * The last removals of all publishers, for explanations: which frame took a block away, or that the memory limit did.
 *
 * Two rings, so their memory is fixed: 65,536 removals of 16 bytes and the 16,384 frames they came in, 1.3 MB at most and no
 * more than a 128th of the memory limit. Keys are remembered by line: a line's number is never used again, so what an
 * engine process that is gone removed is no longer found, without a scan.
 * @module
 */
import type { FrameMark } from "./stream-history.js";

/** What took a block away, and from which of the block index's lines. */
export interface Removal extends FrameMark {
  readonly line: number;
  /** At the memory limit; the frame is the last one before that. */
  readonly dropped: boolean;
}

const MAX_REMOVALS = 65_536;
/** Words of a removal: line, key hi, key lo, number of its frame and whether it was dropped. */
const STRIDE = 4;
/** Frames are counted up to here, and from 0 on again. */
const FRAME_MASK = 2 ** 31 - 1;
const DROPPED = 2 ** 31;
/** Of a removal, with its share of the frames. */
const REMOVAL_BYTES = 4 * STRIDE + 4;
/** Removals to a frame in the rings; with fewer, the frames decide how far back is remembered. */
const PER_FRAME = 4;
/** Of the memory limit, the rings take at most the part one in so many. */
const SHARE = 128;

export class RecentRemovals {
  /** In one array, so that noting one is one write to memory. */
  readonly #removals: Uint32Array;
  readonly #seqs: Float64Array;
  readonly #ats: Float64Array;
  readonly #mask: number;
  readonly #frameMask: number;
  /** Removals noted in all, and frames that they came in. */
  #count = 0;
  #frames = 0;
  /** The frame of what is noted now. */
  #seq = 0;
  #at = 0;
  #isNoted = false;

  /**
   * @param memoryLimitBytes - of the whole index
   * @param reserve - asks for memory; false refuses, and nothing is remembered
   */
  constructor(memoryLimitBytes: number, reserve: (bytes: number) => boolean) {
    const wanted = Math.min(MAX_REMOVALS, memoryLimitBytes / SHARE / REMOVAL_BYTES);
    const size = 2 ** Math.floor(Math.log2(wanted));
    const kept = reserve(size * REMOVAL_BYTES) ? size : 0;
    this.#removals = new Uint32Array(kept * STRIDE);
    this.#seqs = new Float64Array(kept / PER_FRAME);
    this.#ats = new Float64Array(kept / PER_FRAME);
    this.#mask = kept - 1;
    this.#frameMask = kept / PER_FRAME - 1;
  }

  /** What is noted from now on comes from this frame: see {@link FrameMark}. */
  from(seq: number, at: number): void {
    if (seq === this.#seq && at === this.#at) return;
    this.#seq = seq;
    this.#at = at;
    this.#isNoted = false;
  }

  /** Note one of some keys' blocks: as {@link note}, without numbers that are made for the call. */
  noteBlock(line: number, keys: Uint32Array, block: number): void {
    this.note(line, keys[2 * block]!, keys[2 * block + 1]!);
  }

  note(line: number, hi: number, lo: number, dropped = false): void {
    if (!this.#isNoted) this.#noteFrame();
    const at = (this.#count++ & this.#mask) * STRIDE;
    const removals = this.#removals;
    removals[at] = line;
    removals[at + 1] = hi;
    removals[at + 2] = lo;
    removals[at + 3] = dropped ? this.#frames + DROPPED : this.#frames;
  }

  /** The newest removal of a block from one of these lines. Looks at all that is remembered. */
  find(lines: ReadonlySet<number>, hi: number, lo: number): Removal | undefined {
    const removals = this.#removals;
    const remembered = Math.min(this.#count, removals.length / STRIDE);
    for (let back = 1; back <= remembered; back++) {
      const at = ((this.#count - back) & this.#mask) * STRIDE;
      const dropped = removals[at + 3]! >= DROPPED;
      const frame = removals[at + 3]! & FRAME_MASK;
      // Its frame, and that of all before it, has made room for others.
      if (((this.#frames - frame) & FRAME_MASK) > this.#frameMask) return undefined;
      if (removals[at + 2] !== lo || removals[at + 1] !== hi || !lines.has(removals[at]!)) continue;
      const place = frame & this.#frameMask;
      return { line: removals[at]!, seq: this.#seqs[place]!, at: this.#ats[place]!, dropped };
    }
    return undefined;
  }

  #noteFrame(): void {
    this.#isNoted = true;
    this.#frames = (this.#frames + 1) & FRAME_MASK;
    const place = this.#frames & this.#frameMask;
    this.#seqs[place] = this.#seq;
    this.#ats[place] = this.#at;
  }
}
