/**
 * What a publisher's stores ended with, and under which handle: text that came under two handles stands behind two
 * prefixes, so it does not tell whose it is (`tokens` mode).
 *
 * As many places as there are, each for the last tail that fell there: old ones are forgotten.
 * @module
 */

const PLACES = 4096;
const BYTES = 12 * PLACES;

export class SeenTails {
  /** Hash of a block's tokens, low lane of its handle, and whether it had another one before; by place. */
  #hashes: Uint32Array = new Uint32Array(0);
  #handles: Uint32Array = new Uint32Array(0);
  #shared: Uint32Array = new Uint32Array(0);
  readonly #reserve: (bytes: number) => boolean;

  /** @param reserve - asks for memory (negative: gives it back); false refuses */
  constructor(reserve: (bytes: number) => boolean) {
    this.#reserve = reserve;
  }

  /** A store ended with a block of these tokens, hashed. Returns whether such a block is known by two handles. */
  note(tokensHash: number, handleLo: number): boolean {
    // Without memory nothing is known of any.
    if (this.#hashes.length === 0 && !this.#allocate()) return true;
    const hash = tokensHash >>> 0;
    const at = hash % PLACES;
    const isKnown = this.#hashes[at] === hash && this.#handles[at] !== 0;
    if (!isKnown) this.#shared[at] = 0;
    else if (this.#handles[at] !== handleLo) this.#shared[at] = 1;
    this.#hashes[at] = hash;
    this.#handles[at] = handleLo;
    return this.#shared[at] === 1;
  }

  clear(): void {
    if (this.#hashes.length > 0) this.#reserve(-BYTES);
    this.#hashes = this.#handles = this.#shared = new Uint32Array(0);
  }

  #allocate(): boolean {
    if (!this.#reserve(BYTES)) return false;
    this.#hashes = new Uint32Array(PLACES);
    this.#handles = new Uint32Array(PLACES);
    this.#shared = new Uint32Array(PLACES);
    return true;
  }
}
