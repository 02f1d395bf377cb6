import { describe, expect, it } from "vitest";
import { BlockIndex, type HolderLine, MIN_MEMORY_LIMIT_BYTES } from "../../src/block-index/index.js";
import { collect } from "../support/naive-index.js";
import { seeded } from "../support/random.js";

const GPU = 0;
const CPU = 1;

/** Keys as engines have them: uniformly random. */
function randomKeys(count: number, seed: number): Uint32Array {
  const random = seeded(seed);
  return Uint32Array.from({ length: 2 * count }, () => Math.floor(random() * 2 ** 32));
}

const holdersOf = (index: BlockIndex, keys: Uint32Array): number[] =>
  collect(index, keys).map((at) => at.length);

describe("the block index", () => {
  it("keeps tiers of a pod apart: evicting from one leaves the other", () => {
    const index = new BlockIndex();
    const gpu = index.openLine(1, GPU, 0);
    const cpu = index.openLine(1, CPU, 0);
    const keys = randomKeys(4, 1);
    index.add(gpu, keys);
    index.add(cpu, keys);
    index.evict(gpu, keys);
    expect(collect(index, keys).flat()).toEqual(Array(4).fill("owner 1 tier 1 group 0: 1 held"));
  });

  it("keeps a block until as many copies are removed as were stored", () => {
    const index = new BlockIndex();
    const line = index.openLine(1, GPU, 0);
    const keys = randomKeys(1, 2);
    for (let copies = 0; copies < 3; copies++) index.add(line, keys);
    index.evict(line, keys);
    index.evict(line, keys);
    expect(index.holds(line, keys[0]!, keys[1]!)).toBe(true);
    index.evict(line, keys);
    expect(index.holds(line, keys[0]!, keys[1]!)).toBe(false);
    expect(index.counts).toMatchObject({ admissions: 1, duplicates: 2, evictions: 1, unknownRemovals: 0 });
  });

  it("does not count copies on a line that says not to", () => {
    const index = new BlockIndex();
    const line = index.openLine(1, GPU, 0);
    line.countCopies = false;
    const keys = randomKeys(1, 3);
    for (let copies = 0; copies < 3; copies++) index.add(line, keys);
    index.evict(line, keys);
    expect(index.holds(line, keys[0]!, keys[1]!)).toBe(false);
  });

  it("takes what it has counted for one copy, once its line counts no more", () => {
    const index = new BlockIndex();
    const line = index.openLine(1, GPU, 0);
    const keys = randomKeys(1, 3);
    for (let copies = 0; copies < 3; copies++) index.add(line, keys);
    line.countCopies = false;
    index.evict(line, keys);
    expect(index.holds(line, keys[0]!, keys[1]!)).toBe(false);
    expect(index.slots.residents(line)).toBe(0);
  });

  it("keeps as many copies as a removal says are left, whatever was counted", () => {
    const index = new BlockIndex();
    const line = index.openLine(1, GPU, 0);
    const keys = randomKeys(3, 3);
    for (let copies = 0; copies < 3; copies++) index.add(line, keys, 0, 2);
    const held = (): boolean[] => [0, 1, 2].map((i) => index.holds(line, keys[2 * i]!, keys[2 * i + 1]!));
    index.evict(line, keys, 0, 3, Uint32Array.of(0, 1, 1));
    // Of a block that it does not hold it only learns that this is not gone.
    expect(held()).toEqual([false, true, false]);
    expect(index.counts).toMatchObject({ evictions: 1, unknownRemovals: 1 });
    index.evict(line, keys, 1, 2);
    expect(held()).toEqual([false, false, false]);
    // More than can be counted, so the next removal that does not say ends it.
    index.add(line, keys, 0, 1);
    index.evict(line, keys, 0, 1, Uint32Array.of(2 ** 32 - 1));
    expect(held()).toEqual([true, false, false]);
    expect(index.slots.residents(line)).toBe(1);
    index.evict(line, keys, 0, 1);
    expect(held()).toEqual([false, false, false]);
  });

  it("is sure again of a suspect block of which a removal says that copies are left", () => {
    const index = new BlockIndex();
    const line = index.openLine(1, GPU, 0);
    const keys = randomKeys(2, 3);
    index.add(line, keys);
    index.makeSuspect(line);
    index.evict(line, keys, 0, 1, Uint32Array.of(2));
    index.clearSuspects(line);
    expect([0, 2].map((i) => index.holds(line, keys[i]!, keys[i + 1]!))).toEqual([true, false]);
    expect(index.slots.residents(line)).toBe(1);
  });

  it("gives up a count that reached its maximum at the next removal, and says so", () => {
    const index = new BlockIndex();
    const line = index.openLine(1, GPU, 0);
    const keys = randomKeys(1, 4);
    for (let copies = 0; copies < 5000; copies++) index.add(line, keys);
    expect(index.counts.saturated).toBe(1);
    index.evict(line, keys);
    expect(index.holds(line, keys[0]!, keys[1]!)).toBe(false);
  });

  it("forgets no pod because a block has many holders", () => {
    const index = new BlockIndex();
    const keys = randomKeys(50, 5);
    const lines = Array.from({ length: 1500 }, (_, owner) => index.openLine(owner + 1, GPU, 0));
    for (const line of lines) index.add(line, keys);
    expect(holdersOf(index, keys)).toEqual(Array(50).fill(1500));
    for (const line of lines.slice(0, 1400)) index.evict(line, keys);
    expect(holdersOf(index, keys)).toEqual(Array(50).fill(100));
  });

  it("voids a line at once, and the sweep frees its entries and its slot numbers for others", () => {
    const index = new BlockIndex();
    const stays = index.openLine(1, GPU, 0);
    const comes = index.openLine(2, GPU, 0);
    const kept = randomKeys(5000, 6);
    index.add(stays, kept);
    let slots = 0;
    for (let generation = 0; generation < 400; generation++) {
      const keys = randomKeys(2000, 100 + generation);
      index.add(comes, keys);
      slots = Math.max(slots, comes.slots[0]!);
      index.clear(comes);
      expect(holdersOf(index, keys.subarray(0, 20))).toEqual(Array(10).fill(0));
    }
    // 400 generations took 400 slots; numbers come back after one or two whole passes of the sweep.
    expect(slots).toBeLessThan(350);
    expect(holdersOf(index, kept)).toEqual(Array(5000).fill(1));
    expect(index.blocks).toBeLessThan(5000 + 600 * 2000);
    const last = randomKeys(2000, 9999);
    index.add(comes, last);
    expect(holdersOf(index, last)).toEqual(Array(2000).fill(1));
  });

  it("at the memory limit drops what nobody holds any more before what is held, however warm it is", () => {
    const index = new BlockIndex({ memoryLimitBytes: MIN_MEMORY_LIMIT_BYTES });
    const gone = index.openLine(1, GPU, 0);
    const many = randomKeys(100_000, 60);
    index.add(gone, many);
    expect(index.counts.dropped).toBeGreaterThan(20_000);
    const limit = index.blocks;
    index.lookup(many, { block: () => true, again: () => {} });
    index.clear(gone);
    const before = index.counts.dropped;
    const line = index.openLine(2, GPU, 0);
    const keys = randomKeys(Math.floor(limit / 2), 61);
    for (let at = 0; at < keys.length / 2; at += 16)
      index.add(line, keys, at, Math.min(at + 16, keys.length / 2));
    expect(index.counts.dropped - before).toBe(0);
    expect(index.slots.residents(line)).toBe(keys.length / 2);
    // So it does where others need the memory.
    index.clear(line);
    const third = index.openLine(3, GPU, 0);
    const few = randomKeys(2000, 62);
    index.add(third, few);
    expect(index.reserve(MIN_MEMORY_LIMIT_BYTES / 2)).toBe(true);
    expect(index.counts.dropped - before).toBe(0);
    expect(index.slots.residents(third)).toBe(2000);
  });

  it("shrinks in use to what lives after everything else was voided and swept", () => {
    const index = new BlockIndex();
    const line = index.openLine(1, GPU, 0);
    index.add(line, randomKeys(100_000, 7));
    index.clear(line);
    const working = index.openLine(2, GPU, 0);
    const keys = randomKeys(1000, 8);
    for (let i = 0; i < 600; i++) {
      index.add(working, keys);
      index.evict(working, keys);
    }
    expect(index.blocks).toBe(0);
  });

  it("stays within the memory limit, drops the coldest first and says whose they were", () => {
    const dropped = new Map<number, number>();
    const index = new BlockIndex({
      memoryLimitBytes: 4 * 2 ** 20,
      onDropped: (owner) => dropped.set(owner, (dropped.get(owner) ?? 0) + 1),
    });
    const hot = index.openLine(1, GPU, 0);
    const cold = index.openLine(2, GPU, 0);
    const prompt = randomKeys(500, 9);
    index.add(hot, prompt);
    for (let i = 0; i < 500; i++) {
      index.add(cold, randomKeys(2000, 1000 + i));
      expect(index.usedBytes).toBeLessThanOrEqual(index.memoryLimitBytes);
      // Somebody asks for the prompt again and again, though it is never announced again.
      if (i % 10 === 0) expect(holdersOf(index, prompt)).toEqual(Array(500).fill(1));
    }
    expect(index.counts.dropped).toBeGreaterThan(500_000);
    expect(dropped.get(2)).toBe(index.counts.dropped);
    expect(dropped.has(1)).toBe(false);
    expect(index.slots.residents(cold) + 500).toBe(index.blocks);
    expect(index.blocks).toBeGreaterThan(60_000);
  });

  it("stays within the memory limit when blocks have more and more holders", () => {
    const index = new BlockIndex({ memoryLimitBytes: MIN_MEMORY_LIMIT_BYTES });
    const keys = randomKeys(2000, 10);
    // Each pod holds other blocks, so that hardly two blocks have the same holders.
    const random = seeded(12);
    for (let owner = 1; owner <= 400; owner++) {
      const line = index.openLine(owner, GPU, 0);
      for (let block = 0; block < 2000; block++) if (random() < 0.5) index.add(line, keys, block, block + 1);
    }
    expect(index.usedBytes).toBeLessThanOrEqual(index.memoryLimitBytes);
    expect(index.counts.dropped).toBeGreaterThan(0);
  });

  it("gives back for others what it has grown by, also where hardly two blocks had the same holders", () => {
    const index = new BlockIndex({ memoryLimitBytes: MIN_MEMORY_LIMIT_BYTES });
    const empty = index.usedBytes;
    const keys = randomKeys(10_000, 13);
    const random = seeded(14);
    const lines = Array.from({ length: 20 }, (_, i) => index.openLine(i + 1, GPU, 0));
    for (const line of lines)
      for (let block = 0; block < 10_000; block++)
        if (random() < 0.5) index.add(line, keys, block, block + 1);
    for (const line of lines) index.clear(line);
    expect(index.reserve(0.66 * index.memoryLimitBytes)).toBe(true);
    index.reserve(-0.66 * index.memoryLimitBytes);
    // A page of each small size of set is kept.
    expect(index.usedBytes).toBeLessThan(empty + 100_000);
    index.add(lines[0]!, keys);
    expect(index.holds(lines[0]!, keys[0]!, keys[1]!)).toBe(true);
  });

  it("counts what others reserve towards the limit", () => {
    const index = new BlockIndex({ memoryLimitBytes: 2 * 2 ** 20 });
    expect(index.reserve(2 * 2 ** 20)).toBe(false);
    // The table keeps a quarter for itself.
    const free = 0.75 * index.memoryLimitBytes;
    expect(index.reserve(free)).toBe(true);
    expect(index.reserve(1)).toBe(false);
    index.reserve(-free);
    expect(index.reserve(1)).toBe(true);
  });

  it("ends a lookup where the sink wants no more", () => {
    const index = new BlockIndex();
    const lines: HolderLine[] = [1, 2].map((owner) => index.openLine(owner, GPU, 0));
    const keys = randomKeys(10, 11);
    // Blocks 0 … 3 of one pod, 4 and 5 of both, then of nobody.
    index.add(lines[0]!, keys, 0, 6);
    index.add(lines[1]!, keys, 4, 6);
    const told: unknown[] = [];
    const lookUp = (last: number): boolean =>
      index.lookup(
        keys,
        {
          block: (block, _words, from, to) => {
            told.push([block, to - from]);
            return block < last;
          },
          again: (blocks) => told.push(blocks),
        },
        100,
      );
    expect(lookUp(104)).toBe(false);
    expect(told.splice(0)).toEqual([[100, 1], 3, [104, 2]]);
    expect(lookUp(999)).toBe(true);
    expect(told).toEqual([[100, 1], 3, [104, 2], 1, [106, 0], 3]);
  });

  it("refuses a memory limit that holds nothing", () => {
    expect(() => new BlockIndex({ memoryLimitBytes: 1000 })).toThrow(RangeError);
    expect(() => new BlockIndex({ memoryLimitBytes: "1 GiB" as unknown as number })).toThrow(TypeError);
  });
});

describe("growing", () => {
  it("is one shard's in a call, though all are full at about the same time", () => {
    const index = new BlockIndex();
    const line = index.openLine(1, GPU, 0);
    const blocks = 2_000_000;
    const keys = randomKeys(blocks, 3);
    index.add(line, keys, 0, 600_000);
    // Shards of 1,024 places become ones of 2,048, and these of 4,096, 12 bytes each. All blocks have one set.
    const grown = new Map<number, number>();
    for (let block = 600_000; block < blocks; block += 64) {
      const before = index.usedBytes;
      index.add(line, keys, block, Math.min(blocks, block + 64));
      const places = (index.usedBytes - before) / 12;
      if (places > 0) grown.set(places, (grown.get(places) ?? 0) + 1);
    }
    expect(grown).toEqual(
      new Map([
        [1024, 1024],
        [2048, 1024],
      ]),
    );
    expect(index.blocks).toBe(blocks);
  });
});
