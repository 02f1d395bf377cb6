/** Lists that are cut from one array: never two in one place, until they are read no more. */
import fc from "fast-check";
import { BatchPool, decodeEventBatch } from "kvblock/events";
import { removedFrame, storedFrame } from "kvblock/testing";
import { describe, expect, test } from "vitest";
import { WordPool } from "../../src/events/word-pool.js";

describe("the word pool", () => {
  test("gives lists that do not overlap, of any length", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(40), { maxLength: 60 }), (lengths) => {
        const pool = new WordPool(32);
        const lists = lengths.map((length) => pool.take(length));
        for (const [i, list] of lists.entries()) list.fill(i + 1);
        expect(lists.map(({ length }) => length)).toEqual(lengths);
        for (const [i, list] of lists.entries()) expect(list.every((word) => word === i + 1)).toBe(true);
      }),
    );
  });

  test("gives lists that do not overlap while it is reused, more than it keeps and time after time", () => {
    const pool = new WordPool(256);
    pool.isReused = true;
    for (let round = 1; round <= 3; round++) {
      const lists = Array.from({ length: 1200 }, (_, i) => pool.take(1 + (i % 2) * 32).fill(round * 1e6 + i));
      for (const [i, list] of lists.entries()) {
        expect(list.length).toBe(1 + (i % 2) * 32);
        expect(list.every((word) => word === round * 1e6 + i)).toBe(true);
      }
      pool.reuse();
    }
  });
});

describe("the batch pool", () => {
  const frames = [1, 3, 40, 2, 1].flatMap((blocks, seq) => {
    const tokens = Array.from({ length: 16 * blocks }, (_, i) => (i * 7919 * blocks) % 152_000);
    const event = { pod: "a", model: "m", tokens, blockSize: 16, seed: "0", at: seq };
    return [storedFrame({ ...event, seq: 2 * seq }), removedFrame({ ...event, seq: 2 * seq + 1 })];
  });

  test("uses its room again after it was lent, and lends nothing to who asks in between", () => {
    const pool = new BatchPool(64);
    const [{ payload }] = frames as [(typeof frames)[0]];
    const first = pool.lend((lent) => {
      expect(lent).toBe(pool);
      expect(pool.lend((again) => again)).toBeUndefined();
      expect(pool.begin()).toBe(false);
      return decodeEventBatch(payload, lent).events[0];
    });
    expect(() =>
      pool.lend(() => {
        throw new Error("as it may");
      }),
    ).toThrow("as it may");
    expect(pool.lend((lent) => decodeEventBatch(payload, lent).events[0])).toBe(first);
    expect(decodeEventBatch(payload, pool).events[0]).not.toBe(first);
  });

  test("decodes the same with a pool, whatever was in it, as without", () => {
    const pool = new BatchPool(256);
    for (const { payload } of [...frames, ...frames.toReversed(), ...frames])
      expect(pool.lend((lent) => structuredClone(decodeEventBatch(payload, lent)))).toEqual({
        ...decodeEventBatch(payload),
      });
  });
});
