/**
 * Own keys that two engine hashes were seen for (`tokens` mode on wires that do not say extra keys): nobody can tell
 * which of the two a prompt would hit, so neither is credited.
 * @module
 */

/** At most this many of one publisher, at about this many bytes each. */
const MAX_KEYS = 100_000;
const KEY_BYTES = 64;

export class AmbiguousKeys {
  readonly #keys = new Set<bigint>();
  readonly #reserve: (bytes: number) => boolean;
  #full = false;

  /** @param reserve - asks for memory (negative: gives it back); false refuses */
  constructor(reserve: (bytes: number) => boolean) {
    this.#reserve = reserve;
  }

  get size(): number {
    return this.#keys.size;
  }

  /** Past the bound every key is: one that could not be noted must not be credited later. */
  has(hi: number, lo: number): boolean {
    return this.#full || this.#keys.has(u64(hi, lo));
  }

  add(hi: number, lo: number): void {
    if (this.#keys.size < MAX_KEYS && this.#reserve(KEY_BYTES)) this.#keys.add(u64(hi, lo));
    else this.#full = true;
  }

  clear(): void {
    this.#reserve(-KEY_BYTES * this.#keys.size);
    this.#keys.clear();
    this.#full = false;
  }
}

function u64(hi: number, lo: number): bigint {
  return (BigInt(hi) << 32n) | BigInt(lo);
}
