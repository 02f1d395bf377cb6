/**
 * Memory for a lookup's lists, taken anew by each lookup.
 *
 * Arrays of their own would be asked of the system's allocator. glibc's puts the small pieces that each message of a
 * socket leaves in order when a kilobyte or more is asked for: 3 to 8 ms where there are some ten thousand (measured,
 * Node 20, 55,000 messages a second).
 * @module
 */

/** Enough for prompts of 80,000 tokens in blocks of 16; what does not fit has arrays of its own. */
const MEMORY_BYTES = 256 * 1024;

export class LookupMemory {
  #memory: ArrayBuffer | undefined;
  #at = 0;

  /** Lists that were taken before are read no more. */
  begin(): void {
    this.#at = 0;
  }

  /** So many bytes, whatever they are now. */
  bytes(length: number): Uint8Array {
    const from = this.#take(length);
    return from === undefined ? new Uint8Array(length) : new Uint8Array(this.#memory!, from, length);
  }

  /** So many words, whatever they are now. */
  words(length: number): Uint32Array {
    const from = this.#take(4 * length);
    return from === undefined ? new Uint32Array(length) : new Uint32Array(this.#memory!, from, length);
  }

  #take(bytes: number): number | undefined {
    this.#memory ??= new ArrayBuffer(MEMORY_BYTES);
    const from = this.#at;
    if (from + bytes > MEMORY_BYTES) return undefined;
    // Words begin at multiples of four.
    this.#at = from + ((bytes + 3) & ~3);
    return from;
  }
}
