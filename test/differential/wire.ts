/**
 * What lies between one engine and the indexers: fates of frames, and the repairing feed where there is a replay socket.
 * @module
 */
import type { KvFrame } from "kvblock";
import { RepairingFeed } from "../../src/events/repairing-feed.js";
import type { Sent } from "./engine.js";
import type { EngineSpec, Fate } from "./scenario.js";

/** Batches that a `truncated` replay can still reach. */
const SHORT_BUFFER = 6;
/** Steps after which a silent replay socket has not answered in time. */
const SILENCE_STEPS = 5;
const COOL_DOWN_STEPS = 10;

interface Pending {
  readonly since: number;
  readonly reject: (reason: Error) => void;
}

export class Wire {
  /** Number of the step, as the feed's clock. */
  now = 0;
  readonly #spec: EngineSpec;
  readonly #deliver: (frame: KvFrame) => void;
  readonly #feed: RepairingFeed | undefined;
  /** All of this life. */
  #published: Sent[] = [];
  #late: Sent[] = [];
  #pending: Pending[] = [];
  #isOpen = false;

  constructor(spec: EngineSpec, deliver: (frame: KvFrame) => void) {
    this.#spec = spec;
    this.#deliver = deliver;
    if (spec.replay !== "none")
      this.#feed = new RepairingFeed({
        policy: "full",
        maxHeldBytes: 1e6,
        coolDownMs: COOL_DOWN_STEPS,
        now: () => this.now,
        replay: (start, until, onBatch, signal) => this.#replay(start, until, onBatch, signal),
        later: () => () => {},
        emit: deliver,
        onRepair: () => {},
      });
  }

  /** Whether frames may be on their way though no engine sends any. */
  get isBusy(): boolean {
    return this.#feed?.repairing ?? false;
  }

  open(): void {
    this.#isOpen = true;
  }

  restart(): void {
    // A dead process's socket takes with it what it has not sent.
    this.#published = [];
    this.#late = [];
  }

  /** Returns whether the frame was lost. */
  send(sent: Sent, fate: Fate): boolean {
    this.#published.push(sent);
    if (!this.#isOpen) return false;
    if (fate === "lost") return true;
    if (fate === "late") this.#late.push(sent);
    else this.#take(sent.frame);
    if (fate === "twice") this.#take(sent.frame);
    return false;
  }

  arrive(reversed: boolean): void {
    const late = reversed ? this.#late.reverse() : this.#late;
    this.#late = [];
    if (this.#isOpen) for (const { frame } of late) this.#take(frame);
  }

  repeat(back: number): void {
    const sent = this.#published.at(-back);
    if (sent !== undefined && this.#isOpen) this.#take(sent.frame);
  }

  /** Time goes by for those who wait for an answer. */
  tick(now: number): void {
    this.now = now;
    const overdue = this.#pending.filter(({ since }) => now - since >= SILENCE_STEPS);
    this.#pending = this.#pending.filter((one) => !overdue.includes(one));
    for (const { reject } of overdue) reject(new Error("no answer"));
  }

  close(): void {
    this.#feed?.close();
    this.tick(Number.POSITIVE_INFINITY);
  }

  #take(frame: KvFrame): void {
    if (this.#feed === undefined) this.#deliver(frame);
    else void this.#feed.take(frame);
  }

  /** As the engine and `requestReplay` do it together. */
  async #replay(
    start: bigint,
    until: bigint,
    onBatch: (batch: { topic: null; seq: bigint; payload: Uint8Array }) => unknown,
    signal: AbortSignal,
  ): Promise<void> {
    const { replay } = this.#spec;
    if (replay === "refuses") throw new Error("refused");
    if (replay === "silent")
      await new Promise<never>((_, reject) => {
        this.#pending.push({ since: this.now, reject });
        signal.addEventListener("abort", () => reject(signal.reason));
      });
    await undefined;
    const kept = replay === "truncated" ? this.#published.slice(-SHORT_BUFFER) : [...this.#published];
    for (const { frame } of kept) {
      if (frame.seq < start) continue;
      if (frame.seq >= until) return;
      if ((await onBatch({ topic: null, seq: frame.seq, payload: frame.payload })) === false) return;
      signal.throwIfAborted();
    }
  }
}
