/**
 * The sequence numbers of one publisher: what a frame's number says about the frames before it.
 *
 * vLLM's publisher counts from 0 per process and has no epoch or instance id. So a number that is not the next one has
 * several meanings, told apart by evidence: a duplicate has the fingerprint of a frame seen before; a restarted process
 * makes new batches under old numbers, or, its clock behind, a run of batches that contradict what was seen; a late frame
 * was made before the last one seen.
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
  /** Of a late frame: it may as well be the first sign of a restart. */
  readonly doubtful?: boolean;
}

const NEXT: Verdict = Object.freeze({ kind: "next", lost: 0n });

/** Frames whose fingerprint is remembered: a process's first ones, which the next one counts through, and its last. */
const FIRST = 64;
const LAST = 64;

/**
 * Late frames in a row, each one more than the one before, that are a restarted engine whose clock is behind: few where
 * their numbers were given to other batches, since a dead process's last frames may come after its successor's first;
 * more where nothing else speaks for it.
 */
const CONTRADICTIONS_TO_RESTART = 3;
const LATE_TO_RESTART = 32;

export class SequenceTracker {
  /** Last number accepted. */
  last: bigint | undefined;
  /** The same as a number, which is compared without making another integer; NaN where it is too large for one. */
  #lastNumber = Number.NaN;
  #lastTs = Number.NEGATIVE_INFINITY;
  /** Batch time of the first frame after a restart: what was made before it is of the dead process. */
  #bornTs = Number.NEGATIVE_INFINITY;
  readonly #prints = new Prints();
  /** The run of late frames: its last number, its length, and how many of them contradict what was seen. */
  readonly #late = { seq: -1n, count: 0, contradictions: 0 };

  /**
   * Judge a frame and, unless it is a duplicate or late, take it as the last.
   * @param ts - the batch's own time, in seconds
   * @param payload - for the fingerprint; only read
   */
  judge(seq: bigint, ts: number, payload: Uint8Array): Verdict {
    const print = fingerprint(payload);
    const verdict = this.#judge(seq, ts, print);
    if (verdict.kind === "duplicate" || verdict.kind === "late") return verdict;
    this.#late.count = this.#late.contradictions = 0;
    if (verdict.kind === "restart") {
      this.#prints.clear();
      this.#bornTs = ts;
    }
    this.#prints.add(seq, print);
    this.last = seq;
    const number = Number(seq);
    this.#lastNumber = number < Number.MAX_SAFE_INTEGER ? number : Number.NaN;
    if (ts > this.#lastTs || verdict.kind === "restart") this.#lastTs = ts;
    return verdict;
  }

  #judge(seq: bigint, ts: number, print: number): Verdict {
    if (Number(seq) === this.#lastNumber + 1 && ts >= this.#bornTs) return NEXT;
    const last = this.last;
    if (last === undefined) return { kind: "first", lost: seq };
    if (seq > last && ts < this.#bornTs) return this.#lateOrRestart(seq, true, false);
    if (seq === last + 1n) return NEXT;
    if (seq > last) return { kind: "gap", lost: seq - last - 1n };
    const before = this.#prints.of(seq);
    if (before === print) return { kind: "duplicate", lost: 0n };
    // Batches of one process never go back in time, save by a clock set back.
    return ts > this.#lastTs
      ? { kind: "restart", lost: seq }
      : this.#lateOrRestart(seq, before !== undefined, before !== undefined);
  }

  /** A frame made before others: late, or in a run of such frames a restarted engine's whose clock is behind. */
  #lateOrRestart(seq: bigint, doubtful: boolean, contradicts: boolean): Verdict {
    const restarted = this.#isRestartBehind(seq, contradicts);
    return restarted ? { kind: "restart", lost: seq } : { kind: "late", lost: 0n, doubtful };
  }

  #isRestartBehind(seq: bigint, contradicts: boolean): boolean {
    const run = this.#late;
    if (seq !== run.seq + 1n) run.count = run.contradictions = 0;
    run.seq = seq;
    run.count++;
    if (contradicts) run.contradictions++;
    // What follows a contradiction number by number is of the same process.
    if (run.contradictions > 0 && !contradicts) run.contradictions++;
    return run.contradictions >= CONTRADICTIONS_TO_RESTART || run.count >= LATE_TO_RESTART;
  }
}

/** Fingerprints of a process's first and last frames, by number. */
class Prints {
  readonly #seqs = new BigUint64Array(FIRST + LAST);
  readonly #prints = new Uint32Array(FIRST + LAST);
  #count = 0;

  add(seq: bigint, print: number): void {
    const at = this.#count < FIRST ? this.#count : FIRST + ((this.#count - FIRST) % LAST);
    this.#seqs[at] = seq;
    this.#prints[at] = print;
    this.#count++;
  }

  of(seq: bigint): number | undefined {
    const end = Math.min(this.#count, FIRST + LAST);
    for (let at = 0; at < end; at++) if (this.#seqs[at] === seq) return this.#prints[at];
    return undefined;
  }

  clear(): void {
    this.#count = 0;
  }
}

/**
 * Like FNV-1a, four bytes at a time: over the length, the first 64 bytes, which the batch time is among, and up to 64 more
 * spread over the rest: tells frames of one publisher apart.
 */
function fingerprint(payload: Uint8Array): number {
  const end = payload.length - 3;
  let h = 0x811c9dc5 ^ payload.length;
  let at = 0;
  for (; at < 64 && at < end; at += 4) h = mix(h, payload, at);
  const step = Math.max(4, Math.floor((payload.length - at) / 16));
  for (; at < end; at += step) h = mix(h, payload, at);
  for (at = Math.max(0, end); at < payload.length; at++) h = Math.imul(h ^ payload[at]!, 0x01000193);
  return h >>> 0;
}

function mix(h: number, bytes: Uint8Array, at: number): number {
  const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
  const mixed = Math.imul(h ^ word, 0x01000193);
  return mixed ^ (mixed >>> 15);
}
