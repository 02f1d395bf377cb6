/**
 * The block keys that an undecided publisher announced: what a prompt's keys are looked for among.
 * @module
 */
import type { BlockStored } from "./events/index.js";
import { isWhole } from "./identity.js";

/** What one key takes, about: its place in the set, and a number on the heap. */
const KEY_BYTES = 48;
/** Keys of one publisher that are noted, the first: prompts meet what is shared, which comes early. */
const MAX_KEYS = 65_536;

export class Announced {
  /** Tokens per block; 0 until a store says. */
  blockSize = 0;
  readonly #keys = new Set<number>();
  readonly #reserve: (bytes: number) => boolean;

  /** @param reserve - asks for memory (negative: gives it back); false refuses */
  constructor(reserve: (bytes: number) => boolean) {
    this.#reserve = reserve;
  }

  /** Note a store's first blocks, at most so many, and their parent. Returns how many. */
  add(event: BlockStored, most: number): number {
    if (this.blockSize === 0 && isWhole(event)) this.blockSize = event.blockSize;
    const { blockKeys, parentKey } = event;
    if (parentKey !== null) this.#add(parentKey[0], parentKey[1]);
    const blocks = Math.min(most, blockKeys.length / 2);
    for (let block = 0; block < blocks; block++) this.#add(blockKeys[2 * block]!, blockKeys[2 * block + 1]!);
    return blocks;
  }

  has(hi: number, lo: number): boolean {
    return this.#keys.has(number(hi, lo));
  }

  clear(): void {
    this.blockSize = 0;
    this.#reserve(-KEY_BYTES * this.#keys.size);
    this.#keys.clear();
  }

  #add(hi: number, lo: number): void {
    const key = number(hi, lo);
    if (this.#keys.size < MAX_KEYS && !this.#keys.has(key) && this.#reserve(KEY_BYTES)) this.#keys.add(key);
  }
}

/** 52 of a key's 64 bits, as an exact number: enough that no prompt meets one by chance. */
function number(hi: number, lo: number): number {
  return (hi & 0xfffff) * 2 ** 32 + lo;
}
