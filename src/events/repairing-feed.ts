/**
 * One engine's frames with what was lost put back: live frames go in, frames in sequence come out.
 *
 * A new connection, a gap, a late join or a restart seen late holds the live frames back, asks the engine for what is
 * missing, lets that out first and then what was held. Where the engine has it no more or does not answer, what was held goes out as it is,
 * with its gap: live events always flow in the end, and whoever reads the sequence sees what is missing. That is asked
 * for again later while the engine is idle, and not once newer frames are out: an older one behind them would say what is
 * overtaken.
 * @module
 */
import type { KvFrame } from "../types.js";
import { peekBatchTime } from "./decode.js";
import type { ReplayedBatch } from "./replay-client.js";

/**
 * `full`: ask for everything missing, from the engine's first frame on. `gap-only`: only for what is missing after frames
 * that were seen. Either asks as soon as there is a connection, so that an idle engine is known too.
 */
export type ReplayPolicy = "full" | "gap-only";

export interface RepairingFeedOptions {
  readonly policy: ReplayPolicy;
  /** Live frames held during a repair: at most this many bytes; then it is given up. */
  readonly maxHeldBytes: number;
  /** Failed repairs are followed by this long without asking, doubling up to 32 times. Milliseconds of `now`. */
  readonly coolDownMs: number;
  readonly now: () => number;
  /** A live frame's payload is not to be kept. */
  readonly lendsPayloads?: boolean;
  /**
   * What a frame is made of that no live one came with. Told the topic, or null where the engine's replay does not say it
   * and no frame has; undefined if such frames are not to be taken. Without it nothing is asked before a live frame comes.
   */
  readonly blank?: (topic: string | null) => Omit<KvFrame, "seq" | "payload"> | undefined;
  /** Ask the engine. Rejects if it does not answer; ends when `onBatch` says `false`. */
  replay(
    start: bigint,
    until: bigint,
    onBatch: (batch: ReplayedBatch) => unknown,
    signal: AbortSignal,
  ): Promise<void>;
  /** Call `run` in so many milliseconds, unless what it returns is called before. */
  later(ms: number, run: () => void): () => void;
  /** A frame, in its place in the sequence. A promise holds a replay back. */
  emit(frame: KvFrame): void | Promise<void>;
  /** A repair began, or came to its end. */
  onRepair(repair: Repair): void;
}

export interface Repair {
  /** `repaired` with nothing replayed: there is nothing to be had, as from an engine that has published nothing. */
  readonly state: "asking" | "repaired" | "partly" | "failed";
  /**
   * First number asked for (after frames seen the last of them, as a proof), and the first not asked for; null: all that
   * the engine has, at a new connection.
   */
  readonly start: bigint;
  readonly until: bigint | null;
  /** How many of them came. */
  readonly replayed: number;
  readonly error?: unknown;
}

/** What the engine answered. */
interface Answer {
  first: bigint | undefined;
  last: bigint | undefined;
  replayed: number;
  /** Not by the process whose frames were seen before the gap. */
  foreign: boolean;
  /** A frame of a newer process, kept until it is known whether that has older ones. */
  kept: KvFrame | undefined;
}

const NOTHING: Answer = { first: undefined, last: undefined, replayed: 0, foreign: false, kept: undefined };
/** After every number that a frame can have. */
const END = 2n ** 64n - 1n;
/** What is asked again is asked up to this part later, at random: routers that failed together are not to ask in step. */
const JITTER = 0.5;
/** Where connections come and go, so many of them are asked at within one cool-down. */
const ASKS_PER_COOL_DOWN = 5;

export class RepairingFeed {
  readonly #options: RepairingFeedOptions;
  /** The last frame's number, batch time (NaN: unreadable) and length: they tell whether a replayed one is the same. */
  #last: bigint | undefined;
  #lastTs = Number.NaN;
  #lastLength = 0;
  #lastTopic: string | null = null;
  #lastReceivedAt = 0;
  #newestTs = Number.NEGATIVE_INFINITY;
  #held: KvFrame[] = [];
  #heldBytes = 0;
  #repairing: AbortController | undefined;
  #failures = 0;
  #quietUntil = Number.NEGATIVE_INFINITY;
  /** When it was asked at connections, the last times. */
  readonly #asks: number[] = [];
  #closed = false;
  #stopWaiting: (() => void) | undefined;

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

  /**
   * There is a connection to the engine: ask for all that it announced before, or since the last frame seen. That frame
   * comes again, as the proof that nothing else did: then its reader knows the engine without waiting for a new one.
   */
  connected(): void {
    const { policy, blank, now, coolDownMs } = this.#options;
    const isKnown = this.#last !== undefined;
    if (this.#closed || this.repairing || blank === undefined || (policy !== "full" && !isKnown)) return;
    const at = now();
    if (at < this.#quietUntil) return;
    if (this.#asks.length === ASKS_PER_COOL_DOWN) {
      if (at - this.#asks[0]! < coolDownMs) return;
      this.#asks.shift();
    }
    this.#asks.push(at);
    void this.#repair(this.#last ?? 0n, undefined);
  }

  /** End a repair under way; what is held goes out as it is, and so does what still comes. */
  close(): void {
    this.#closed = true;
    this.#stopWaiting?.();
    this.#release();
  }

  /** Let a frame out, or begin to repair what is missing before it. */
  #pass(frame: KvFrame): void | Promise<void> {
    const start = this.#closed ? undefined : this.#missingFrom(frame);
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
    return full && frame.seq > 0n && peekBatchTime(frame.payload) > this.#newestTs ? 0n : undefined;
  }

  #emit(frame: KvFrame): void | Promise<void> {
    this.#stopWaiting?.();
    const ts = peekBatchTime(frame.payload);
    if (this.#last === undefined || frame.seq > this.#last || ts > this.#newestTs) {
      this.#last = frame.seq;
      this.#lastTs = ts;
      this.#lastLength = frame.payload.length;
      this.#lastTopic = frame.topic;
      this.#lastReceivedAt = frame.receivedAt;
      if (ts > this.#newestTs) this.#newestTs = ts;
    }
    return this.#options.emit(frame);
  }

  #hold(frame: KvFrame): void {
    this.#held.push(this.#options.lendsPayloads ? { ...frame, payload: frame.payload.slice() } : frame);
    this.#heldBytes += frame.payload.length + 256;
    if (this.#heldBytes > this.#options.maxHeldBytes)
      this.#repairing?.abort(new Error("too many live frames meanwhile"));
  }

  /** Ask for what is missing before a live frame, or without one for all there is. */
  async #repair(start: bigint, live: KvFrame | undefined): Promise<void> {
    const { onRepair, now, coolDownMs, policy } = this.#options;
    const until = live?.seq ?? null;
    const stop = new AbortController();
    this.#repairing = stop;
    onRepair({ state: "asking", start, until, replayed: 0 });
    let answer: Answer = { ...NOTHING };
    let end: Pick<Repair, "state" | "error">;
    try {
      await this.#ask(start, live, answer, stop.signal);
      // The process that made the last one seen would still have that, or newer ones.
      const isGone = live === undefined && start > 0n && answer.first === undefined && !answer.foreign;
      if (answer.kept !== undefined || (isGone && policy === "full")) {
        // Restarted behind the gap: of the new life all is missing.
        start = 0n;
        answer = { ...answer, foreign: false };
        await this.#ask(start, live, answer, stop.signal);
      }
      this.#failures = 0;
      end = { state: isWhole(answer, start, until) ? "repaired" : "partly" };
    } catch (error) {
      this.#quietUntil = now() + coolDownMs * 2 ** Math.min(this.#failures++, 5);
      end = { state: "failed", error };
    }
    // Without it, what is held would pass for the old life's, with a gap before it.
    if (this.#repairing === stop && answer.kept !== undefined) this.#emit(answer.kept);
    onRepair({ ...end, start, until, replayed: answer.replayed });
    if (this.#repairing !== stop) return;
    // Before anything is let out: what is held makes it too late to ask again.
    if (end.state === "failed" && live === undefined && !this.#closed) this.#askLater();
    this.#release(live === undefined ? (answer.last ?? -1n) : undefined);
  }

  /** Ask for what is missing, and let it out as it comes. */
  async #ask(start: bigint, live: KvFrame | undefined, answer: Answer, signal: AbortSignal): Promise<void> {
    const { policy, replay } = this.#options;
    /** The last one seen is asked for too, as the proof that it is still the same life of the engine. */
    let proof = start === this.#last;
    await replay(
      start,
      live?.seq ?? END,
      ({ topic, seq, payload }) => {
        if (signal.aborted) return false;
        // From here on they came live.
        if (live === undefined && this.#held.length > 0 && seq >= this.#held[0]!.seq) return false;
        const like = live ?? this.#options.blank?.(topic ?? this.#lastTopic);
        if (like === undefined) return false;
        const frame = { ...like, topic: topic ?? like.topic, seq, payload };
        if (proof && seq === start && !this.#isLast(payload)) {
          answer.foreign = start > 0n;
          // Its reader knows a new life by an old number under a newer batch time. Where the new life's clock is behind,
          // its first frames would pass for late ones and the others for the old life's: a gap is sure to be seen.
          const isNewer = peekBatchTime(payload) > this.#newestTs;
          if (isNewer && start > 0n && policy === "full") answer.kept = frame;
          if (!isNewer || answer.kept !== undefined) return false;
        }
        // It is no news: its age stays.
        if (proof && seq === start && this.#isLast(payload)) frame.receivedAt = this.#lastReceivedAt;
        proof = false;
        const { kept } = answer;
        answer.kept = undefined;
        if (kept !== undefined && kept.seq < seq) this.#emit(kept);
        answer.first ??= seq;
        answer.last = seq;
        answer.replayed++;
        return this.#emit(frame);
      },
      signal,
    );
    signal.throwIfAborted();
  }

  /** The engine did not answer at a connection, and may be idle: ask it once more, as long as it is. */
  #askLater(): void {
    const wait = (this.#quietUntil - this.#options.now()) * (1 + JITTER * Math.random());
    this.#stopWaiting?.();
    this.#stopWaiting = this.#options.later(wait, () => {
      if (!this.#closed && !this.repairing) void this.#repair(this.#last ?? 0n, undefined);
    });
  }

  #isLast(payload: Uint8Array): boolean {
    return payload.length === this.#lastLength && Object.is(peekBatchTime(payload), this.#lastTs);
  }

  /**
   * Ask no more, and let what was held out as it is: a gap that is left is for the reader of the sequence to see.
   * @param replayed - where all there is was asked for, the last number that came of it (-1: none)
   */
  #release(replayed?: bigint): void {
    this.#repairing?.abort();
    this.#repairing = undefined;
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    for (const [i, frame] of held.entries()) {
      // Came with the replay, and again by itself.
      const isOld = !(peekBatchTime(frame.payload) > this.#newestTs);
      if (replayed !== undefined && frame.seq <= replayed && isOld) continue;
      // The gap before the first was just asked for. A new one between the held is asked for anew.
      if (i === 0 && replayed === undefined) this.#emit(frame);
      else this.take(frame);
    }
  }
}

/** Whether all that was asked for came. A first number of 1 is a publisher that counts from there. */
function isWhole(answer: Answer, start: bigint, until: bigint | null): boolean {
  const { first, last, replayed, foreign } = answer;
  // Nothing at all: there is nothing.
  if (until === null && first === undefined) return !foreign;
  if (first === undefined || foreign || BigInt(replayed) !== (until ?? last! + 1n) - first) return false;
  return first === start || (start === 0n && first === 1n);
}
