/**
 * `kvblock/hash`: token ids (and extra keys) → block hashes, exactly as vLLM and SGLang compute them → block keys.
 * @module
 */
export type {
  ExtraKey,
  ExtraKeysEra,
  HashAlgorithm,
  MultimodalItem,
  TaggedKey,
  TokenIds,
} from "../types.js";
export { HASH_ALGORITHMS, VLLM_DEFAULT_SEED } from "./algorithms.js";
export type { BlockHasher, BlockHasherOptions } from "./block-hasher.js";
export { toBlockKeys } from "./block-keys.js";
export type { BlockChain, HashTokensOptions, KeyChain } from "./chain.js";
export { blockExtraKeys, type ExtraKeysRequest } from "./extra-keys.js";
export {
  createBlockHasher,
  createBlockHasherSync,
  type Hashing,
  loadHashing,
  type TokenChainOptions,
} from "./hashing.js";
export { sha256Text } from "./sha256.js";
export { type HashKey, type LoraSource, tagExtraKeys } from "./tagged-keys.js";
