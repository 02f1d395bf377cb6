/**
 * The sequence numbers of one publisher: what a frame's number says about the frames before it.
 *
 * vLLM's publisher counts from 0 per process and has no epoch or instance id. So a number that is not the next one has
 * several meanings, told apart by evidence: a duplicate has the fingerprint of a frame seen before; a late frame was
 * made before the last one seen; a restarted process makes new batches under old numbers.
 * @module
 */

/**
 * - `first`: the publisher's first frame, `complete` if it is number 0
 * - `next`: exactly one after the last
 * - `gap`: `lost` frames are missing before it
 * - `duplicate`: seen before
 * - `late`: an older frame out of order; what it says is overtaken
 * - `restart`: the engine process was restarted; `lost` frames of its new life are missing before it
 */
export interface Verdict {
  readonly kind: "first" | "next" | "gap" | "duplicate" | "late" | "restart";
  readonly lost: bigint;
}

/** Frames whose fingerprint is remembered: duplicates further back than this are told by their batch time. */
const RING = 64;

export class SequenceTracker {
  /** Last number accepted. */
  last: bigint | undefined;
  #lastTs = Number.NEGATIVE_INFINITY;
  readonly #seqs = new BigUint64Array(RING);
  readonly #prints = new Uint32Array(RING);
  #count = 0;

  /**
   * Judge a frame and, unless it is a duplicate or late, take it as the last.
   * @param ts - the batch's own time, in seconds; NaN if it could not be read
   * @param payload - for the fingerprint; only read
   */
  judge(seq: bigint, ts: number, payload: Uint8Array): Verdict {
    const print = fingerprint(payload);
    const verdict = this.#judge(seq, ts, print);
    if (verdict.kind === "duplicate" || verdict.kind === "late") return verdict;
    if (verdict.kind === "restart") this.#count = 0;
    this.#seqs[this.#count % RING] = seq;
    this.#prints[this.#count % RING] = print;
    this.#count++;
    this.last = seq;
    if (ts > this.#lastTs || verdict.kind === "restart") this.#lastTs = ts;
    return verdict;
  }

  #judge(seq: bigint, ts: number, print: number): Verdict {
    const last = this.last;
    if (last === undefined) return { kind: "first", lost: seq };
    if (seq === last + 1n) return { kind: "next", lost: 0n };
    if (seq > last) return { kind: "gap", lost: seq - last - 1n };
    for (let i = Math.max(0, this.#count - RING); i < this.#count; i++)
      if (this.#seqs[i % RING] === seq && this.#prints[i % RING] === print)
        return { kind: "duplicate", lost: 0n };
    // An old number with a new batch time is a new process. Batches of one process never go back in time, save by a
    // clock set back: then the frame is taken for a late one, and the next restart or gap heals it.
    return ts > this.#lastTs ? { kind: "restart", lost: seq } : { kind: "late", lost: 0n };
  }
}

/** FNV-1a over the length and up to 256 bytes spread over the payload: tells frames of one publisher apart. */
function fingerprint(payload: Uint8Array): number {
  const step = Math.max(1, Math.floor(payload.length / 256));
  let h = (0x811c9dc5 ^ payload.length) >>> 0;
  for (let i = 0; i < payload.length; i += step) h = Math.imul(h ^ payload[i]!, 0x01000193);
  return h >>> 0;
}
