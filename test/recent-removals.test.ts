/** The ring of recent removals: what is remembered, for how long, in how much memory. */
import { describe, expect, it } from "vitest";
import { RecentRemovals } from "../src/recent-removals.js";

const ring = (limit = 2 ** 20) => new RecentRemovals(limit, () => true);
const lines = (...ids: number[]) => new Set(ids);

describe("recent removals", () => {
  it("are found by line and key, the newest first", () => {
    const removals = ring();
    removals.from(5, 50);
    removals.note(1, 10, 20);
    removals.note(2, 10, 20);
    removals.from(6, 60);
    removals.note(1, 10, 20);
    expect(removals.find(lines(1), 10, 20)).toEqual({ line: 1, seq: 6, at: 60, dropped: false });
    expect(removals.find(lines(2), 10, 20)).toEqual({ line: 2, seq: 5, at: 50, dropped: false });
    expect(removals.find(lines(1, 2), 20, 10)).toBeUndefined();
    expect(removals.find(lines(3), 10, 20)).toBeUndefined();
  });

  it("interleaved frames keep their own numbers", () => {
    const removals = ring();
    const [a, b] = [
      { seq: 1, at: 1 },
      { seq: 2, at: 2 },
    ];
    for (const [i, frame] of [a, b, a, b].entries()) {
      removals.from(frame.seq, frame.at);
      removals.note(1, 0, i);
    }
    expect([0, 1, 2, 3].map((lo) => removals.find(lines(1), 0, lo)!.seq)).toEqual([1, 2, 1, 2]);
  });

  it("go when there are too many of them, or frames", () => {
    const removals = ring();
    removals.from(0, 0);
    for (let i = 0; i < 256; i++) removals.note(1, 0, i);
    expect(removals.find(lines(1), 0, 0)).toBeDefined();
    removals.note(1, 0, 256);
    expect(removals.find(lines(1), 0, 0)).toBeUndefined();
    expect(removals.find(lines(1), 0, 1)).toBeDefined();
    for (let i = 1; i < 64; i++) {
      removals.from(i, i);
      removals.note(2, 0, i);
    }
    expect(removals.find(lines(1), 0, 256)).toMatchObject({ seq: 0 });
    removals.from(64, 64);
    removals.note(2, 0, 64);
    expect(removals.find(lines(1), 0, 256)).toBeUndefined();
    expect(removals.find(lines(2), 0, 1)).toMatchObject({ seq: 1 });
  });

  it.each([
    [2 ** 20, 256 * 20],
    [256 * 2 ** 20, 65_536 * 20],
    [2 ** 34, 65_536 * 20],
  ])("of a limit of %i bytes they take %i", (limit, bytes) => {
    const asked: number[] = [];
    new RecentRemovals(limit, (wanted) => asked.push(wanted) > 0);
    expect(asked).toEqual([bytes]);
    expect(bytes).toBeLessThanOrEqual(limit / 128);
  });

  it("without memory nothing is remembered", () => {
    const removals = new RecentRemovals(2 ** 20, () => false);
    removals.from(1, 1);
    removals.note(1, 2, 3);
    expect(removals.find(lines(1), 2, 3)).toBeUndefined();
  });
});
