/**
 * What a prefix cache says of its changes, before any wire encoding.
 *
 * The fields are vLLM's (`vllm/distributed/kv_events.py`); hashes are whole digests, which the wire encoder shortens
 * or not. Fields that this engine's single full-attention group never sets are here because every era's layout has
 * them and the encoder is tested against all of them.
 * @module
 */
import type { ExtraKey } from "kvblock/hash";

/** A run of consecutive blocks became resident. */
export interface BlockStored {
  readonly type: "BlockStored";
  /** Digests in prompt order. */
  readonly blockHashes: readonly Uint8Array[];
  /** Digest of the block before the first, null at the start of a prompt. */
  readonly parentBlockHash: Uint8Array | null;
  /** The tokens of all the blocks. */
  readonly tokenIds: readonly number[];
  /** Tokens per block. */
  readonly blockSize: number;
  readonly loraId?: number | undefined;
  readonly loraName?: string | undefined;
  /** By block; null where a block has none. */
  readonly extraKeys?: readonly (readonly ExtraKey[] | null)[] | undefined;
  readonly medium?: string | undefined;
  readonly groupIdx?: number | undefined;
  readonly kvCacheSpecKind?: string | undefined;
  readonly slidingWindow?: number | undefined;
  readonly locality?: string | undefined;
  readonly ownership?: string | undefined;
  readonly sessionId?: string | undefined;
}

/** Physical copies were evicted, one per hash; other copies of the same block may remain. */
export interface BlockRemoved {
  readonly type: "BlockRemoved";
  readonly blockHashes: readonly Uint8Array[];
  readonly medium?: string | undefined;
  readonly groupIdx?: number | undefined;
  readonly locality?: string | undefined;
  readonly ownership?: string | undefined;
}

/** The whole tier was reset. */
export interface AllBlocksCleared {
  readonly type: "AllBlocksCleared";
}

export type CacheEvent = BlockStored | BlockRemoved | AllBlocksCleared;
