/** One turn of a cache: what is suspect goes after it, and marks after one to two. */
import { expect, it } from "vitest";
import { BlockIndex, Role } from "../../src/block-index/index.js";

const keys = (from: number, count: number): Uint32Array =>
  Uint32Array.from({ length: 2 * count }, (_, i) => (i % 2 === 0 ? 7 : from + (i >> 1)));

/** A first-in first-out cache of 100 blocks, told to a line. */
function cache() {
  const index = new BlockIndex();
  const line = index.openLine(1, 0, 0);
  let next = 1;
  let oldest = 1;
  const { slots, counts } = index;
  return {
    index,
    line,
    /** Store blocks one by one, and evict the oldest where there is no room. */
    store(count: number, heard = true): void {
      for (let n = 0; n < count; n++, next++) {
        if (next - oldest === 100) {
          const { evictions, unknownRemovals } = counts;
          if (heard) {
            index.evict(line, keys(oldest, 1));
            slots.turnOver(line, 0, counts.evictions - evictions, counts.unknownRemovals - unknownRemovals);
          }
          oldest++;
        }
        if (!heard) continue;
        index.add(line, keys(next, 1));
        counts.voided += slots.turnOver(line, 1, 0, 0);
      }
    },
    /** Living marks. */
    marks: () =>
      slots.role.reduce(
        (sum, role, slot) =>
          sum + (role === Role.Removed && slots.owner[slot] !== 0 ? slots.resident[slot]! : 0),
        0,
      ),
  };
}

it("the capacity is known when the cache evicts what is known", () => {
  const { line, store } = cache();
  store(100);
  expect(line.turn.capacity).toBe(0);
  store(50);
  expect(line.turn.capacity).toBe(100);
});

it("suspects are void when as many blocks were stored as the cache holds, each gap's at its own time", () => {
  const { index, line, store } = cache();
  store(150);
  index.makeSuspect(line);
  store(40);
  index.makeSuspect(line);
  store(59);
  expect(line.suspects).toHaveLength(2);
  store(1);
  expect(line.suspects).toHaveLength(1);
  expect(line.turn.sinceGap).toBe(false);
  store(40);
  expect(line.suspects).toHaveLength(0);
  expect(line.turn.sinceGap).toBe(true);
  // Nothing was lost, so all of it was removed in time.
  expect(index.counts.voided).toBe(0);
  expect(index.slots.residents(line)).toBe(100);
});

it("what a lost frame removed is void then, and the capacity is not taken for larger", () => {
  const { index, line, store } = cache();
  store(150);
  store(300, false);
  index.makeSuspect(line);
  store(99);
  expect(index.slots.residents(line)).toBe(199);
  store(1);
  expect(index.slots.residents(line)).toBe(100);
  expect(index.counts.voided).toBe(100);
  store(500);
  expect(line.turn.capacity).toBe(100);
});

it("marks live for one to two turns", () => {
  const { index, line, store, marks } = cache();
  store(150);
  line.leaveMarks = true;
  for (let n = 0; n < 60; n++) {
    store(50);
    expect(marks()).toBeLessThanOrEqual(200);
    if (n > 4) expect(marks()).toBeGreaterThanOrEqual(100);
  }
  index.slots.closeMarks(line);
  expect(marks()).toBe(0);
  expect(index.slots.residents(line)).toBe(100);
});
