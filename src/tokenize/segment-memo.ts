/**
 * Segments of prompts that were encoded before → their token ids, bounded in bytes.
 * @module
 */
import { BoundedCache } from "./bounded-cache.js";

/** Shorter segments are encoded again faster than they are looked up. */
const MIN_LENGTH = 64;

/** What an entry takes beside its text and ids: measured with 64-character segments, rounded up. */
const ENTRY_BYTES = 256;

export class SegmentMemo {
  readonly #cache: BoundedCache<string, Uint32Array> | undefined;

  /** @param maxBytes - 0 remembers nothing */
  constructor(maxBytes: number) {
    if (maxBytes > 0)
      this.#cache = new BoundedCache({
        maxBytes,
        bytesOf: (ids, text) => 2 * text.length + ids.byteLength + ENTRY_BYTES,
      });
  }

  get bytes(): number {
    return this.#cache?.bytes ?? 0;
  }

  get(text: string): Uint32Array | undefined {
    return text.length < MIN_LENGTH ? undefined : this.#cache?.get(text);
  }

  set(text: string, ids: Uint32Array): void {
    // A slice of a prompt keeps the whole prompt alive: the key is a text of its own.
    if (text.length >= MIN_LENGTH) this.#cache?.set(Buffer.from(text).toString(), ids);
  }
}
