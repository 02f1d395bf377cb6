/**
 * The chain of block hashes over a token sequence, whatever the format and digest.
 * @module
 */
import { checkOptions, describe, rangeMistake, typeMistake } from "../errors.js";
import type { TokenIds } from "../types.js";
import type { BlockFormat, Digest } from "./format.js";
import type { HashKey } from "./tagged-keys.js";

/** How a call of {@link BlockChain.hashTokens} goes on from earlier blocks and what else its blocks contain. */
export interface HashTokensOptions {
  /**
   * One entry for each hash of this call's full blocks: null (or an empty list) for none. One per block, but where
   * `hashBlockSize` is smaller. See {@link blockExtraKeys}. Absent: none at all.
   */
  extraKeys?: readonly (readonly HashKey[] | null)[] | undefined;
  /** The digest of the block before these tokens. Absent: they are the start of a prompt. */
  parent?: Uint8Array | undefined;
}

/** Hashes token sequences block by block, each block's digest covering everything before it. */
export interface BlockChain {
  /** Tokens per block. */
  readonly blockSize: number;
  /** Tokens per hash: a block's digest is that of its last `blockSize / hashBlockSize`. Mostly the block size. */
  readonly hashBlockSize: number;
  /** Bytes per digest. */
  readonly digestBytes: number;
  /**
   * Hash every full block.
   *
   * A long prompt can be hashed in slices of whole blocks: pass each slice (`tokens.subarray(…)`) with the last digest
   * of the slice before it as `parent`. A call allocates its result and nothing that grows with the tokens.
   *
   * @returns `floor(tokens.length / blockSize)` digests, end to end; a partial last block has none
   * @throws {TypeError} for a wrong type or an unknown option
   * @throws {RangeError} for a token that is not an unsigned 32-bit integer (named by its index), a parent of another
   *   length, or `extraKeys` that are not one per hash
   */
  hashTokens(tokens: TokenIds, options?: HashTokensOptions): Uint8Array;
  /** The block keys of digests that stand end to end: u32 pairs `[hi, lo]`. */
  toKeys(digests: Uint8Array): Uint32Array;
}

/** The loop that every chain shares. */
export class HashChain {
  readonly blockSize: number;
  readonly digestBytes: number;
  /** What stands in for a parent at a prompt's start. */
  readonly #root: Uint8Array;
  readonly #format: BlockFormat;
  readonly #digest: Digest;
  /** One block's tokens, when they come as an array of numbers. */
  #copy: Uint32Array | undefined;

  constructor(blockSize: number, digestBytes: number, root: Uint8Array, format: BlockFormat, digest: Digest) {
    this.blockSize = blockSize;
    this.digestBytes = digestBytes;
    this.#root = root;
    this.#format = format;
    this.#digest = digest;
  }

  /** See {@link BlockChain.hashTokens}. */
  hashTokens(tokens: TokenIds, options?: HashTokensOptions): Uint8Array {
    const { blockSize, digestBytes } = this;
    const typed = tokens instanceof Uint32Array;
    if (!typed && !Array.isArray(tokens))
      // Not described further: it may be the prompt itself.
      throw new TypeError(`"tokens" expected Uint32Array or array of integers, got ${typeof tokens}`);
    const blocks = Math.floor(tokens.length / blockSize);
    let parent = this.#root;
    let extraKeys: HashTokensOptions["extraKeys"];
    if (options !== undefined) {
      checkOptions("hashTokens", options, ["extraKeys", "parent"]);
      extraKeys = options.extraKeys;
      if (options.parent !== undefined) parent = this.#checkParent(options.parent);
      if (extraKeys !== undefined) checkBlockCount(extraKeys, blocks);
    }

    const digests = new Uint8Array(blocks * digestBytes);
    const copy = typed || blocks === 0 ? undefined : (this.#copy ??= new Uint32Array(blockSize));
    let from = parent;
    let fromAt = 0;
    let fromLength = parent.length;
    for (let block = 0; block < blocks; block++) {
      const start = block * blockSize;
      if (copy !== undefined) copyTokens(tokens, start, copy);
      const extra = extraKeys === undefined ? null : checkExtraKeys(extraKeys[block], block);
      const source = copy ?? (tokens as Uint32Array);
      const input = this.#format.block(
        from,
        fromAt,
        fromLength,
        source,
        copy === undefined ? start : 0,
        blockSize,
        extra,
      );
      const at = block * digestBytes;
      this.#digest(input, digests, at);
      from = digests;
      fromAt = at;
      fromLength = digestBytes;
    }
    if (!typed) for (let i = blocks * blockSize; i < tokens.length; i++) checkToken(tokens[i], i);
    return digests;
  }

  #checkParent(parent: Uint8Array): Uint8Array {
    if (!(parent instanceof Uint8Array)) throw typeMistake("parent", "Uint8Array", parent);
    if (parent.length !== this.digestBytes && (parent.length !== this.#root.length || parent.length === 0))
      throw rangeMistake("parent", `${this.digestBytes} bytes`, parent);
    return parent;
  }
}

function checkBlockCount(extraKeys: unknown, blocks: number): void {
  if (!Array.isArray(extraKeys)) throw typeMistake("extraKeys", "an array", extraKeys);
  if (extraKeys.length !== blocks)
    throw rangeMistake("extraKeys", `${blocks} entries, one per full block`, extraKeys);
}

/** One block's extra keys, null for none. */
function checkExtraKeys(
  extra: readonly HashKey[] | null | undefined,
  block: number,
): readonly HashKey[] | null {
  if (extra === null) return null;
  if (!Array.isArray(extra)) throw typeMistake(`extraKeys[${block}]`, "an array or null", extra);
  for (let i = 0; i < extra.length; i++) checkExtraKey(extra[i], block, i);
  return extra.length === 0 ? null : (extra as readonly HashKey[]);
}

function checkExtraKey(key: unknown, block: number, i: number): void {
  if (typeof key === "string" || key instanceof Uint8Array || Number.isSafeInteger(key)) return;
  if (Array.isArray(key) && typeof key[0] === "string") {
    if (key.length === 2 && Number.isSafeInteger(key[1])) return;
    if (TAGGED_KEYS[key[0]]?.(key)) return;
  }
  throw typeMistake(
    `extraKeys[${block}][${i}]`,
    "string, integer, Uint8Array, [string, integer] or a tagged key",
    key,
  );
}

/** By tag, what else a tagged key has. */
const TAGGED_KEYS: Readonly<Record<string, (key: readonly unknown[]) => boolean>> = {
  __proto__: null as never,
  lora: (key) => key.length === 3 && typeof key[1] === "string" && typeof key[2] === "string",
  mm: (key) => key.length === 3 && typeof key[1] === "string" && Number.isSafeInteger(key[2]),
  cache_salt: (key) => key.length === 2 && typeof key[1] === "string",
  prompt_embeds: (key) => key.length === 2 && key[1] instanceof Uint8Array,
};

function copyTokens(tokens: TokenIds, start: number, into: Uint32Array): void {
  for (let i = 0; i < into.length; i++) {
    const token = tokens[start + i]!;
    if (token >>> 0 !== token) checkToken(token, start + i);
    into[i] = token;
  }
}

function checkToken(token: unknown, index: number): void {
  if (typeof token !== "number")
    throw new TypeError(`"tokens[${index}]" expected integer 0 … 4294967295, got ${typeof token}`);
  if (token >>> 0 !== token)
    throw new RangeError(`"tokens[${index}]" expected integer 0 … 4294967295, got ${describe(token)}`);
}
