/**
 * The event loop's turns, shared among all that works in slices: in each there is one slice for all of them together, so
 * that many engines that announce much at once hold the host up no longer than one.
 * @module
 */
import { type Channel, channel } from "node:diagnostics_channel";

/**
 * A slice ends after this long, milliseconds, and with the piece of work that is under way then: one frame that is not
 * large, or a stretch of a longer one. Pieces take about a millisecond at most, so that a slice has two to spare of five.
 */
const SLICE_MS = 2;

/** Told when a slice begins, and with `{ ms }` what it took: when its time is over, else in the turn after it. */
const started: Channel = channel("tracing:kvblock.slice:start");
const ended: Channel = channel("tracing:kvblock.slice:end");

export class Turns {
  /** The longest slice so far, milliseconds, with whatever stopped the thread meanwhile. */
  longestMs = 0;
  readonly #stopwatch: () => number;
  readonly #waiting: (() => void)[] = [];
  /** When the slice of this turn began; undefined before. */
  #began: number | undefined;
  #tookMs = 0;
  #isTold = true;
  /** How many of those who wait are to be served in this turn: who comes meanwhile waits for another. */
  #due = 0;

  /** @param stopwatch - monotonic milliseconds */
  constructor(stopwatch: () => number) {
    this.#stopwatch = stopwatch;
  }

  /** Whether anyone waits for a turn. */
  get isBusy(): boolean {
    return this.#waiting.length > 0;
  }

  /** Whether there is time for a piece of work in this turn. Whoever does it says {@link worked} then. */
  get hasTime(): boolean {
    const now = this.#stopwatch();
    if (this.#began === undefined) this.#begin(now);
    return now - this.#began! < SLICE_MS;
  }

  /** A piece of work has ended. Returns whether there is time for another. */
  worked(): boolean {
    if (this.#began === undefined) return this.hasTime;
    this.#tookMs = this.#stopwatch() - this.#began;
    if (this.#tookMs > this.longestMs) this.longestMs = this.#tookMs;
    if (this.#tookMs < SLICE_MS) return true;
    this.#tell();
    return false;
  }

  /** Until a later turn. Those who wait are served in their order, in each turn as many as there is time for. */
  next(): Promise<void> {
    if (this.#began === undefined) this.#begin(this.#stopwatch());
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #begin(now: number): void {
    this.#began = now;
    this.#tookMs = 0;
    this.#isTold = false;
    if (started.hasSubscribers) started.publish({});
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#tell();
    this.#began = undefined;
    this.#due = this.#waiting.length;
    this.#serve();
  }

  #tell(): void {
    if (!this.#isTold && ended.hasSubscribers) ended.publish({ ms: this.#tookMs });
    this.#isTold = true;
  }

  /** The first always, so that each turn serves someone; the others when all is done that those before them can do now. */
  readonly #serve = (): void => {
    if (this.#due === 0 || !this.hasTime) return;
    this.#due--;
    this.#waiting.shift()!();
    // A tick that is asked for in a microtask comes when there are no more of these.
    if (this.#due > 0) queueMicrotask(() => process.nextTick(this.#serve));
  };
}
