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

/** Payload bytes that are applied in a slice: about 3 ms of them; and those of a stretch within a long frame. */
const SLICE_BYTES = 128 * 1024;
const STRETCH_BYTES = 64 * 1024;

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

  /** Apply a slice of the publisher's held frames now, and the rest in later turns; what comes meanwhile waits behind. */
  release(publisher: Publisher): void {
    const { held } = publisher;
    for (let bytes = 0; bytes < SLICE_BYTES; ) {
      if (held.applying === undefined) {
        const frame = held.shift();
        if (frame === undefined) break;
        bytes += Math.min(frame.bytes || STRETCH_BYTES, STRETCH_BYTES);
        held.applying = this.#apply(publisher, frame);
      }
      if (held.applying.next().done === true) held.applying = undefined;
      else bytes += STRETCH_BYTES;
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
      const [next] = this.#publishers;
      if (next === undefined) return;
      // To the end of the line, so that all take turns.
      this.#publishers.delete(next);
      this.release(next);
    });
  }
}
