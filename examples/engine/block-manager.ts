/**
 * A prefix cache with vLLM v1's rules, in memory: which leading blocks a request reuses, what it stores, what that
 * evicts, and the events that say so.
 *
 * Follows vLLM v1's `KVCacheManager` with one full-attention group (`vllm/v1/core/kv_cache_manager.py`,
 * `get_computed_blocks`, `allocate_slots`, `free`). Pure, synchronous and deterministic: no clock, no sockets; the
 * hash is given. Tests use it as the model of what an engine would reuse.
 * @module
 */
import type { BlockChain, ExtraKey, HashKey, MultimodalItem, TokenIds } from "kvblock/hash";
import { BlockPool, hashKey } from "./block-pool.js";
import type { CacheEvent } from "./cache-events.js";

/** One prompt with what decides its block hashes. */
export interface CacheRequest {
  readonly tokens: TokenIds;
  readonly loraName?: string | undefined;
  /** The adapter's number in this engine, announced beside its name. */
  readonly loraId?: number | undefined;
  readonly cacheSalt?: string | undefined;
  readonly multimodal?: readonly MultimodalItem[] | undefined;
  /** False: never look for cached blocks (a request for prompt logprobs). Default true. */
  readonly readsPrefixCache?: boolean | undefined;
  /** Announce the blocks it reuses as well: vLLM's `kv_cache_report_mode` of `full` (PR 45261). Default false. */
  readonly reportsReuse?: boolean | undefined;
}

/** A prompt that the engine runs, by a name that is its own until {@link BlockManager.finish}. */
export interface ScheduledRequest extends CacheRequest {
  readonly id: string;
}

/**
 * The extra keys of each full block among the first `tokenCount` tokens; null where a block has none.
 * Blocks that go beyond `promptTokens` are completed by generated tokens, which vLLM hashes a little differently.
 */
export type ExtraKeysOf = (
  request: CacheRequest,
  tokenCount: number,
  promptTokens: number,
) => readonly (readonly ExtraKey[] | null)[];

export interface BlockManagerOptions {
  /** Physical blocks, of which one is never used (vLLM's null block). */
  readonly numBlocks: number;
  /** Hashes blocks and says how many tokens one has. */
  readonly hasher: Pick<BlockChain, "blockSize" | "digestBytes" | "hashTokens">;
  /** Asked only for requests with an adapter, a salt or multimodal items. Default: no extra keys. */
  readonly extraKeys?: ExtraKeysOf | undefined;
  /** How a block's extra keys are hashed, where that is not as they are announced (vLLM from v0.31). */
  readonly hashedKeys?:
    | ((keys: readonly ExtraKey[] | null, request: CacheRequest) => readonly HashKey[] | null)
    | undefined;
  /** See {@link BlockPool}. Default true. */
  readonly unhashedFirst?: boolean | undefined;
}

interface Running {
  readonly request: CacheRequest;
  /** Prompt and sampled tokens. */
  readonly tokens: number[];
  /** By full block of `tokens`: its digest and the same as a Map key. */
  readonly digests: Uint8Array[];
  readonly keys: string[];
  /** Physical blocks in prompt order. */
  blocks: number[];
  /** Tokens whose KV is computed, reused ones included. */
  computed: number;
  /** Leading blocks that are cached. */
  cached: number;
}

export class BlockManager {
  readonly blockSize: number;
  readonly #pool: BlockPool;
  readonly #hasher: BlockManagerOptions["hasher"];
  readonly #extraKeysOf: ExtraKeysOf | undefined;
  readonly #hashedKeys: BlockManagerOptions["hashedKeys"];
  readonly #running = new Map<string, Running>();

  constructor(options: BlockManagerOptions) {
    this.blockSize = options.hasher.blockSize;
    this.#hasher = options.hasher;
    this.#extraKeysOf = options.extraKeys;
    this.#hashedKeys = options.hashedKeys;
    this.#pool = new BlockPool(options.numBlocks, options.unhashedFirst ?? true);
  }

  /** How full the pool is, what a prefix can hit in it, and what will be evicted first. */
  get pool(): Pick<BlockPool, "freeBlocks" | "usedBlocks" | "cachedHashes" | "freeOrder"> {
    return this.#pool;
  }

  /**
   * Start a request: reuse its cached prefix, take blocks for `newTokens` more, and cache those that are full.
   * A request that did not fit or was preempted is started again by the same call; its sampled tokens are kept.
   *
   * @param newTokens - tokens to compute now, counted after the reused ones; default all that are left
   * @returns the tokens it reuses, or null when the free blocks do not suffice (nothing in the cache has changed then)
   */
  schedule(request: ScheduledRequest, newTokens?: number): { cachedTokens: number } | null {
    let running = this.#running.get(request.id);
    if (running === undefined) this.#running.set(request.id, (running = this.#admit(request)));
    if (running.blocks.length > 0) throw new Error(`request ${request.id} is already scheduled`);
    const hits = request.readsPrefixCache === false ? [] : this.#find(running.tokens.length, running.keys);
    if (request.reportsReuse === true && hits.length > 0) this.#announce(running, 0, hits.length);
    const cachedTokens = hits.length * this.blockSize;
    const upTo = Math.min(running.tokens.length, cachedTokens + (newTokens ?? Number.POSITIVE_INFINITY));
    // A hit that waits in the free queue uses up a free block just as a new one does.
    const waiting = hits.filter((block) => this.#pool.isFree(block)).length;
    if (this.#blocksFor(upTo) - hits.length + waiting > this.#pool.freeBlocks) return null;
    this.#pool.touch(hits);
    running.blocks = hits;
    running.cached = hits.length;
    this.#extend(running, upTo);
    return { cachedTokens };
  }

  /**
   * Compute `newTokens` more tokens of a scheduled request (default: all that are not computed yet).
   * @returns false when the free blocks do not suffice (nothing has changed then)
   */
  compute(id: string, newTokens?: number): boolean {
    const running = this.#get(id);
    const upTo = Math.min(running.tokens.length, running.computed + (newTokens ?? Number.POSITIVE_INFINITY));
    if (this.#blocksFor(upTo) - running.blocks.length > this.#pool.freeBlocks) return false;
    this.#extend(running, upTo);
    return true;
  }

  /**
   * The engine sampled these tokens, one after the other. Each is computed before the next is sampled, so the KV of
   * the last one does not exist: after T tokens, at most floor((T - 1) / blockSize) blocks are cached.
   * @returns how many were taken before the free blocks ran out: all of them, in a pool that is large enough
   */
  append(id: string, tokens: TokenIds): number {
    const running = this.#get(id);
    for (let taken = 0; taken < tokens.length; taken++) {
      if (running.computed < running.tokens.length && !this.compute(id)) return taken;
      running.tokens.push(tokens[taken]!);
      this.#hashFullBlocks(running);
    }
    return tokens.length;
  }

  /** Tokens of a request whose KV is not computed yet. */
  pendingTokens(id: string): number {
    const running = this.#get(id);
    return running.tokens.length - running.computed;
  }

  /** Free a request's blocks, its tail first, but keep its tokens: it will be scheduled again. */
  preempt(id: string): void {
    const running = this.#get(id);
    this.#pool.release(running.blocks.reverse());
    running.blocks = [];
    running.computed = running.cached = 0;
  }

  /** Free a request's blocks, its tail first, so that the head of a chain outlives its tail; and forget it, if known. */
  finish(id: string): void {
    if (!this.#running.has(id)) return;
    this.preempt(id);
    this.#running.delete(id);
  }

  /** How many leading blocks the prompt would reuse if it were scheduled now. Changes nothing. */
  peek(request: CacheRequest): number {
    if (request.readsPrefixCache === false) return 0;
    return this.#find(request.tokens.length, this.#admit(request).keys).length;
  }

  /** Forget every cached block. False, and no event, while a request holds blocks. */
  reset(): boolean {
    return this.#pool.reset();
  }

  /** The events since the last call, in the order of happening: an engine publishes them as one batch per step. */
  takeEvents(): CacheEvent[] {
    return this.#pool.takeEvents();
  }

  /** The physical copies that a prompt of so many tokens reuses: up to the first miss, and never its last token. */
  #find(tokenCount: number, keys: readonly string[]): number[] {
    const most = Math.floor((tokenCount - 1) / this.blockSize);
    const hits: number[] = [];
    while (hits.length < most) {
      const block = this.#pool.find(keys[hits.length]!);
      if (block === undefined) break;
      hits.push(block);
    }
    return hits;
  }

  #extend(running: Running, upTo: number): void {
    running.blocks = running.blocks.concat(
      this.#pool.allocate(Math.max(0, this.#blocksFor(upTo) - running.blocks.length)),
    );
    running.computed = upTo;
    const from = running.cached;
    const full = Math.floor(upTo / this.blockSize);
    if (full <= from) return;
    for (let block = from; block < full; block++)
      this.#pool.cache(running.blocks[block]!, running.keys[block]!, running.digests[block]!);
    running.cached = full;
    this.#announce(running, from, full);
  }

  /** Blocks `from … to` as stored; vLLM announces reused ones in the same form. */
  #announce(running: Running, from: number, to: number): void {
    this.#pool.push({
      type: "BlockStored",
      blockHashes: running.digests.slice(from, to),
      parentBlockHash: running.digests[from - 1] ?? null,
      tokenIds: running.tokens.slice(from * this.blockSize, to * this.blockSize),
      blockSize: this.blockSize,
      loraId: running.request.loraId,
      loraName: running.request.loraName,
      // vLLM works these out anew for the event, as if every token were of the prompt.
      extraKeys:
        this.#extraKeys(running.request, to, to * this.blockSize)?.slice(from) ??
        new Array<null>(to - from).fill(null),
      medium: "GPU",
      groupIdx: 0,
      kvCacheSpecKind: "full_attention",
    });
  }

  #admit(request: CacheRequest): Running {
    if (request.tokens.length === 0) throw new RangeError('"tokens" expected at least one token, got none');
    const running: Running = {
      request,
      tokens: Array.from(request.tokens),
      digests: [],
      keys: [],
      blocks: [],
      computed: 0,
      cached: 0,
    };
    this.#hashFullBlocks(running);
    return running;
  }

  /** Hash the blocks that have become full, continuing the chain. */
  #hashFullBlocks(running: Running): void {
    const from = running.digests.length;
    const full = Math.floor(running.tokens.length / this.blockSize);
    if (full === from) return;
    const { request } = running;
    const announced = this.#extraKeys(request, full, request.tokens.length)?.slice(from);
    const hashed = this.#hashedKeys;
    const extraKeys = hashed === undefined ? announced : announced?.map((keys) => hashed(keys, request));
    const digests = this.#hasher.hashTokens(
      running.tokens.slice(from * this.blockSize, full * this.blockSize),
      {
        extraKeys,
        parent: running.digests[from - 1],
      },
    );
    for (let at = 0; at < digests.length; at += this.#hasher.digestBytes) {
      const digest = digests.subarray(at, at + this.#hasher.digestBytes);
      running.digests.push(digest);
      running.keys.push(hashKey(digest));
    }
  }

  /** Undefined for a request that has none at all. */
  #extraKeys(
    request: CacheRequest,
    blocks: number,
    promptTokens: number,
  ): readonly (readonly ExtraKey[] | null)[] | undefined {
    if (!request.loraName && !request.cacheSalt && !request.multimodal?.length) return undefined;
    return this.#extraKeysOf?.(request, blocks * this.blockSize, promptTokens);
  }

  #blocksFor(tokens: number): number {
    return Math.ceil(tokens / this.blockSize);
  }

  #get(id: string): Running {
    const running = this.#running.get(id);
    if (running === undefined) throw new Error(`request ${id} is not known`);
    return running;
  }
}
