/**
 * Publishers whose hashing is known by now and whose held frames are being applied, a slice in each turn of the event
 * loop.
 * @module
 */

import type { HeldFrame } from "./publisher/index.js";
import type { Publisher } from "./publisher-state.js";

/** Payload bytes that are applied at once: about 4 ms of them. */
const SLICE_BYTES = 256 * 1024;

export class Backlog {
  readonly #apply: (publisher: Publisher, frame: HeldFrame) => void;
  readonly #publishers = new Set<Publisher>();
  #scheduled = false;

  constructor(apply: (publisher: Publisher, frame: HeldFrame) => void) {
    this.#apply = apply;
  }

  get isEmpty(): boolean {
    return this.#publishers.size === 0;
  }

  /** Apply a slice of the publisher's held frames now, and the rest in later turns; what comes meanwhile waits behind. */
  release(publisher: Publisher): void {
    for (let bytes = 0; bytes < SLICE_BYTES; ) {
      const frame = publisher.held.shift();
      if (frame === undefined) {
        this.#publishers.delete(publisher);
        return;
      }
      bytes += frame.payload.length;
      this.#apply(publisher, frame);
    }
    this.#publishers.add(publisher);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      const [next] = this.#publishers;
      if (next === undefined) return;
      // To the end of the line, so that all take turns.
      this.#publishers.delete(next);
      this.release(next);
      if (this.#publishers.size > 0) this.#schedule();
    });
  }
}
