/**
 * What an event batch decodes to. Types only.
 *
 * Follows vLLM's `vllm/distributed/kv_events.py` and SGLang's `disaggregation/kv_events.py`; docs/wire-format.md has
 * the field tables by engine version.
 * @module
 */
import type { ExtraKey } from "../types.js";

/** Blocks became resident in one tier of one attention group. */
export interface BlockStored {
  readonly type: "BlockStored";
  /**
   * Keys of the stored blocks as u32 pairs `[hi, lo]`, in prompt order; length 2 × blocks. A key is the low 64 bits
   * of the announced hash: a signed integer as two's complement, a byte string's last 8 bytes.
   */
  readonly blockKeys: Uint32Array;
  /** Key `[hi, lo]` of the block before the first; null at a prompt's start, and where the engine does not say. */
  readonly parentKey: readonly [hi: number, lo: number] | null;
  /**
   * Tokens of the whole range. More than `blockSize` × blocks where the engine kept only some blocks of the range,
   * none where it does not say them (offload tiers): check the lengths before pairing tokens with keys.
   */
  readonly tokenIds: Uint32Array;
  /** Tokens per block; 0 in placeholder stores of offload tiers. */
  readonly blockSize: number;
  readonly loraId: number | null;
  readonly loraName: string | null;
  /** Tier as on the wire (`"GPU"`, `"CPU"`, `"STORAGE"`, `"CPU_PINNED"`, …); null means the engine's own. */
  readonly medium: string | null;
  /** By block, its extra keys or null; null as a whole when the event has none or cannot say. */
  readonly extraKeys: readonly (readonly ExtraKey[] | null)[] | null;
  /**
   * True when absent extra keys mean that the blocks have none: maps, and arrays long enough to have the field.
   * False for older arrays, whose salted and multimodal blocks look like any other.
   */
  readonly hasExtraKeysField: boolean;
  /** SGLang's salt, which it sends beside the blocks; vLLM's is in `extraKeys`. */
  readonly cacheSalt: string | null;
  /** Attention group of a hybrid model. */
  readonly groupIdx: number | null;
  /** vLLM's `KVCacheSpecKind`: `"full_attention"`, `"sliding_window"`, `"mamba"`, … */
  readonly kvCacheSpecKind: string | null;
  /** Window of a sliding-window group, in tokens. */
  readonly slidingWindow: number | null;
}

/** One copy of each block left one tier of one attention group. */
export interface BlockRemoved {
  readonly type: "BlockRemoved";
  /** As in {@link BlockStored}. */
  readonly blockKeys: Uint32Array;
  readonly medium: string | null;
  readonly groupIdx: number | null;
  /**
   * How many copies of each block are left there; null where the engine does not say. vLLM's PR 48933 proposes it; what
   * does not go with the blocks one by one is taken for not said.
   */
  readonly remainingCopies: Uint32Array | null;
}

/** The engine's own tier of this rank is empty. */
export interface AllBlocksCleared {
  readonly type: "AllBlocksCleared";
}

/** One decoded event. */
export type KvEvent = BlockStored | BlockRemoved | AllBlocksCleared;

/** Why one event of a batch was left out. */
export type SkipReason =
  | "not-an-event" // neither an array nor a map, or without a type name
  | "unknown-type" // a type that this decoder does not know; `detail` names it
  | "missing-field" // a field that every engine version sends is absent
  | "bad-field" // a field of a type or range that no engine version sends
  | "bad-hash" // a hash that is neither a 64-bit integer nor bytes of a digest's length
  | "bigram-tokens" // SGLang with EAGLE: token ids are pairs, which no prompt can be matched against
  | "unknown-extra-key"; // an extra key of a shape that cannot be told

/** One event that was left out. */
export interface SkippedEvent {
  /** Position in the batch, from 0. */
  readonly index: number;
  /** What it would have been; null where that cannot be read, or is of a type unknown here. */
  readonly type: KvEvent["type"] | null;
  readonly reason: SkipReason;
  /** Field or type name, for a person. Never token ids. */
  readonly detail: string;
}

/** Why decoding a batch ended early. */
export type BatchFailureReason =
  | "truncated" // the bytes end, or a declared length goes past their end
  | "invalid-byte" // 0xc1, which msgpack never uses
  | "not-a-batch" // neither an array nor a map with a time and a list of events
  | "too-many-skipped" // more bad events than one batch may list
  | "trailing-bytes"; // bytes follow the batch; the whole batch was decoded

/** Where and why decoding a batch ended. */
export interface BatchFailure {
  readonly reason: BatchFailureReason;
  /** Byte offset in the payload. */
  readonly offset: number;
}

/** One decoded payload. */
export interface EventBatch {
  /** The engine's clock when it made the batch, seconds since the epoch; NaN when `failed` came before it. */
  readonly ts: number;
  /** Null where the engine does not say, and when `failed` came before it. */
  readonly dataParallelRank: number | null;
  /** In the order of happening. */
  readonly events: KvEvent[];
  readonly skipped: SkippedEvent[];
  /** Null when the bytes were read to their end; else the events before the failure stand. */
  readonly failed: BatchFailure | null;
}
