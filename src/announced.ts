/**
 * The block keys that an undecided publisher announced: what a prompt's keys are looked for among.
 * @module
 */
import type { BlockStored } from "./events/index.js";
import { isWhole } from "./identity.js";

export class Announced {
  /** Tokens per block; 0 until a store says. */
  blockSize = 0;
  readonly #keys = new Set<number>();

  /** Note a store's blocks and their parent. */
  add(event: BlockStored): void {
    if (this.blockSize === 0 && isWhole(event)) this.blockSize = event.blockSize;
    const { blockKeys, parentKey } = event;
    for (let i = 0; i < blockKeys.length; i += 2) this.#keys.add(number(blockKeys[i]!, blockKeys[i + 1]!));
    if (parentKey !== null) this.#keys.add(number(parentKey[0], parentKey[1]));
  }

  has(hi: number, lo: number): boolean {
    return this.#keys.has(number(hi, lo));
  }

  clear(): void {
    this.blockSize = 0;
    this.#keys.clear();
  }
}

/** 52 of a key's 64 bits, as an exact number: enough that no prompt meets one by chance. */
function number(hi: number, lo: number): number {
  return (hi & 0xfffff) * 2 ** 32 + lo;
}
