import { describe, expect, it } from "vitest";
import { AmbiguousKeys } from "../../src/publisher/index.js";

describe("ambiguous keys", () => {
  it("knows those it was told, and no other", () => {
    const keys = new AmbiguousKeys(() => true);
    keys.add(1, 2);
    expect([keys.has(1, 2), keys.has(2, 1), keys.size]).toEqual([true, false, 1]);
    keys.clear();
    expect([keys.has(1, 2), keys.size]).toEqual([false, 0]);
  });

  it.each([
    ["past its bound", () => true, 100_001],
    ["without memory", () => false, 1],
  ])("%s every key counts as ambiguous, until it is cleared", (_why, reserve, added) => {
    const keys = new AmbiguousKeys(reserve);
    for (let i = 0; i < added; i++) keys.add(0, i);
    expect(keys.has(77, 77)).toBe(true);
    keys.clear();
    expect(keys.has(77, 77)).toBe(false);
  });

  it("counts its memory, and gives it back", () => {
    let reserved = 0;
    const keys = new AmbiguousKeys((bytes) => (reserved += bytes) >= 0);
    for (let i = 0; i < 10; i++) keys.add(0, i);
    expect(reserved).toBeGreaterThan(300);
    keys.clear();
    expect(reserved).toBe(0);
  });
});
