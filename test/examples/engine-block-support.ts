/**
 * A prefix cache for tests, over a chained hash that is any hash.
 * @module
 */
import { createHash } from "node:crypto";
import { BlockManager } from "../../examples/engine/block-manager.js";

/** Any chained hash will do here: the rules do not depend on which. */
export function chain(blockSize: number) {
  return {
    blockSize,
    digestBytes: 32,
    hashTokens(
      tokens: ArrayLike<number>,
      options: { extraKeys?: readonly unknown[] | undefined; parent?: Uint8Array | undefined } = {},
    ): Uint8Array {
      const digests: Uint8Array[] = [];
      for (let block = 0; (block + 1) * blockSize <= tokens.length; block++) {
        const parent = digests.at(-1) ?? options.parent ?? new Uint8Array();
        const own = Array.from(tokens).slice(block * blockSize, (block + 1) * blockSize);
        const input = JSON.stringify([[...parent], own, options.extraKeys?.[block] ?? null]);
        digests.push(createHash("sha256").update(input).digest());
      }
      return Buffer.concat(digests);
    },
  };
}

export function manager(numBlocks: number, blockSize: number, unhashedFirst = true): BlockManager {
  return new BlockManager({ numBlocks, hasher: chain(blockSize), unhashedFirst });
}

export const range = (from: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => from + i);
