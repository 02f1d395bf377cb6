import { describe, expect, it } from "vitest";
import { BlockIndex, type HolderLine, MIN_MEMORY_LIMIT_BYTES } from "../../src/block-index/index.js";

describe("slots", () => {
  it("lines are bounded, so that slots never run out", () => {
    const { slots } = new BlockIndex();
    let last: HolderLine | undefined;
    let opened = 0;
    for (; slots.canOpenLine; opened++) last = slots.openLine(opened + 1, 0, 0);
    expect(opened).toBe(2 ** 17);
    expect(() => slots.openLine(1, 0, 0)).toThrow(RangeError);
    for (const role of [0, 1, 2] as const) slots.of(last!, role);
    slots.closeLine();
    expect(slots.canOpenLine).toBe(true);
  });

  it("suspect ones are bounded over all lines: past that the oldest of a line's is void", () => {
    const { slots } = new BlockIndex();
    let voided = 0;
    for (let owner = 1; owner <= 5000; owner++) {
      const line = slots.openLine(owner, 0, 0);
      for (let gap = 0; gap < 60; gap++) {
        const slot = slots.of(line, 0);
        slots.resident[slot] = 1;
        voided += slots.makeSuspect(line);
      }
    }
    expect(voided).toBe(5000 * 60 - 2 ** 18);
  });

  it("those of dead lines are found again once the table was swept, however quickly they died", () => {
    const index = new BlockIndex({ memoryLimitBytes: 64 * 2 ** 20 });
    const keys = Uint32Array.of(1, 0);
    for (let life = 1; life <= 2 ** 20 + 1000; life++) {
      const line = index.openLine(1, 0, 0);
      keys[1] = life;
      index.add(line, keys);
      index.closeLine(line);
    }
    expect(index.slots.canOpenLine).toBe(true);
    expect(index.usedBytes).toBeLessThan(64 * 2 ** 20);
  });

  it("those of engines with few blocks that start over and over are swept as they come, within the limit", () => {
    const index = new BlockIndex({ memoryLimitBytes: MIN_MEMORY_LIMIT_BYTES });
    const line = index.openLine(1, 0, 0);
    const keys = Uint32Array.of(1, 0);
    let most = 0;
    for (let life = 1; life <= 20_000; life++) {
      keys[1] = life;
      index.add(line, keys);
      index.clear(line);
      most = Math.max(most, index.slots.bytes);
    }
    // Of 16 bytes each: those of two passes of the sweep, and room to grow.
    expect(most).toBeLessThanOrEqual(2048 * 16);
    expect(index.usedBytes).toBeLessThanOrEqual(index.memoryLimitBytes);
  });

  it("take a sixteenth of the memory limit at most, however many lines, eras and suspects there are", () => {
    const index = new BlockIndex({ memoryLimitBytes: MIN_MEMORY_LIMIT_BYTES });
    const lines: HolderLine[] = [];
    for (let owner = 1; index.slots.canOpenLine; owner++) lines.push(index.openLine(owner, 0, 0));
    const keys = Uint32Array.of(1, 0);
    for (let round = 0; round < 40; round++) {
      for (const line of lines) {
        keys[1]!++;
        line.leaveMarks = true;
        index.add(line, keys);
        index.imply(line, 2, keys[1]!);
        index.evict(line, Uint32Array.of(3, keys[1]!));
        if (round % 4 === 3) index.clear(line);
        else index.makeSuspect(line);
      }
      expect(index.usedBytes).toBeLessThanOrEqual(index.memoryLimitBytes);
    }
    expect(lines.length).toBeGreaterThan(500);
    expect(index.slots.bytes).toBeLessThanOrEqual(index.memoryLimitBytes / 16);
  });
});
