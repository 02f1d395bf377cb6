/**
 * Where several sockets' frames become one iteration. It holds at most one frame of each: a socket reads its next
 * message when the last was taken, so back-pressure reaches the engine, or libzmq's queue.
 * @module
 */
import type { KvFrame } from "../types.js";

interface Offer {
  readonly frame: KvFrame;
  readonly taken: () => void;
}

interface Taker {
  readonly resolve: (result: IteratorResult<KvFrame, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

export class FrameQueue {
  readonly #offers: Offer[] = [];
  readonly #takers: Taker[] = [];
  #ended = false;
  #failure: { readonly error: unknown } | null = null;

  /** Resolves when the frame was taken, or will never be. */
  offer(frame: KvFrame): Promise<void> | undefined {
    if (this.#ended) return undefined;
    const taker = this.#takers.shift();
    if (taker === undefined) return new Promise((taken) => this.#offers.push({ frame, taken }));
    taker.resolve({ done: false, value: frame });
    return undefined;
  }

  /** The next frame; done once ended. */
  take(): Promise<IteratorResult<KvFrame, undefined>> {
    const offer = this.#offers.shift();
    if (offer !== undefined) {
      offer.taken();
      return Promise.resolve({ done: false, value: offer.frame });
    }
    if (this.#failure !== null) {
      const { error } = this.#failure;
      this.#failure = null; // thrown once, then the iteration is over
      return Promise.reject(error);
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => this.#takers.push({ resolve, reject }));
  }

  /** End the iteration, with an error if given; frames not taken are dropped. */
  end(failure?: { readonly error: unknown }): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const { taken } of this.#offers.splice(0)) taken();
    const [first, ...others] = this.#takers.splice(0);
    if (failure !== undefined && first === undefined) this.#failure = failure;
    else if (failure !== undefined) first!.reject(failure.error);
    else first?.resolve({ done: true, value: undefined });
    for (const { resolve } of others) resolve({ done: true, value: undefined });
  }
}
