import { describe, expect, it } from "vitest";
import { ShardMemory } from "../../src/block-index/shard-memory.js";

const LARGE = 2 ** 30;

describe("the memory of the shards' tables", () => {
  it("gives small tables of one size places in one piece of memory", () => {
    const memory = new ShardMemory(4, LARGE);
    const [a, b] = [memory.take(0, 24), memory.take(3, 24)];
    expect(a.buffer).toBe(b.buffer);
    a.fill(1);
    b.fill(2);
    expect([new Set(a), new Set(b)]).toEqual([new Set([1]), new Set([2])]);
    expect(memory.take(0, 48).buffer).not.toBe(a.buffer);
  });

  it("counts the places that were left until the last shard leaves", () => {
    const memory = new ShardMemory(3, LARGE);
    const tables = [0, 1, 2].map((shard) => memory.take(shard, 24));
    memory.give(0, tables[0]!);
    memory.give(1, tables[1]!);
    expect(memory.leftBytes).toBe(2 * 4 * 24);
    memory.give(2, tables[2]!);
    expect(memory.leftBytes).toBe(0);
    expect(memory.take(0, 24).buffer).not.toBe(tables[0]!.buffer);
  });

  it("gives a shard that comes back its place, empty", () => {
    const memory = new ShardMemory(2, LARGE);
    memory.take(1, 24);
    const table = memory.take(0, 24).fill(7);
    memory.give(0, table);
    const again = memory.take(0, 24);
    expect(again.byteOffset).toBe(table.byteOffset);
    expect(again.buffer).toBe(table.buffer);
    expect(again.every((word) => word === 0)).toBe(true);
    expect(memory.leftBytes).toBe(0);
  });

  it("gives large tables, and all under a low limit, memory of their own", () => {
    const large = new ShardMemory(2, LARGE);
    expect(large.take(0, 6 * 1024).buffer).not.toBe(large.take(1, 6 * 1024).buffer);
    const low = new ShardMemory(2, 2 ** 20);
    const table = low.take(0, 24);
    expect(table.buffer.byteLength).toBe(4 * 24);
    low.give(0, table);
    expect(low.leftBytes).toBe(0);
  });
});
