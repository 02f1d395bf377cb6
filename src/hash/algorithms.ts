/**
 * The engines' hash algorithms, by name.
 *
 * | name | format | digest | bytes |
 * |---|---|---|---|
 * | `sha256` (vLLM's default from v0.10.2) | pickle | SHA-256 | 32 |
 * | `sha256_cbor` | canonical CBOR | SHA-256 | 32 |
 * | `xxhash` | pickle | XXH3-128 | 16 |
 * | `xxhash_cbor` | canonical CBOR | XXH3-128 | 16 |
 * | `sha256_cbor_64bit` (v0.10.0, v0.10.1) | canonical CBOR, the parent an integer | SHA-256, last 8 bytes | 8 |
 * | `sglang` | parent and tokens as they are | SHA-256 | 32 |
 *
 * Source: vLLM `vllm/utils/hashing.py`, `vllm/config/cache.py`; SGLang `mem_cache`.
 * @module
 */
import type { HashAlgorithm } from "../types.js";

/** What an algorithm is made of. */
export interface AlgorithmTraits {
  readonly format: "pickle" | "cbor" | "cbor-integer-parent" | "sglang";
  readonly digest: "sha256" | "sha256-low64" | "xxh3";
  readonly digestBytes: number;
  /** Lengths that a raw NONE_HASH can have. */
  readonly noneHashBytes: readonly number[];
}

export const TRAITS: Readonly<Record<HashAlgorithm, AlgorithmTraits>> = {
  // A raw NONE_HASH is 32 random bytes whatever the algorithm (vLLM up to v0.27), or what the algorithm gives.
  sha256: { format: "pickle", digest: "sha256", digestBytes: 32, noneHashBytes: [16, 32] },
  sha256_cbor: { format: "cbor", digest: "sha256", digestBytes: 32, noneHashBytes: [16, 32] },
  xxhash: { format: "pickle", digest: "xxh3", digestBytes: 16, noneHashBytes: [16, 32] },
  xxhash_cbor: { format: "cbor", digest: "xxh3", digestBytes: 16, noneHashBytes: [16, 32] },
  // Here it is an integer: of 256 random bits, or of the 64 bits that a seed gives.
  sha256_cbor_64bit: {
    format: "cbor-integer-parent",
    digest: "sha256-low64",
    digestBytes: 8,
    noneHashBytes: [8, 16, 32],
  },
  sglang: { format: "sglang", digest: "sha256", digestBytes: 32, noneHashBytes: [32] },
};

/** Every algorithm that {@link createBlockHasher} knows. */
export const HASH_ALGORITHMS: readonly HashAlgorithm[] = Object.keys(TRAITS) as HashAlgorithm[];

/**
 * The seed that vLLM hashes `sha256` and `sha256_cbor` blocks with when `PYTHONHASHSEED` is unset, from PR 51875 on
 * (first released in v0.29). Before, and with the xxhash algorithms, an unset seed is random.
 */
export const VLLM_DEFAULT_SEED: string = "vllm-none-hash";
