/**
 * So many at once, and the others in turn.
 * @module
 */
import { KvBlockError } from "../errors.js";

export class Turns {
  readonly #maxAtOnce: number;
  readonly #maxWaiting: number;
  readonly #waiting = new Set<() => void>();
  #under = 0;

  constructor(maxAtOnce: number, maxWaiting: number) {
    this.#maxAtOnce = maxAtOnce;
    this.#maxWaiting = maxWaiting;
  }

  /** @throws KvBlockError `ERR_KVBLOCK_BUSY` if too many wait; the signal's reason */
  async run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    if (this.#under < this.#maxAtOnce) this.#under++;
    else await this.#wait(signal);
    try {
      return await work();
    } finally {
      const next = this.#waiting.values().next().value;
      // The turn is handed on.
      if (next === undefined) this.#under--;
      else next();
    }
  }

  #wait(signal: AbortSignal): Promise<void> {
    if (this.#waiting.size >= this.#maxWaiting)
      throw new KvBlockError("ERR_KVBLOCK_BUSY", `${this.#maxWaiting} requests wait for their turn already`);
    return new Promise((resolve, reject) => {
      const go = (): void => {
        this.#waiting.delete(go);
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const leave = (): void => {
        this.#waiting.delete(go);
        reject(signal.reason as Error);
      };
      this.#waiting.add(go);
      signal.addEventListener("abort", leave, { once: true });
    });
  }
}
