/**
 * One endpoint's frames handed over one after the other: the next when the last is done with, though whoever hands them in
 * does not wait, as a feed that lets out what it held.
 * @module
 */
import type { KvFrame } from "../types.js";

export class FrameLine {
  readonly #onFrame: (frame: KvFrame) => unknown;
  readonly #onError: (error: unknown) => void;
  /** Until the last of those that are not done with; undefined if there is none. */
  #last: Promise<void> | undefined;

  /** @param onError - told what `onFrame` throws, or rejects with */
  constructor(onFrame: (frame: KvFrame) => unknown, onError: (error: unknown) => void) {
    this.#onFrame = onFrame;
    this.#onError = onError;
  }

  /** Hand a frame over, at once if none is under way. The promise, if any, settles when it is done with, and never rejects. */
  take(frame: KvFrame): Promise<void> | undefined {
    if (this.#last !== undefined) return this.#wait(this.#last.then(() => this.#onFrame(frame)));
    try {
      const taken = this.#onFrame(frame);
      return taken instanceof Promise ? this.#wait(taken) : undefined;
    } catch (error) {
      this.#onError(error);
      return undefined;
    }
  }

  #wait(taken: Promise<unknown>): Promise<void> {
    const done: Promise<void> = taken
      .then(() => {}, this.#onError)
      .finally(() => {
        if (this.#last === done) this.#last = undefined;
      });
    this.#last = done;
    return done;
  }
}
