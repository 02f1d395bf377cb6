/**
 * The buffer that a format writes one block into, used again for the next.
 * @module
 */

/** Views up to this length are kept: making one costs as much as hashing a small block (measured, Node 20). */
const KEPT_VIEW_BYTES = 8192;

/** A growing buffer with a write position. */
export class Scratch {
  /** The storage. Replaced when it grows: read it again after {@link reserve}. */
  bytes: Uint8Array = new Uint8Array(512);
  /** Where the next byte goes. */
  at = 0;
  #views: (Uint8Array | undefined)[] = [];

  /** Make room for `count` more bytes; returns the storage. */
  reserve(count: number): Uint8Array {
    const needed = this.at + count;
    if (needed > this.bytes.length) {
      const grown = new Uint8Array(Math.max(needed, 2 * this.bytes.length));
      grown.set(this.bytes.subarray(0, this.at));
      this.bytes = grown;
      this.#views = [];
    }
    return this.bytes;
  }

  /** Everything from the start to the write position, as a view. */
  written(): Uint8Array {
    if (this.at > KEPT_VIEW_BYTES) return this.bytes.subarray(0, this.at);
    return (this.#views[this.at] ??= this.bytes.subarray(0, this.at));
  }
}
