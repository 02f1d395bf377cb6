import { describe, expect, it } from "vitest";
import { BlockIndex, type HolderLine } from "../../src/block-index/index.js";

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
});
