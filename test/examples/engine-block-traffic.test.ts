/** The model engine's prefix cache under random traffic: its events add up to what it reuses. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CacheRequest } from "../../examples/engine/block-manager.js";
import type { CacheEvent } from "../../examples/engine/cache-events.js";
import { chain, manager, range } from "./engine-block-support.js";

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
      { numRuns: 150, seed: 20260 },
    );
    expect(reused).toBeGreaterThan(1000);
    expect(removedWhileCopied).toBeGreaterThan(10);
  });
});
