/**
 * A chain's runs of blocks without extra keys, hashed by the kernel.
 * @module
 */
import type { HashAlgorithm, TokenIds } from "../types.js";
import type { Digest } from "./format.js";
import { DIGESTS_AT, INPUT_AT, type Kernel, loadKernel, RUN_BLOCKS, RUN_TOKENS } from "./kernel.js";
import { copyTokens } from "./tokens.js";

/** kernel/kernel.as numbers what it knows. */
const KINDS: Readonly<Record<HashAlgorithm | "tokens", number>> = {
  sha256: 0,
  sha256_cbor: 1,
  xxhash: 2,
  xxhash_cbor: 3,
  sha256_cbor_64bit: 4,
  sglang: 5,
  tokens: 6,
};

/**
 * Node's SHA-256 uses the processor's own instructions, where it has them, but takes some time to call: blocks of more
 * tokens than this are only serialised by the kernel. Measured (Node 20, x64), kernel alone against serialising alone: at
 * 16 tokens 0.8 of the time, at 32 1.1, at 64 1.4; on a processor without such instructions 0.55, 0.7 and 0.8.
 */
const SHA256_TOKENS = 32;

/** Typed tokens up to this many are copied one by one: making a view costs more (measured, Node 20). */
const FEW_TOKENS = 64;

/** Hashes the runs of one chain. */
export class PlainRun {
  readonly #kernel: Kernel;
  readonly #kind: number;
  readonly #blockSize: number;
  readonly #digestBytes: number;
  readonly #blocks: number;
  /** What digests the blocks that the kernel serialises; undefined if it does both. */
  readonly #digest: Digest | undefined;
  readonly #seedLow: number = 0;
  readonly #seedHigh: number = 0;

  private constructor(
    kernel: Kernel,
    kind: number,
    blockSize: number,
    digestBytes: number,
    digest: Digest | undefined,
    seed: Uint8Array | undefined,
  ) {
    this.#kernel = kernel;
    this.#kind = kind;
    this.#blockSize = blockSize;
    this.#digestBytes = digestBytes;
    this.#blocks = Math.min(RUN_BLOCKS, Math.floor(RUN_TOKENS / blockSize));
    this.#digest = digest;
    if (seed !== undefined) {
      const view = new DataView(seed.buffer, seed.byteOffset, seed.length);
      this.#seedHigh = view.getUint32(0);
      this.#seedLow = view.getUint32(4);
    }
  }

  /** For an engine's hashes, which `digest` gives too; undefined where there is no kernel, or a block is no run's length. */
  static ofEngine(
    algorithm: HashAlgorithm,
    blockSize: number,
    digestBytes: number,
    digest: Digest,
  ): PlainRun | undefined {
    const kernel = blockSize > RUN_TOKENS ? null : loadKernel();
    if (kernel === null) return undefined;
    const outside = !algorithm.startsWith("xxhash") && blockSize > SHA256_TOKENS;
    const kind = KINDS[algorithm];
    return new PlainRun(kernel, kind, blockSize, digestBytes, outside ? digest : undefined, undefined);
  }

  /** For the chain of `tokens` mode under its key. */
  static ofTokens(blockSize: number, digestBytes: number, key: Uint8Array): PlainRun | undefined {
    const kernel = blockSize > RUN_TOKENS ? null : loadKernel();
    if (kernel === null) return undefined;
    return new PlainRun(kernel, KINDS.tokens, blockSize, digestBytes, undefined, key);
  }

  /**
   * Hash the blocks `from … to` of `tokens`, into `digests` at their places.
   * @param parent - holds the digest of the block before them at `parentAt`
   * @throws {TypeError} for a token that is no number
   * @throws {RangeError} for a token that is no unsigned 32-bit integer
   */
  hash(
    tokens: TokenIds,
    from: number,
    to: number,
    parent: Uint8Array,
    parentAt: number,
    digests: Uint8Array,
  ): void {
    const { bytes } = this.#kernel;
    const digestBytes = this.#digestBytes;
    for (let block = from; block < to; ) {
      const blocks = Math.min(this.#blocks, to - block);
      for (let i = 0, at = DIGESTS_AT - digestBytes; i < digestBytes; i++)
        bytes[at + i] = parent[parentAt + i]!;
      this.#run(tokens, block, blocks);
      digests.set(bytes.subarray(DIGESTS_AT, DIGESTS_AT + blocks * digestBytes), block * digestBytes);
      block += blocks;
      parent = digests;
      parentAt = (block - 1) * digestBytes;
    }
  }

  /**
   * As {@link hash}, where a digest is a key: the first `blocks` blocks, their keys as pairs `[hi, lo]` into `out`.
   * @param hi - of the block before them
   */
  hashKeys(tokens: Uint32Array, blocks: number, hi: number, lo: number, out: Uint32Array): void {
    const { view } = this.#kernel;
    for (let block = 0; block < blocks; ) {
      const run = Math.min(this.#blocks, blocks - block);
      view.setUint32(DIGESTS_AT - 8, hi);
      view.setUint32(DIGESTS_AT - 4, lo);
      this.#run(tokens, block, run);
      for (let i = 0; i < 2 * run; i++) out[2 * block + i] = view.getUint32(DIGESTS_AT + 4 * i);
      block += run;
      hi = out[2 * block - 2]!;
      lo = out[2 * block - 1]!;
    }
  }

  /** Hash so many blocks from `block` on, the parent's digest being where the kernel wants it. */
  #run(tokens: TokenIds, block: number, blocks: number): void {
    const kernel = this.#kernel;
    const blockSize = this.#blockSize;
    const start = block * blockSize;
    const count = blocks * blockSize;
    if (count > FEW_TOKENS && tokens instanceof Uint32Array)
      kernel.tokens.set(count === tokens.length ? tokens : tokens.subarray(start, start + count));
    else copyTokens(tokens, start, count, kernel.tokens);
    if (this.#digest === undefined) kernel.run(this.#kind, blocks, blockSize, this.#seedLow, this.#seedHigh);
    else this.#runOutside(this.#digest, blocks);
  }

  #runOutside(digest: Digest, blocks: number): void {
    const { bytes } = this.#kernel;
    const blockSize = this.#blockSize;
    for (let block = 0, at = DIGESTS_AT; block < blocks; block++, at += this.#digestBytes) {
      const length = this.#kernel.write(this.#kind, 4 * block * blockSize, blockSize, at);
      digest(bytes.subarray(INPUT_AT, INPUT_AT + length), bytes, at);
    }
  }
}
