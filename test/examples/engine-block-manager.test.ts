/** The model engine's prefix cache against hand-checked scenarios and under random traffic. */
import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BlockManager, type CacheRequest } from "../../examples/engine/block-manager.js";
import type { CacheEvent } from "../../examples/engine/cache-events.js";

/** Any chained hash will do here: the rules do not depend on which. */
function chain(blockSize: number) {
  return {
    blockSize,
    digestBytes: 32,
    hashTokens(
      tokens: ArrayLike<number>,
      options: { extraKeys?: readonly unknown[] | undefined; parent?: Uint8Array | undefined } = {},
    ): Uint8Array {
      const digests: Uint8Array[] = [];
      for (let block = 0; (block + 1) * blockSize <= tokens.length; block++) {
        const parent = digests.at(-1) ?? options.parent ?? new Uint8Array();
        const own = Array.from(tokens).slice(block * blockSize, (block + 1) * blockSize);
        const input = JSON.stringify([[...parent], own, options.extraKeys?.[block] ?? null]);
        digests.push(createHash("sha256").update(input).digest());
      }
      return Buffer.concat(digests);
    },
  };
}

function manager(numBlocks: number, blockSize: number, unhashedFirst = true): BlockManager {
  return new BlockManager({ numBlocks, hasher: chain(blockSize), unhashedFirst });
}

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);

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

describe("random traffic", () => {
  const BLOCK = 3;
  /** Few families of long shared prefixes, so that hits, duplicates and evictions all happen. */
  const prompt = fc
    .record({
      family: fc.nat(2),
      shared: fc.integer({ min: 1, max: 20 }),
      own: fc.array(fc.nat(1), { maxLength: 8 }),
    })
    .map(({ family, shared, own }) => [...range(family * 100, shared), ...own.map((n) => 900 + n)]);
  const step = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ do: fc.constant("schedule" as const), tokens: prompt, part: fc.nat(9) }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant("append" as const),
        who: fc.nat(),
        tokens: fc.array(fc.nat(1), { maxLength: 7 }),
      }),
    },
    { weight: 4, arbitrary: fc.record({ do: fc.constant("finish" as const), who: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("preempt" as const), who: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("reset" as const) }) },
  );

  it("what the events add up to is exactly what a prompt reuses", () => {
    let reused = 0;
    let removedWhileCopied = 0;
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 24 }),
        fc.array(step, { minLength: 20, maxLength: 80 }),
        (numBlocks, steps) => {
          const cache = manager(numBlocks, BLOCK);
          const hasher = chain(BLOCK);
          const copies = new Map<string, number>();
          const running: { id: string; tokens: number[] }[] = [];
          const hex = (digest: Uint8Array): string => Buffer.from(digest).toString("hex");
          const predicted = (request: CacheRequest): number => {
            const digests = hasher.hashTokens(request.tokens);
            const most = Math.floor((request.tokens.length - 1) / BLOCK);
            let blocks = 0;
            while (blocks < most && copies.has(hex(digests.subarray(blocks * 32, blocks * 32 + 32))))
              blocks++;
            return blocks;
          };
          const apply = (event: CacheEvent): void => {
            if (event.type === "AllBlocksCleared") {
              copies.clear();
              return;
            }
            for (const hash of event.blockHashes.map(hex)) {
              const count = copies.get(hash) ?? 0;
              if (event.type === "BlockStored") copies.set(hash, count + 1);
              else {
                expect(count).toBeGreaterThan(0);
                if (count === 1) copies.delete(hash);
                else {
                  copies.set(hash, count - 1);
                  removedWhileCopied++;
                }
              }
            }
            if (event.type === "BlockStored")
              expect(event.tokenIds.length).toBe(event.blockHashes.length * event.blockSize);
          };
          for (const [index, op] of steps.entries()) {
            if (op.do === "schedule") {
              const request = { id: `r${index}`, tokens: op.tokens };
              const expected = predicted(request) * BLOCK;
              expect(cache.peek(request) * BLOCK).toBe(expected);
              const scheduled = cache.schedule(request, op.part === 0 ? undefined : op.part);
              if (scheduled === null) cache.finish(request.id);
              else {
                expect(scheduled.cachedTokens).toBe(expected);
                reused += scheduled.cachedTokens;
                running.push(request);
              }
            } else if (op.do === "reset") {
              expect(cache.reset()).toBe(cache.pool.usedBlocks === 0);
            } else if (running.length > 0) {
              const who = op.who % running.length;
              const { id } = running[who]!;
              if (op.do === "append") cache.append(id, op.tokens);
              else if (op.do === "preempt") {
                cache.preempt(id);
                if (cache.schedule(running[who]!) === null) running.splice(who, 1);
              } else {
                cache.finish(id);
                running.splice(who, 1);
              }
            }
            for (const event of cache.takeEvents()) apply(event);
            expect(cache.pool.cachedHashes).toBe(copies.size);
            expect(cache.pool.usedBlocks + cache.pool.freeBlocks).toBe(numBlocks - 1);
            expect([...copies.values()].reduce((sum, count) => sum + count, 0)).toBeLessThan(numBlocks);
            const order = cache.pool.freeOrder();
            expect(new Set(order).size).toBe(cache.pool.freeBlocks);
            expect(order).not.toContain(0);
          }
          for (const { id } of running) cache.finish(id);
          expect(cache.pool.usedBlocks).toBe(0);
        },
      ),
      { numRuns: 400, seed: 20260 },
    );
    expect(reused).toBeGreaterThan(1000);
    expect(removedWhileCopied).toBeGreaterThan(10);
  });
});
