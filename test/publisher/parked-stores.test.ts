/** Parked stores: what is kept where there is no room for all. */
import { describe, expect, it } from "vitest";
import { type ParkableStore, ParkedStores } from "../../src/publisher/parked-stores.js";

/** A store of one block, of about 400 bytes parked. */
const store = (handle: number): ParkableStore => ({
  blockKeys: Uint32Array.of(1, handle),
  parentKey: [2, handle],
  tokenIds: new Uint32Array(16),
});
const BYTES = 256 + 96 + 4 * 16;

describe("parked stores", () => {
  it.each([
    ["the memory limit's share is full", Number.POSITIVE_INFINITY, 32 * 10 * BYTES],
    ["memory is refused", 10 * BYTES, Number.POSITIVE_INFINITY],
  ])("are the newest where %s", (_where, memory, limit) => {
    let used = 0;
    const reserve = (bytes: number): boolean => {
      if (bytes > 0 && used + bytes > memory) return false;
      used += bytes;
      return true;
    };
    const parked = new ParkedStores(reserve, limit);
    for (let i = 0; i < 25; i++) parked.park(2, i, store(i));
    expect([parked.size, parked.dropped, used]).toEqual([10, 15, 10 * BYTES]);
    expect(parked.take(2, 14)).toEqual([]);
    expect(parked.take(2, 15)).toHaveLength(1);
    parked.clear();
    expect(used).toBe(0);
  });

  it("are given up where there is no room for any", () => {
    const parked = new ParkedStores(() => false);
    parked.park(2, 1, store(1));
    expect([parked.size, parked.dropped]).toEqual([0, 1]);
  });
});
