/**
 * A model engine whose cache events reach indexers as raw frames: the example engine's block manager and wire encoder,
 * with a sequence and a clock. What its block manager would reuse is the truth that predictions are held to.
 * @module
 */
import { Encoder } from "@msgpack/msgpack";
import type { KvFrame } from "kvblock";
import {
  type BlockHasher,
  blockExtraKeys,
  createBlockHasher,
  type ExtraKey,
  type HashAlgorithm,
  type HashKey,
  tagExtraKeys,
} from "kvblock/hash";
import { BlockManager, type CacheRequest } from "../../examples/engine/block-manager.js";
import { hashKey } from "../../examples/engine/block-pool.js";
import type { CacheEvent } from "../../examples/engine/cache-events.js";
import { encodeEventBatch, type WireEra } from "../../examples/engine/wire.js";

export interface LinkOptions {
  pod?: string;
  model?: string;
  rank?: number;
  algorithm?: HashAlgorithm;
  /** PYTHONHASHSEED; absent: random, as engines without one are. */
  seed?: string | undefined;
  /** Instead of a seed. */
  noneHash?: Uint8Array | undefined;
  blockSize?: number;
  /** Tokens per hash, where the engine hashes finer than its blocks; plain prompts only. */
  hashBlockSize?: number | undefined;
  numBlocks?: number;
  era?: WireEra;
  intHashes?: boolean;
  /** Adapters by name, with this engine's integer ids. */
  loras?: Readonly<Record<string, number>>;
  /** The engine hashes an adapter's id instead of its name (before v0.11.1). */
  hashesLoraId?: boolean;
  /** Where the adapters are: the engine hashes extra keys tagged, an adapter's path among them (from v0.31). */
  loraPaths?: Readonly<Record<string, string>> | undefined;
}

/** Eras whose engines hash images by bare identifier: their events have no extra keys, or came before offsets. */
const BARE_ITEMS: ReadonlySet<WireEra> = new Set(["A1", "A1r", "A2", "A3"]);

export class EngineLink {
  readonly pod: string;
  readonly model: string;
  readonly rank: number;
  cache: BlockManager;
  seq = 0n;
  /** Batch time, in seconds. */
  ts = 1_700_000_000;
  readonly #options: LinkOptions;
  readonly #hasher: BlockHasher;

  private constructor(options: LinkOptions, hasher: BlockHasher) {
    this.#options = options;
    this.#hasher = hasher;
    this.pod = options.pod ?? "10.0.0.1:8000";
    this.model = options.model ?? "base";
    this.rank = options.rank ?? 0;
    this.cache = this.#newCache();
  }

  static async start(options: LinkOptions = {}): Promise<EngineLink> {
    const { algorithm = "sha256_cbor", blockSize = 4, hashBlockSize, seed } = options;
    const root =
      algorithm === "sglang"
        ? {}
        : seed !== undefined
          ? { seed }
          : { noneHash: options.noneHash ?? crypto.getRandomValues(new Uint8Array(32)) };
    const hasher = await createBlockHasher({ algorithm, blockSize, hashBlockSize, ...root } as Parameters<
      typeof createBlockHasher
    >[0]);
    return new EngineLink(options, hasher);
  }

  /** A new process in the old one's place: empty cache, sequence from 0, and a clock that is later, or was set back. */
  restart(clockSeconds = 60): void {
    this.cache = this.#newCache();
    this.seq = 0n;
    this.ts += clockSeconds;
  }

  /** Nobody outside can tell that a process is new before it speaks. */
  get hasSpoken(): boolean {
    return this.seq > 0n;
  }

  /** The request as this engine takes it: with its adapter's number. */
  request(request: CacheRequest): CacheRequest {
    const { loraName } = request;
    return loraName === undefined ? request : { ...request, loraId: this.#options.loras?.[loraName] };
  }

  /** What the engine would reuse, in blocks. */
  peek(request: CacheRequest): number {
    return this.cache.peek(this.request(request));
  }

  /** Run a prompt and what it generates through the cache at once. */
  serve(request: CacheRequest, generated: readonly number[] = []): void {
    const id = "served";
    this.cache.schedule({ ...this.request(request), id });
    this.cache.append(id, generated);
    this.cache.finish(id);
  }

  /** The frame of what happened since the last one, as one step's batch; undefined if nothing did. */
  frame(): KvFrame | undefined {
    const events = this.cache.takeEvents();
    return events.length === 0 ? undefined : this.frameOf(events);
  }

  frameOf(events: readonly CacheEvent[]): KvFrame {
    const { era = "M1", intHashes = true, algorithm } = this.#options;
    this.ts += 0.01;
    const batch = { ts: this.ts, events, dataParallelRank: this.rank };
    return {
      topic: `kv@${this.pod}@${this.model}`,
      seq: this.seq++,
      payload:
        algorithm === "sglang"
          ? sglangBatch(batch)
          : Uint8Array.from(encodeEventBatch(batch, { era, intHashes })),
      receivedAt: this.ts * 1000,
      // The first version's batches had no rank; there was one publisher per process then.
      ...(era === "A1" ? { dataParallelRank: this.rank } : {}),
    };
  }

  /** The prompt's blocks that could be reused, as Map keys of the engine's digests. */
  keysOf(request: CacheRequest): string[] {
    const { blockSize, digestBytes } = this.#hasher;
    const blocks = Math.max(0, Math.floor((request.tokens.length - 1) / blockSize));
    const tokens = request.tokens.slice(0, blocks * blockSize);
    const full = this.request(request);
    const { loraName, cacheSalt, multimodal } = full;
    const extraKeys =
      loraName || cacheSalt || multimodal?.length
        ? this.#extraKeys(full, tokens.length, request.tokens.length).map((keys) => this.#hashed(keys, full))
        : undefined;
    const digests = this.#hasher.hashTokens(tokens, { extraKeys });
    return Array.from({ length: blocks }, (_, i) =>
      hashKey(digests.subarray(i * digestBytes, (i + 1) * digestBytes)),
    );
  }

  #newCache(): BlockManager {
    const { numBlocks = 64 } = this.#options;
    return new BlockManager({
      numBlocks,
      hasher: this.#hasher,
      extraKeys: (request, tokenCount, promptTokens) => this.#extraKeys(request, tokenCount, promptTokens),
      hashedKeys: (keys, request) => this.#hashed(keys, request),
    });
  }

  #extraKeys(
    { loraName, loraId, cacheSalt, multimodal }: CacheRequest,
    tokenCount: number,
    promptTokens: number,
  ): (readonly ExtraKey[] | null)[] {
    const { era = "M1", hashesLoraId = false, loraPaths } = this.#options;
    return blockExtraKeys(
      {
        ...(hashesLoraId ? { loraId } : { loraName }),
        cacheSalt,
        multimodal,
        // From v0.31 on a block that generation completes is looked at as any other.
        promptTokens: loraPaths === undefined ? promptTokens : undefined,
      },
      tokenCount,
      this.#hasher.blockSize,
      BARE_ITEMS.has(era) ? "identifiers" : "offsets",
    );
  }

  #hashed(keys: readonly ExtraKey[] | null, { loraName }: CacheRequest): readonly HashKey[] | null {
    const { loraPaths } = this.#options;
    if (loraPaths === undefined) return keys;
    return tagExtraKeys(
      keys,
      loraName === undefined ? undefined : { name: loraName, path: loraPaths[loraName]! },
    );
  }
}

const encoder = new Encoder({ useBigInt64: true });

/** SGLang's arrays: hashes are the first 8 bytes of the page hash as signed integers. */
function sglangBatch(batch: {
  ts: number;
  events: readonly CacheEvent[];
  dataParallelRank: number;
}): Uint8Array {
  const hash = (digest: Uint8Array): bigint =>
    new DataView(digest.buffer, digest.byteOffset, digest.byteLength).getBigInt64(0);
  const events = batch.events.map((event) => {
    if (event.type === "AllBlocksCleared") return [event.type];
    if (event.type === "BlockRemoved") return [event.type, event.blockHashes.map(hash), event.medium ?? null];
    const parent = event.parentBlockHash === null ? null : hash(event.parentBlockHash);
    const { tokenIds, blockSize, medium = null } = event;
    return [event.type, event.blockHashes.map(hash), parent, tokenIds, blockSize, null, medium];
  });
  return encoder.encode([batch.ts, events, batch.dataParallelRank]);
}
