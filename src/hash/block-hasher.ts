/**
 * Block hashes as an engine computes them, bit for bit.
 *
 * `hash = digest(serialise(parent hash, tokens, extra keys))`; the first block's parent is `NONE_HASH`, the digest of
 * the serialised seed string (the environment's `PYTHONHASHSEED`), or random bytes where an old engine had no seed.
 * Source: vLLM v1 `kv_cache_utils.py` (`hash_block_tokens`, `init_none_hash`). Vectors: test/vectors.
 * @module
 */
import { checkInteger, checkOneOf, checkOptions, rangeMistake, typeMistake } from "../errors.js";
import type { HashAlgorithm, TokenIds } from "../types.js";
import { HASH_ALGORITHMS, TRAITS } from "./algorithms.js";
import { toBlockKeys } from "./block-keys.js";
import { CborFormat } from "./cbor.js";
import { type BlockChain, HashChain, type HashTokensOptions, roomIn } from "./chain.js";
import type { BlockFormat, Digest } from "./format.js";
import { PickleFormat } from "./pickle.js";
import { PlainRun } from "./plain-run.js";
import { SglangFormat } from "./sglang.js";
import { sha256, sha256Low64 } from "./sha256.js";

/** What must be known of an engine to reproduce its block hashes: an algorithm, a block size, and where chains start. */
export interface BlockHasherOptions {
  algorithm: HashAlgorithm;
  /** Tokens per block, exactly the engine's: chains of other block sizes have nothing in common. */
  blockSize: number;
  /**
   * Tokens per hash, where the engine hashes finer than its blocks (hybrid models: the greatest common divisor of its
   * groups' block sizes, or `--prefix-match-unit`). A divisor of `blockSize`; default `blockSize`.
   */
  hashBlockSize?: number | undefined;
  /**
   * The engine's `PYTHONHASHSEED`, as text (`"0"`, not 0), or {@link VLLM_DEFAULT_SEED}. SGLang has no seed: with
   * `"sglang"` it changes nothing and can be left out.
   */
  seed?: string | undefined;
  /**
   * Instead of the seed, `NONE_HASH` itself: 16 or 32 bytes whatever the vLLM algorithm (an engine without seed drew 32
   * random bytes). `sha256_cbor_64bit` reads it as a big-endian integer and takes 8 bytes too. For `"sglang"`, the 32
   * bytes that a salted chain starts from.
   */
  noneHash?: Uint8Array | undefined;
}

/** A {@link BlockChain} that gives an engine's own hashes. */
export interface BlockHasher extends BlockChain {
  readonly algorithm: HashAlgorithm;
  /** The parent of a first block; empty for an unsalted `"sglang"`. A copy. */
  readonly noneHash: Uint8Array;
}

/** Whether the algorithm needs WebAssembly. */
export function needsXxh3(algorithm: HashAlgorithm): boolean {
  return TRAITS[algorithm].digest === "xxh3";
}

/**
 * Refuse mistakes in `o`; gives its algorithm.
 * @throws {TypeError} as createBlockHasher
 * @throws {RangeError} as createBlockHasher
 */
export function checkHasherOptions(where: string, o: BlockHasherOptions): HashAlgorithm {
  checkOptions(where, o, ["algorithm", "blockSize", "hashBlockSize", "seed", "noneHash"]);
  const algorithm = checkOneOf("algorithm", o.algorithm, HASH_ALGORITHMS);
  checkInteger("blockSize", o.blockSize, 1);
  if (o.hashBlockSize !== undefined) {
    checkInteger("hashBlockSize", o.hashBlockSize, 1);
    if (o.blockSize % o.hashBlockSize !== 0)
      throw rangeMistake("hashBlockSize", `a divisor of blockSize ${o.blockSize}`, o.hashBlockSize);
  }
  const { seed, noneHash } = o as { seed?: unknown; noneHash?: unknown };
  if (seed !== undefined && noneHash !== undefined)
    throw new TypeError(`"seed" and "noneHash" exclude each other: ${where} expected one of them`);
  if (typeof seed === "number")
    throw typeMistake("seed", `string (PYTHONHASHSEED is text: write "${seed}")`, seed);
  if (seed !== undefined && typeof seed !== "string") throw typeMistake("seed", "string", seed);
  if (noneHash !== undefined) {
    const { noneHashBytes } = TRAITS[algorithm];
    if (!(noneHash instanceof Uint8Array)) throw typeMistake("noneHash", "Uint8Array", noneHash);
    if (!noneHashBytes.includes(noneHash.length))
      throw rangeMistake("noneHash", `${noneHashBytes.join(" or ")} bytes`, noneHash);
  }
  if (seed === undefined && noneHash === undefined && algorithm !== "sglang")
    throw new TypeError(
      `${where} expected "seed" (the engine's PYTHONHASHSEED, as a string) or "noneHash" (bytes) for "${algorithm}"`,
    );
  return algorithm;
}

/** A hasher over checked options. */
export class EngineBlockHasher implements BlockHasher {
  readonly algorithm: HashAlgorithm;
  readonly blockSize: number;
  readonly hashBlockSize: number;
  readonly digestBytes: number;
  readonly #noneHash: Uint8Array;
  readonly #chain: HashChain;

  constructor(o: BlockHasherOptions, xxh3: Digest | undefined) {
    const { algorithm, blockSize } = o;
    const { digestBytes } = TRAITS[algorithm];
    const digest = digestOf(algorithm, xxh3);
    const format = formatOf(algorithm);
    this.algorithm = algorithm;
    this.blockSize = blockSize;
    this.hashBlockSize = o.hashBlockSize ?? blockSize;
    this.digestBytes = digestBytes;
    this.#noneHash =
      o.noneHash === undefined
        ? seedHash(format, digest, digestBytes, o.seed ?? "")
        : new Uint8Array(o.noneHash); // a copy, also of a Buffer, whose slice() is none
    this.#chain = new HashChain(
      this.hashBlockSize,
      digestBytes,
      this.#noneHash,
      format,
      digest,
      PlainRun.ofEngine(algorithm, this.hashBlockSize, digestBytes, digest),
    );
  }

  get noneHash(): Uint8Array {
    return this.#noneHash.slice();
  }

  hashTokens(tokens: TokenIds, options?: HashTokensOptions): Uint8Array {
    const { blockSize, hashBlockSize, digestBytes } = this;
    if (hashBlockSize === blockSize) return this.#chain.hashTokens(tokens, options);
    // What is no list is refused by the chain.
    const isList = tokens instanceof Uint32Array || Array.isArray(tokens);
    const blocks = isList ? Math.floor(tokens.length / blockSize) : 0;
    const whole = isList ? tokens.slice(0, blocks * blockSize) : tokens;
    const out = options?.out;
    const fine = this.#chain.hashTokens(whole, out === undefined ? options : { ...options, out: undefined });
    const digests =
      out === undefined ? new Uint8Array(blocks * digestBytes) : roomIn(out, blocks * digestBytes);
    const stride = (blockSize / hashBlockSize) * digestBytes;
    for (let block = 0; block < blocks; block++)
      digests.set(
        fine.subarray((block + 1) * stride - digestBytes, (block + 1) * stride),
        block * digestBytes,
      );
    return digests;
  }

  toKeys(digests: Uint8Array, out?: Uint32Array): Uint32Array {
    return toBlockKeys(digests, this.algorithm, out);
  }
}

function digestOf(algorithm: HashAlgorithm, xxh3: Digest | undefined): Digest {
  const { digest } = TRAITS[algorithm];
  if (digest === "sha256") return sha256;
  if (digest === "sha256-low64") return sha256Low64;
  return xxh3!; // the doors load it before they come here
}

function formatOf(algorithm: HashAlgorithm): PickleFormat | CborFormat | SglangFormat {
  const { format } = TRAITS[algorithm];
  if (format === "pickle") return new PickleFormat();
  if (format === "sglang") return new SglangFormat();
  return new CborFormat(format === "cbor-integer-parent");
}

function seedHash(format: BlockFormat, digest: Digest, digestBytes: number, seed: string): Uint8Array {
  if (!(format instanceof PickleFormat || format instanceof CborFormat)) return new Uint8Array(0);
  const noneHash = new Uint8Array(digestBytes);
  digest(format.value(seed), noneHash, 0);
  return noneHash;
}
