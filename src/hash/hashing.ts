/**
 * The ways to get a hasher: one at a time, or the whole of hashing loaded once and synchronous from then on.
 * @module
 */
import { checkInteger, checkOptions, rangeMistake, typeMistake } from "../errors.js";
import {
  type BlockHasher,
  type BlockHasherOptions,
  checkHasherOptions,
  EngineBlockHasher,
  needsXxh3,
} from "./block-hasher.js";
import type { KeyChain } from "./chain.js";
import { TokenChain } from "./token-chain.js";
import { loadXxh3 } from "./xxh3.js";
import { loadXxh64 } from "./xxh64.js";

/** Options of {@link Hashing.tokenChain}. */
export interface TokenChainOptions {
  /** Tokens per block. */
  blockSize: number;
  /**
   * 8 bytes that seed every hash. Chains agree only under one key; a key nobody else knows keeps others from making
   * prompts that collide on purpose. Absent: random.
   */
  key?: Uint8Array | undefined;
}

/** Hashing with everything loaded: any number of hashers, made synchronously. */
export interface Hashing {
  /**
   * An engine's own block hashes.
   * @throws {TypeError} as {@link createBlockHasher}
   * @throws {RangeError} as {@link createBlockHasher}
   */
  blockHasher(options: BlockHasherOptions): BlockHasher;
  /**
   * Our own 64-bit chain over tokens and extra keys (XXH64), for engines whose hashes cannot be reproduced. Its keys
   * mean something in this process only.
   * @throws {TypeError} for a wrong type or an unknown option
   * @throws {RangeError} for a block size below 1, or a key that is not 8 bytes
   */
  tokenChain(options: TokenChainOptions): KeyChain;
}

/**
 * A hasher of an engine's own block hashes.
 *
 * Asynchronous because the xxhash algorithms compile WebAssembly; {@link createBlockHasherSync} and
 * {@link loadHashing} are the other ways.
 *
 * @throws {TypeError} for a wrong type, an unknown option or algorithm, neither or both of `seed` and `noneHash`
 * @throws {RangeError} for a block size below 1 or a `noneHash` of another length
 */
export async function createBlockHasher(options: BlockHasherOptions): Promise<BlockHasher> {
  const algorithm = checkHasherOptions("createBlockHasher", options);
  return new EngineBlockHasher(options, needsXxh3(algorithm) ? await loadXxh3() : undefined);
}

/**
 * As {@link createBlockHasher}, for the algorithms that rest on SHA-256.
 * @throws {TypeError} also for `xxhash` and `xxhash_cbor`
 */
export function createBlockHasherSync(options: BlockHasherOptions): BlockHasher {
  const algorithm = checkHasherOptions("createBlockHasherSync", options);
  if (needsXxh3(algorithm))
    throw new TypeError(
      `"algorithm" expected one that rests on SHA-256, got "${algorithm}", which loads WebAssembly: await createBlockHasher`,
    );
  return new EngineBlockHasher(options, undefined);
}

/** Load everything that hashing needs (two small WebAssembly modules, inside the packages' JavaScript). */
export async function loadHashing(): Promise<Hashing> {
  const [xxh3, xxh64] = await Promise.all([loadXxh3(), loadXxh64()]);
  return {
    blockHasher(options: BlockHasherOptions): BlockHasher {
      checkHasherOptions("blockHasher", options);
      return new EngineBlockHasher(options, xxh3);
    },
    tokenChain(options: TokenChainOptions): KeyChain {
      checkOptions("tokenChain", options, ["blockSize", "key"]);
      checkInteger("blockSize", options.blockSize, 1);
      const key = options.key ?? crypto.getRandomValues(new Uint8Array(8));
      if (!(key instanceof Uint8Array)) throw typeMistake("key", "Uint8Array", key);
      if (key.length !== 8) throw rangeMistake("key", "8 bytes", key);
      return new TokenChain(options.blockSize, xxh64(key), key);
    },
  };
}
