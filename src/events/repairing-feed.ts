/**
 * One engine's frames with what was lost put back: live frames go in, frames in sequence come out.
 *
 * A gap, a late join or a restart seen late holds the live frames back, asks the engine for what is missing, lets that
 * out first and then what was held. Where the engine has it no more or does not answer, what was held goes out as it is,
 * with its gap: live events always flow in the end, and whoever reads the sequence sees what is missing.
 * @module
 */
import type { KvFrame } from "../types.js";
import { peekBatchTime } from "./decode.js";
import type { ReplayedBatch } from "./replay-client.js";

/** `full`: ask for everything missing, from the engine's first frame on. `gap-only`: only for gaps between frames seen. */
export type ReplayPolicy = "full" | "gap-only";

export interface RepairingFeedOptions {
  readonly policy: ReplayPolicy;
  /** Live frames held during a repair: at most this many bytes; then it is given up. */
  readonly maxHeldBytes: number;
  /** Failed repairs are followed by this long without asking, doubling up to 32 times. Milliseconds of `now`. */
  readonly coolDownMs: number;
  readonly now: () => number;
  /** Ask the engine. Rejects if it does not answer. */
  replay(
    start: bigint,
    until: bigint,
    onBatch: (batch: ReplayedBatch) => void,
    signal: AbortSignal,
  ): Promise<void>;
  /** A frame, in its place in the sequence. A promise holds a replay back. */
  emit(frame: KvFrame): void | Promise<void>;
  /** A repair began, or came to its end. */
  onRepair(repair: Repair): void;
}

export interface Repair {
  readonly state: "asking" | "repaired" | "partly" | "failed";
  /** First number missing, and the first not missing. */
  readonly start: bigint;
  readonly until: bigint;
  /** How many of them came. */
  readonly replayed: number;
  readonly error?: unknown;
}

export class RepairingFeed {
  readonly #options: RepairingFeedOptions;
  #last: bigint | undefined;
  #lastTs = Number.NEGATIVE_INFINITY;
  #held: KvFrame[] = [];
  #heldBytes = 0;
  #repairing: AbortController | undefined;
  #failures = 0;
  #quietUntil = Number.NEGATIVE_INFINITY;

  constructor(options: RepairingFeedOptions) {
    this.#options = options;
  }

  /** Whether live frames are held while the engine is asked. */
  get repairing(): boolean {
    return this.#repairing !== undefined;
  }

  /** Take a live frame. The promise, if any, is the reader's who is not ready for the next. */
  take(frame: KvFrame): void | Promise<void> {
    if (this.#repairing === undefined) return this.#pass(frame);
    this.#hold(frame);
  }

  /** End a repair under way; what is held goes out. */
  close(): void {
    this.#repairing?.abort();
    this.#release();
  }

  /** Let a frame out, or begin to repair what is missing before it. */
  #pass(frame: KvFrame): void | Promise<void> {
    const start = this.#missingFrom(frame);
    if (start === undefined || this.#options.now() < this.#quietUntil) return this.#emit(frame);
    this.#hold(frame);
    void this.#repair(start, frame);
  }

  /** First sequence number to ask for, the last one seen included; undefined if nothing is missing. */
  #missingFrom(frame: KvFrame): bigint | undefined {
    const last = this.#last;
    const full = this.#options.policy === "full";
    if (last === undefined) return full && frame.seq > 0n ? 0n : undefined;
    if (frame.seq > last) return frame.seq > last + 1n ? last : undefined;
    // An old number under a new batch time: the engine was restarted, and its first frames were missed.
    return full && frame.seq > 0n && peekBatchTime(frame.payload) > this.#lastTs ? 0n : undefined;
  }

  #emit(frame: KvFrame): void | Promise<void> {
    const ts = peekBatchTime(frame.payload);
    const isNew = this.#last === undefined || frame.seq > this.#last || ts > this.#lastTs;
    if (isNew) {
      this.#last = frame.seq;
      if (!Number.isNaN(ts)) this.#lastTs = ts;
    }
    return this.#options.emit(frame);
  }

  #hold(frame: KvFrame): void {
    this.#held.push(frame);
    this.#heldBytes += frame.payload.length + 256;
    if (this.#heldBytes > this.#options.maxHeldBytes)
      this.#repairing?.abort(new Error("too many live frames meanwhile"));
  }

  async #repair(start: bigint, live: KvFrame): Promise<void> {
    const { replay, onRepair } = this.#options;
    const until = live.seq;
    const controller = new AbortController();
    this.#repairing = controller;
    onRepair({ state: "asking", start, until, replayed: 0 });
    let replayed = 0;
    let first: bigint | undefined;
    try {
      await replay(
        start,
        until,
        ({ topic, seq, payload }) => {
          if (this.#repairing !== controller || controller.signal.aborted) return undefined;
          first ??= seq;
          replayed++;
          return this.#emit({ ...live, topic: topic ?? live.topic, seq, payload });
        },
        controller.signal,
      );
      // The last one seen is asked for too, as the proof that it is still the same life of the engine. A first number of
      // 1 is a publisher that counts from there.
      const whole =
        this.#last === until - 1n &&
        first !== undefined &&
        (first <= start || (start === 0n && first === 1n));
      this.#failures = 0;
      onRepair({ state: whole ? "repaired" : "partly", start, until, replayed });
    } catch (error) {
      this.#quietUntil = this.#options.now() + this.#options.coolDownMs * 2 ** Math.min(this.#failures++, 5);
      onRepair({ state: "failed", start, until, replayed, error });
    }
    if (this.#repairing === controller) this.#release();
  }

  /** Let what was held out, as it is: a gap that is left is for the reader of the sequence to see. */
  #release(): void {
    this.#repairing = undefined;
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    for (const [i, frame] of held.entries()) {
      // The gap before the first was just asked for. A new one between the held is asked for anew.
      if (i === 0) this.#emit(frame);
      else this.take(frame);
    }
  }
}
