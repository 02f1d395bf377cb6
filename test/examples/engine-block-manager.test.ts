/** The model engine's prefix cache against scenarios checked by hand. */
import { describe, expect, it } from "vitest";
import { BlockManager } from "../../examples/engine/block-manager.js";
import type { CacheEvent } from "../../examples/engine/cache-events.js";
import { chain, manager, range } from "./engine-block-support.js";

/** Events with each hash as the number of its block in `tokens`, `-1` for no parent. */
function named(events: CacheEvent[], tokens: number[], blockSize: number): unknown[] {
  const digests = chain(blockSize).hashTokens(tokens);
  const name = (hash: Uint8Array): number =>
    range(0, digests.length / 32).find(
      (b) => Buffer.compare(digests.subarray(b * 32, b * 32 + 32), hash) === 0,
    ) ?? NaN;
  return events.map((event) => {
    if (event.type === "AllBlocksCleared") return ["cleared"];
    if (event.type === "BlockRemoved") return ["removed", ...event.blockHashes.map(name)];
    const parent = event.parentBlockHash === null ? -1 : name(event.parentBlockHash);
    return ["stored", parent, ...event.blockHashes.map(name)];
  });
}

describe("scenarios checked by hand", () => {
  it("192 tokens at block size 64, twice: three blocks stored, two reused, the last one computed again", () => {
    const cache = manager(16, 64);
    const prompt = range(1000, 192);
    expect(cache.schedule({ id: "a", tokens: prompt })).toEqual({ cachedTokens: 0 });
    const [stored, ...rest] = cache.takeEvents();
    expect(rest).toEqual([]);
    expect(stored).toMatchObject({ blockSize: 64, tokenIds: prompt, extraKeys: [null, null, null] });
    expect(named([stored!], prompt, 64)).toEqual([["stored", -1, 0, 1, 2]]);
    cache.finish("a");
    expect(cache.takeEvents()).toEqual([]);

    expect(cache.schedule({ id: "b", tokens: prompt })).toEqual({ cachedTokens: 128 });
    const duplicate = cache.takeEvents();
    expect(named(duplicate, prompt, 64)).toEqual([["stored", 1, 2]]);
    expect(duplicate[0]).toMatchObject({ tokenIds: prompt.slice(128) });
    expect(cache.pool.cachedHashes).toBe(3);
  });

  it("reuses one block of a prompt of exactly two, and two when one token follows", () => {
    const cache = manager(8, 2);
    cache.schedule({ id: "a", tokens: [1, 2, 3, 4] });
    expect(cache.peek({ tokens: [1, 2, 3, 4] })).toBe(1);
    expect(cache.peek({ tokens: [1, 2, 3, 4, 5] })).toBe(2);
    expect(cache.peek({ tokens: [1, 2, 9, 4, 5] })).toBe(1);
    expect(cache.peek({ tokens: [1] })).toBe(0);
  });

  it("generated tokens fill blocks, except with the last one, whose KV is never computed", () => {
    const cache = manager(8, 4);
    const prompt = range(1, 6);
    cache.schedule({ id: "a", tokens: prompt });
    expect(named(cache.takeEvents(), prompt, 4)).toEqual([["stored", -1, 0]]);
    expect(cache.append("a", [7, 8])).toBe(2);
    expect(cache.takeEvents()).toEqual([]);
    expect(cache.pendingTokens("a")).toBe(1);
    cache.append("a", [9]);
    expect(named(cache.takeEvents(), range(1, 8), 4)).toEqual([["stored", 0, 1]]);
    cache.finish("a");
    expect(cache.peek({ tokens: range(1, 20) })).toBe(2);
  });

  it("evicts the tail of a chain before its head", () => {
    const cache = manager(5, 2);
    const old = range(1, 8);
    cache.schedule({ id: "a", tokens: old });
    cache.finish("a");
    cache.takeEvents();
    expect(cache.pool.freeOrder()).toEqual([4, 3, 2, 1]);
    cache.schedule({ id: "b", tokens: [91, 92, 93] });
    expect(named(cache.takeEvents().slice(0, 2), old, 2)).toEqual([
      ["removed", 3],
      ["removed", 2],
    ]);
    expect(cache.peek({ tokens: [...old, 9] })).toBe(2);
  });

  it("announces what it evicts before what it stores in the same place", () => {
    const cache = manager(3, 2);
    cache.schedule({ id: "a", tokens: [1, 2, 3, 4] });
    cache.finish("a");
    cache.takeEvents();
    cache.schedule({ id: "b", tokens: [5, 6, 7, 8] });
    expect(cache.takeEvents().map((event) => event.type)).toEqual([
      "BlockRemoved",
      "BlockRemoved",
      "BlockStored",
    ]);
  });

  it.each([
    { unhashedFirst: true, order: [2, 3, 4, 1] },
    { unhashedFirst: false, order: [3, 4, 2, 1] },
  ])("a freed block that nothing can hit is taken first: $unhashedFirst", ({ unhashedFirst, order }) => {
    const cache = manager(5, 2, unhashedFirst);
    cache.schedule({ id: "a", tokens: [1, 2, 3] });
    cache.finish("a");
    expect(cache.pool.freeOrder()).toEqual(order);
  });

  it("a hit takes a block out of the queue, and finishing puts it at the back", () => {
    const cache = manager(6, 2);
    cache.schedule({ id: "a", tokens: [1, 2] });
    cache.schedule({ id: "b", tokens: [3, 4] });
    cache.finish("a");
    cache.finish("b");
    expect(cache.pool.freeOrder()).toEqual([3, 4, 5, 1, 2]);
    cache.schedule({ id: "c", tokens: [1, 2, 9] });
    expect(cache.pool.freeOrder()).toEqual([4, 5, 2]);
    cache.finish("c");
    expect(cache.pool.freeOrder()).toEqual([3, 4, 5, 2, 1]);
  });

  it("removes one copy of a duplicate with an event, while the other still serves hits", () => {
    const cache = manager(6, 2);
    const prompt = [1, 2, 3, 4];
    cache.schedule({ id: "a", tokens: prompt });
    cache.schedule({ id: "b", tokens: prompt });
    expect(named(cache.takeEvents(), prompt, 2)).toEqual([
      ["stored", -1, 0, 1],
      ["stored", 0, 1],
    ]);
    cache.finish("a");
    cache.finish("b");
    expect(cache.pool.freeOrder()).toEqual([4, 5, 2, 3, 1]);
    cache.schedule({ id: "c", tokens: [7, 7, 7, 7, 7] });
    expect(named(cache.takeEvents().slice(0, 1), prompt, 2)).toEqual([["removed", 1]]);
    expect(cache.peek({ tokens: [...prompt, 5] })).toBe(2);
  });

  it("shares running blocks and frees them with their last user", () => {
    const cache = manager(6, 2);
    cache.schedule({ id: "a", tokens: [1, 2, 3] });
    cache.schedule({ id: "b", tokens: [1, 2, 4] });
    expect(cache.pool.usedBlocks).toBe(3);
    cache.finish("a");
    expect(cache.pool.usedBlocks).toBe(2);
    cache.finish("b");
    expect(cache.pool.usedBlocks).toBe(0);
  });

  it("does not start what does not fit, counting hits that wait in the free queue, and changes nothing", () => {
    const cache = manager(4, 2);
    cache.schedule({ id: "a", tokens: [1, 2, 3, 4] });
    cache.finish("a");
    cache.schedule({ id: "b", tokens: [9] });
    cache.takeEvents();
    const before = cache.pool.freeOrder();
    expect(cache.schedule({ id: "c", tokens: [1, 2, 3, 4, 5] })).toBeNull();
    expect(cache.pool.freeOrder()).toEqual(before);
    expect(cache.takeEvents()).toEqual([]);
    cache.finish("b");
    expect(cache.schedule({ id: "c", tokens: [1, 2, 3, 4, 5] })).toEqual({ cachedTokens: 4 });
  });

  it("a preempted request keeps its tokens and reuses its own blocks when it comes back", () => {
    const cache = manager(8, 2);
    const request = { id: "a", tokens: [1, 2, 3] };
    cache.schedule(request);
    cache.append("a", [4, 5]);
    cache.preempt("a");
    expect(cache.pool.usedBlocks).toBe(0);
    expect(cache.schedule(request)).toEqual({ cachedTokens: 4 });
    expect(cache.pendingTokens("a")).toBe(0);
  });

  it("stops appending when no block is left, and says how far it came", () => {
    const cache = manager(3, 2);
    cache.schedule({ id: "a", tokens: [1, 2] });
    expect(cache.append("a", [3, 4, 5, 6, 7])).toBe(3);
    expect(cache.compute("a")).toBe(false);
  });

  it("computes a long prompt in parts, storing the blocks that each part fills", () => {
    const cache = manager(8, 2);
    const prompt = range(1, 7);
    expect(cache.schedule({ id: "a", tokens: prompt }, 3)).toEqual({ cachedTokens: 0 });
    expect(cache.compute("a", 3)).toBe(true);
    expect(cache.compute("a", 3)).toBe(true);
    expect(cache.pendingTokens("a")).toBe(0);
    expect(named(cache.takeEvents(), prompt, 2)).toEqual([
      ["stored", -1, 0],
      ["stored", 0, 1, 2],
    ]);
  });

  it("resets only when idle, and announces it once", () => {
    const cache = manager(8, 2);
    cache.schedule({ id: "a", tokens: [1, 2, 3] });
    cache.takeEvents();
    expect(cache.reset()).toBe(false);
    expect(cache.takeEvents()).toEqual([]);
    cache.finish("a");
    expect(cache.reset()).toBe(true);
    expect(cache.takeEvents()).toEqual([{ type: "AllBlocksCleared" }]);
    expect(cache.peek({ tokens: [1, 2, 3] })).toBe(0);
    cache.schedule({ id: "b", tokens: [4, 5, 6] });
    expect(cache.takeEvents().map((event) => event.type)).toEqual(["BlockStored"]);
  });

  it("keeps salted blocks apart, and asks for extra keys only where there can be some", () => {
    const asked: (string | undefined)[] = [];
    const cache = new BlockManager({
      numBlocks: 16,
      hasher: chain(2),
      extraKeys: (request, tokenCount) => {
        asked.push(request.cacheSalt);
        return range(0, tokenCount / 2).map((block) => (block === 0 ? [request.cacheSalt!] : null));
      },
    });
    const tokens = [1, 2, 3, 4, 5];
    cache.schedule({ id: "plain", tokens });
    cache.schedule({ id: "salted", tokens, cacheSalt: "s" });
    expect(new Set(asked)).toEqual(new Set(["s"]));
    expect(cache.takeEvents().map((event) => event.type === "BlockStored" && event.extraKeys)).toEqual([
      [null, null],
      [["s"], null],
    ]);
    expect(cache.peek({ tokens, cacheSalt: "s" })).toBe(2);
    expect(cache.peek({ tokens, cacheSalt: "t" })).toBe(0);
    expect(cache.pool.cachedHashes).toBe(4);
  });

  it("reads nothing from the cache for a request that must not", () => {
    const cache = manager(16, 2);
    cache.schedule({ id: "a", tokens: [1, 2, 3] });
    const request = { id: "b", tokens: [1, 2, 3], readsPrefixCache: false };
    expect(cache.peek(request)).toBe(0);
    expect(cache.schedule(request)).toEqual({ cachedTokens: 0 });
  });
});
