/** Events are taken as others before them were laid out only where they are: what was learned changes no outcome. */
import fc from "fast-check";
import { decodeEventBatch } from "kvblock/events";

import { describe, expect, test, vi } from "vitest";
import type { CacheEvent } from "../../examples/engine/cache-events.js";
import { encodeEventBatch, WIRE_ERAS } from "../../examples/engine/wire.js";
import { BatchPool, roomOf } from "../../src/events/batch-pool.js";

const hash = fc.uint8Array({ minLength: 32, maxLength: 32 });
const medium = fc.constantFrom("GPU", "GPU", "GPU", "CPU", "A-NEW-TIER");
const group = fc.constantFrom(0, 0, 1, 300);
const stored = fc
  .tuple(fc.nat(5), fc.constantFrom(4, 16, 200), hash, fc.nat(2 ** 32 - 1), medium, group, fc.nat(9))
  .map(([blocks, blockSize, digest, token, where, groupIdx, rare]): CacheEvent => {
    const blockHashes = Array.from({ length: blocks }, (_, i) => digest.map((byte) => byte ^ i));
    return {
      type: "BlockStored",
      blockHashes,
      parentBlockHash: token % 2 === 0 ? digest : null,
      tokenIds: Array.from({ length: blocks * blockSize }, (_, i) => (token >>> (i % 32)) + i),
      blockSize,
      extraKeys: blockHashes.map((_, i) => (rare === 0 && i === 0 ? ["a-salt"] : null)),
      medium: where,
      groupIdx,
      kvCacheSpecKind: rare === 1 ? "sliding_window" : "full_attention",
      ...(rare === 2 ? { loraId: 3, loraName: `an-adapter-${token}` } : {}),
    };
  });
const removed = fc.tuple(hash, fc.nat(3), medium, group).map(
  ([digest, blocks, where, groupIdx]): CacheEvent => ({
    type: "BlockRemoved",
    blockHashes: Array.from({ length: blocks }, (_, i) => digest.map((byte) => byte ^ i)),
    medium: where,
    groupIdx,
  }),
);
/** One event to a payload, so that a pool that has seen none reads it field by field. */
const payload = fc
  .tuple(fc.oneof(stored, removed), fc.constantFrom(...WIRE_ERAS), fc.boolean())
  .map(([event, era, intHashes]) =>
    encodeEventBatch({ ts: 1.5, events: [event], dataParallelRank: 0 }, { era, intHashes }),
  );

describe("events laid out as others before them", () => {
  test("are read as they are without knowing any, whole or mutated or cut short", () => {
    const warm = new BatchPool();
    const take = vi.spyOn(roomOf(warm).layouts, "take");
    let sound = 0;
    fc.assert(
      fc.property(
        payload,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 2 }),
        fc.nat(),
        (bytes, mutations, cut) => {
          const broken = bytes.slice(0, cut % 4 === 0 ? cut % bytes.length : bytes.length);
          if (broken.length > 0) for (const [at, byte] of mutations) broken[at % broken.length] = byte;
          for (const each of [bytes, broken]) {
            const cold = decodeEventBatch(each, new BatchPool());
            expect(decodeEventBatch(each, warm)).toEqual(cold);
            expect(warm.lend((lent) => structuredClone(decodeEventBatch(each, lent)))).toEqual(cold);
            sound += cold.events.length;
          }
        },
      ),
      { numRuns: 3000 },
    );
    expect(sound).toBeGreaterThan(2000);
    const known = take.mock.results.filter(({ value }) => value !== undefined).length;
    expect(known).toBeGreaterThan(2000);
  });

  test("are known again, and may be of any number of layouts", () => {
    const pool = new BatchPool();
    const event = (name: string): Uint8Array => {
      const bytes = encodeEventBatch(
        {
          ts: 1.5,
          events: [{ type: "BlockRemoved", blockHashes: [new Uint8Array(32)], medium: name, groupIdx: 0 }],
          dataParallelRank: 0,
        },
        { era: "M3", intHashes: true },
      );
      return bytes;
    };
    for (let i = 0; i < 2000; i++)
      expect(decodeEventBatch(event(`tier-${i}`), pool).events).toMatchObject([{ medium: `tier-${i}` }]);
    expect(decodeEventBatch(event("tier-0"), pool).events).toMatchObject([{ medium: "tier-0" }]);
  });
});
