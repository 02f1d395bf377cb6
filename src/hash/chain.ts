/**
 * The chain of block hashes over a token sequence, whatever the format and digest.
 * @module
 */
import { checkOptions, rangeMistake, typeMistake } from "../errors.js";
import type { TokenIds } from "../types.js";
import type { BlockFormat, Digest } from "./format.js";
import type { PlainRun } from "./plain-run.js";
import type { HashKey } from "./tagged-keys.js";
import { checkToken, copyTokens } from "./tokens.js";

/** How a call of {@link BlockChain.hashTokens} goes on from earlier blocks and what else its blocks contain. */
export interface HashTokensOptions {
  /**
   * One entry for each hash of this call's full blocks: null (or an empty list) for none. One per block, but where
   * `hashBlockSize` is smaller. See {@link blockExtraKeys}. Absent: none at all.
   */
  extraKeys?: readonly (readonly HashKey[] | null)[] | undefined;
  /** The digest of the block before these tokens. Absent: they are the start of a prompt. */
  parent?: Uint8Array | undefined;
  /**
   * Where the digests are written, from its beginning on; the result is a view of it. The parent may stand in it too.
   * A call that throws may have written to it. Absent: new memory.
   */
  out?: Uint8Array | undefined;
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
   * of the slice before it as `parent`. A call allocates its result, unless it is given `out`, and where hashes are finer
   * than blocks a copy of the tokens and their digests.
   *
   * @returns `floor(tokens.length / blockSize)` digests, end to end; a partial last block has none
   * @throws {TypeError} for a wrong type or an unknown option
   * @throws {RangeError} for a token that is not an unsigned 32-bit integer (named by its index), a parent of another
   *   length, `extraKeys` that are not one per hash, or an `out` that is too short
   */
  hashTokens(tokens: TokenIds, options?: HashTokensOptions): Uint8Array;
  /**
   * The block keys of digests that stand end to end: u32 pairs `[hi, lo]`.
   * @param out - where they are written, and what is returned: as long as they are. Absent: new memory
   */
  toKeys(digests: Uint8Array, out?: Uint32Array): Uint32Array;
}

/** A chain whose digests are block keys. */
export interface KeyChain extends BlockChain {
  /**
   * The keys of the first `blocks` blocks, as `hashTokens` and `toKeys` give them, without allocating anything where
   * there are no extra keys.
   * @param parent - the key of the block before them; null at the start of a prompt
   * @param out - gets a pair `[hi, lo]` for each
   */
  hashKeys(
    tokens: Uint32Array,
    blocks: number,
    parent: readonly [hi: number, lo: number] | null,
    out: Uint32Array,
    extraKeys?: HashTokensOptions["extraKeys"],
  ): void;
}

/** The loop that every chain shares. */
export class HashChain {
  readonly blockSize: number;
  readonly digestBytes: number;
  /** What stands in for a parent at a prompt's start. */
  readonly #root: Uint8Array;
  readonly #format: BlockFormat;
  readonly #digest: Digest;
  readonly #plainRun: PlainRun | undefined;
  /** One block's tokens, when they come as an array of numbers. */
  #copy: Uint32Array | undefined;

  /** @param plainRun - hashes blocks without extra keys to the same digests, quicker */
  constructor(
    blockSize: number,
    digestBytes: number,
    root: Uint8Array,
    format: BlockFormat,
    digest: Digest,
    plainRun?: PlainRun | undefined,
  ) {
    this.blockSize = blockSize;
    this.digestBytes = digestBytes;
    this.#root = root;
    this.#format = format;
    this.#digest = digest;
    this.#plainRun = plainRun;
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
    let out: Uint8Array | undefined;
    if (options !== undefined) {
      checkOptions("hashTokens", options, ["extraKeys", "parent", "out"]);
      extraKeys = options.extraKeys;
      if (options.parent !== undefined) parent = this.#checkParent(options.parent);
      if (extraKeys !== undefined) checkBlockCount(extraKeys, blocks);
      if (options.out !== undefined) out = roomIn(options.out, blocks * digestBytes);
    }

    const digests = out ?? new Uint8Array(blocks * digestBytes);
    const plainRun = this.#plainRun;
    let from = parent;
    let fromAt = 0;
    let fromLength = parent.length;
    for (let block = 0; block < blocks; block++) {
      // A run starts at a digest: not at a root of another length.
      const end =
        plainRun === undefined || fromLength !== digestBytes ? block : plainEnd(extraKeys, block, blocks);
      if (end > block) {
        plainRun!.hash(tokens, block, end, from, fromAt, digests);
        block = end - 1;
      } else this.#hashBlock(tokens, block, extraKeys, from, fromAt, fromLength, digests);
      from = digests;
      fromAt = block * digestBytes;
      fromLength = digestBytes;
    }
    if (!typed) for (let i = blocks * blockSize; i < tokens.length; i++) checkToken(tokens[i], i);
    return digests;
  }

  /** One block, which may have extra keys. */
  #hashBlock(
    tokens: TokenIds,
    block: number,
    extraKeys: HashTokensOptions["extraKeys"],
    parent: Uint8Array,
    parentAt: number,
    parentLength: number,
    digests: Uint8Array,
  ): void {
    const { blockSize } = this;
    let source = tokens;
    let start = block * blockSize;
    if (!(source instanceof Uint32Array)) {
      this.#copy ??= new Uint32Array(blockSize);
      copyTokens(tokens, start, blockSize, this.#copy);
      source = this.#copy;
      start = 0;
    }
    const extra = extraKeys === undefined ? null : checkExtraKeys(extraKeys[block], block);
    const input = this.#format.block(parent, parentAt, parentLength, source, start, blockSize, extra);
    this.#digest(input, digests, block * this.digestBytes);
  }

  #checkParent(parent: Uint8Array): Uint8Array {
    if (!(parent instanceof Uint8Array)) throw typeMistake("parent", "Uint8Array", parent);
    if (parent.length !== this.digestBytes && (parent.length !== this.#root.length || parent.length === 0))
      throw rangeMistake("parent", `${this.digestBytes} bytes`, parent);
    return parent;
  }
}

/** So many bytes of `out`. */
export function roomIn(out: Uint8Array, bytes: number): Uint8Array {
  if (!(out instanceof Uint8Array)) throw typeMistake("out", "Uint8Array", out);
  if (out.length < bytes) throw rangeMistake("out", `at least ${bytes} bytes`, out);
  return out.length === bytes ? out : out.subarray(0, bytes);
}

function checkBlockCount(extraKeys: unknown, blocks: number): void {
  if (!Array.isArray(extraKeys)) throw typeMistake("extraKeys", "an array", extraKeys);
  if (extraKeys.length !== blocks)
    throw rangeMistake("extraKeys", `${blocks} entries, one per full block`, extraKeys);
}

/** Where the run of blocks without extra keys that begins at `block` ends; `block` itself if it has some. */
function plainEnd(extraKeys: HashTokensOptions["extraKeys"], block: number, blocks: number): number {
  if (extraKeys === undefined) return blocks;
  while (block < blocks && isPlain(extraKeys[block])) block++;
  return block;
}

function isPlain(extra: readonly HashKey[] | null | undefined): boolean {
  return extra === null || (Array.isArray(extra) && extra.length === 0);
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
