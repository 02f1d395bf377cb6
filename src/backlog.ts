/**
 * Publishers whose held frames are being applied, a slice in each turn of the event loop.
 * @module
 */
import type { EventBatch } from "./events/index.js";
import type { HeldFrame } from "./publisher/index.js";
import type { Publisher } from "./publisher-state.js";
import type { Turns } from "./turns.js";

/** Applies a frame, pausing after each stretch of about a millisecond. */
type Apply = (publisher: Publisher, frame: HeldFrame<EventBatch>) => Iterator<unknown>;

/** A frame, or a stretch of a long one, counts as its payload's bytes, up to these: about half a millisecond's worth. */
const STRETCH_BYTES = 64 * 1024;
/** How many bytes of a publisher are applied in one go at most. */
const SLICE_BYTES = 3 * STRETCH_BYTES;
/** So many whether there is time or not: held frames that are small are applied when the call returns. */
const SURE_BYTES = STRETCH_BYTES / 2;

export class Backlog {
  readonly #turns: Turns;
  readonly #apply: Apply;
  readonly #publishers = new Set<Publisher>();
  readonly #waiting = new Map<Publisher, (() => void)[]>();
  #scheduled = false;

  constructor(turns: Turns, apply: Apply) {
    this.#turns = turns;
    this.#apply = apply;
  }

  get isEmpty(): boolean {
    return this.#publishers.size === 0;
  }

  /** Apply a frame's stretches, as far as there is time. Returns whether that was all; if not, the rest is in later turns. */
  begin(publisher: Publisher, steps: Iterator<unknown>): boolean {
    while (steps.next().done !== true) {
      if (this.#turns.worked()) continue;
      publisher.held.applying = steps;
      this.#publishers.add(publisher);
      this.#schedule();
      return false;
    }
    return true;
  }

  /**
   * Apply a slice of the publisher's held frames now, and the rest in later turns; what comes meanwhile waits behind.
   * @param sure - payload bytes that are applied even if this turn's slice is over: none by a lookup, which may settle many
   */
  release(publisher: Publisher, sure: number = SURE_BYTES): void {
    const { held } = publisher;
    for (let bytes = 0; (this.#turns.hasTime || bytes < sure) && bytes < SLICE_BYTES; ) {
      const frame = held.applying === undefined ? held.shift() : undefined;
      if (frame !== undefined) held.applying = this.#apply(publisher, frame);
      if (held.applying === undefined) break;
      const isDone = held.applying.next().done === true;
      if (isDone) held.applying = undefined;
      // Held without memory for it, its length is not known.
      bytes +=
        isDone && frame !== undefined ? Math.min(frame.bytes || STRETCH_BYTES, STRETCH_BYTES) : STRETCH_BYTES;
      this.#turns.worked();
    }
    if (held.size > 0) this.#publishers.add(publisher);
    else {
      this.#publishers.delete(publisher);
      for (const resolve of this.#waiting.get(publisher) ?? []) resolve();
      this.#waiting.delete(publisher);
    }
    if (!this.isEmpty) this.#schedule();
  }

  /** Until nothing of the publisher is left to be applied now. */
  drained(publisher: Publisher): Promise<void> {
    if (!this.#publishers.has(publisher)) return Promise.resolve();
    return new Promise((resolve) => {
      const others = this.#waiting.get(publisher);
      if (others === undefined) this.#waiting.set(publisher, [resolve]);
      else others.push(resolve);
    });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    void this.#turns.next().then(() => {
      this.#scheduled = false;
      // Each once, as far as there is time: to the end of the line, so that all take turns.
      for (let left = this.#publishers.size; left > 0; left--) {
        const [next] = this.#publishers;
        if (next === undefined) return;
        this.#publishers.delete(next);
        this.release(next);
        if (!this.#turns.hasTime) return;
      }
    });
  }
}
