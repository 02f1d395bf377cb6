/**
 * Token ids as they are found: one growing buffer that an encoder uses again and again.
 * @module
 */

const FIRST_CAPACITY = 4096;

/** A buffer that one long prompt blew up is given back: 4 MiB. */
const MAX_KEPT = 1 << 20;

export class TokenSink {
  length = 0;
  #ids = new Uint32Array(FIRST_CAPACITY);

  push(id: number): void {
    if (this.length === this.#ids.length) this.#grow(this.length + 1);
    this.#ids[this.length++] = id;
  }

  pushAll(ids: Uint32Array): void {
    const end = this.length + ids.length;
    if (end > this.#ids.length) this.#grow(end);
    this.#ids.set(ids, this.length);
    this.length = end;
  }

  /** A copy of the ids from an index on. */
  from(start: number): Uint32Array {
    return this.#ids.slice(start, this.length);
  }

  /** A copy of all ids; the sink is empty after it. */
  take(): Uint32Array {
    const ids = this.from(0);
    this.length = 0;
    if (this.#ids.length > MAX_KEPT) this.#ids = new Uint32Array(FIRST_CAPACITY);
    return ids;
  }

  #grow(least: number): void {
    const ids = new Uint32Array(Math.max(least, this.#ids.length * 2));
    ids.set(this.#ids);
    this.#ids = ids;
  }
}
