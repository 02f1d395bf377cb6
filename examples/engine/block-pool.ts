/**
 * The physical blocks of one engine: which are free, which are cached under which hash, and the events of both.
 *
 * Follows vLLM v1's `BlockPool` (`vllm/v1/core/block_pool.py`): block 0 is the null block and never used; a hash may
 * have several physical copies; a cached block stays reachable while it waits in the free queue, and its eviction is
 * announced even when another copy remains.
 * @module
 */
import type { CacheEvent } from "./cache-events.js";
import { FreeQueue } from "./free-queue.js";

/** A digest as a Map key. */
export function hashKey(digest: Uint8Array): string {
  return Buffer.from(digest.buffer, digest.byteOffset, digest.byteLength).toString("latin1");
}

export class BlockPool {
  readonly #free: FreeQueue;
  readonly #references: Uint32Array;
  /** By block, the digest that it is cached under. */
  readonly #digests: (Uint8Array | undefined)[];
  /** By hash, its physical copies, oldest first. */
  readonly #cached = new Map<string, Set<number>>();
  readonly #numBlocks: number;
  readonly #unhashedFirst: boolean;
  #events: CacheEvent[] = [];

  /**
   * @param numBlocks - physical blocks, the null block included
   * @param unhashedFirst - freed blocks that no prefix can hit go to the queue's front (newer vLLM) instead of its back
   */
  constructor(numBlocks: number, unhashedFirst: boolean) {
    this.#numBlocks = numBlocks;
    this.#unhashedFirst = unhashedFirst;
    this.#free = new FreeQueue(numBlocks);
    this.#references = new Uint32Array(numBlocks);
    this.#digests = new Array(numBlocks);
  }

  get freeBlocks(): number {
    return this.#free.length;
  }

  /** Blocks that requests hold. */
  get usedBlocks(): number {
    return this.#numBlocks - 1 - this.#free.length;
  }

  /** Distinct hashes that a prefix can hit. */
  get cachedHashes(): number {
    return this.#cached.size;
  }

  /** Free blocks in the order in which they will be taken. */
  freeOrder(): number[] {
    return [...this.#free];
  }

  /** The copy that a hit on this hash uses, undefined when there is none. */
  find(key: string): number | undefined {
    return this.#cached.get(key)?.values().next().value;
  }

  /** Whether the block waits in the free queue: a hit on it takes a free block. */
  isFree(block: number): boolean {
    return this.#references[block] === 0;
  }

  /** A request starts to use cached blocks: they leave the free queue. */
  touch(blocks: readonly number[]): void {
    for (const block of blocks) {
      if (this.#references[block] === 0) this.#free.remove(block);
      this.#references[block]!++;
    }
  }

  /** Take blocks from the front of the free queue; what was cached in them is evicted. The caller has checked {@link freeBlocks}. */
  allocate(count: number): number[] {
    const taken = Array.from({ length: count }, () => this.#free.shift());
    for (const block of taken) {
      this.#evict(block);
      this.#references[block] = 1;
    }
    return taken;
  }

  /** Make a block hittable. The event is the caller's, who knows the run it belongs to. */
  cache(block: number, key: string, digest: Uint8Array): void {
    this.#digests[block] = digest;
    const copies = this.#cached.get(key);
    if (copies === undefined) this.#cached.set(key, new Set([block]));
    else copies.add(block);
  }

  /** Drop one reference of each block; those without any are free, to be evicted in the order given. */
  release(blocks: readonly number[]): void {
    const released = blocks.filter((block) => --this.#references[block]! === 0);
    const unhashed = this.#unhashedFirst
      ? released.filter((block) => this.#digests[block] === undefined)
      : [];
    this.#free.prepend(unhashed);
    this.#free.append(
      unhashed.length === 0 ? released : released.filter((block) => this.#digests[block] !== undefined),
    );
  }

  /** Forget every hash. Fails, changing nothing and without an event, while a request holds blocks. */
  reset(): boolean {
    if (this.usedBlocks > 0) return false;
    this.#cached.clear();
    this.#digests.fill(undefined);
    this.#events.push({ type: "AllBlocksCleared" });
    return true;
  }

  push(event: CacheEvent): void {
    this.#events.push(event);
  }

  /** The events since the last call, in the order of happening. */
  takeEvents(): CacheEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  #evict(block: number): void {
    const digest = this.#digests[block];
    if (digest === undefined) return;
    this.#digests[block] = undefined;
    const key = hashKey(digest);
    const copies = this.#cached.get(key)!;
    copies.delete(block);
    if (copies.size === 0) this.#cached.delete(key);
    this.#events.push({ type: "BlockRemoved", blockHashes: [digest], medium: "GPU", groupIdx: 0 });
  }
}
