/**
 * The event loop's turns, shared among all that works in slices: in each there is one slice for all of them together, so
 * that many engines that announce much at once hold the host up no longer than one.
 * @module
 */

/**
 * A slice ends after this long, milliseconds, and with what is under way then: one frame that is not large, or a stretch
 * of a large one.
 */
const SLICE_MS = 2;

export class Turns {
  readonly #stopwatch: () => number;
  readonly #waiting: (() => void)[] = [];
  /** When the slice of this turn ends; undefined before it has begun. */
  #ends: number | undefined;

  /** @param stopwatch - monotonic milliseconds */
  constructor(stopwatch: () => number) {
    this.#stopwatch = stopwatch;
  }

  /** Whether anyone waits for a turn. */
  get isBusy(): boolean {
    return this.#waiting.length > 0;
  }

  /** Whether there is time for a piece of work in this turn. */
  get hasTime(): boolean {
    if (this.#ends !== undefined) return this.#stopwatch() < this.#ends;
    this.#begin();
    return true;
  }

  /** Until a later turn, with a slice of its own: those who wait are served one in each, in their order. */
  next(): Promise<void> {
    if (this.#ends === undefined) this.#begin();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #begin(): void {
    this.#ends = this.#stopwatch() + SLICE_MS;
    setImmediate(() => {
      this.#ends = undefined;
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#begin();
      next();
    });
  }
}
