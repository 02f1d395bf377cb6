/** Removals in a row are applied as one, and come to the same as one by one. */
import type { Indexer } from "kvblock";
import type { BlockRemoved, KvEvent } from "kvblock/events";
import { describe, expect, it } from "vitest";
import { RemovalRuns } from "../src/removal-runs.js";
import { blocksOf, chain, exact, frame, indexerOf, removed, stored } from "./indexer/frames.js";
import { seeded } from "./support/random.js";

const removal = (keys: readonly number[], over: Partial<BlockRemoved> = {}): BlockRemoved => ({
  type: "BlockRemoved",
  blockKeys: Uint32Array.from(keys),
  medium: "GPU",
  groupIdx: 0,
  remainingCopies: null,
  ...over,
});

describe("a run of removals", () => {
  it("has the keys of those that follow each other, of one tier and group", () => {
    const runs = new RemovalRuns();
    const events: KvEvent[] = [removal([1, 2]), removal([3, 4, 5, 6]), removal([7, 8], { groupIdx: 1 })];
    expect(runs.take(events, 0)).toEqual(removal([1, 2, 3, 4, 5, 6]));
    expect(runs.events).toBe(2);
    runs.giveBack();
    expect(runs.take([removal([1, 2]), removal([3, 4], { medium: "CPU" })], 0)).toBeUndefined();
    expect(runs.take([removal([1, 2]), removal([3, 4], { groupIdx: null })], 0)).toBeUndefined();
    expect(runs.take([removal([1, 2]), { type: "AllBlocksCleared" }, removal([3, 4])], 0)).toBeUndefined();
    expect(runs.take([removal([1, 2])], 0)).toBeUndefined();
  });

  it("has none that says how many copies are left", () => {
    const runs = new RemovalRuns();
    const says = removal([5, 6], { remainingCopies: Uint32Array.of(1) });
    expect(runs.take([removal([1, 2]), removal([3, 4]), says], 0)).toEqual(removal([1, 2, 3, 4]));
    runs.giveBack();
    expect(runs.take([says, removal([1, 2])], 0)).toBeUndefined();
  });

  it("has 128 blocks at most, and events of more stand alone", () => {
    const runs = new RemovalRuns();
    const events = Array.from({ length: 300 }, (_, i) => removal([i, i]));
    const run = runs.take(events, 100)!;
    expect([run.blockKeys.length, run.blockKeys[0], runs.events]).toEqual([256, 100, 128]);
    runs.giveBack();
    const long = removal(Array.from({ length: 258 }, (_, i) => i));
    expect(runs.take([long, removal([1, 2])], 0)).toBeUndefined();
    expect(runs.take([removal([1, 2]), long], 0)).toBeUndefined();
  });

  it("is one at a time: another one meanwhile is not joined", () => {
    const runs = new RemovalRuns();
    const run = runs.take([removal([1, 2]), removal([3, 4])], 0);
    expect(runs.take([removal([5, 6]), removal([7, 8])], 0)).toBeUndefined();
    expect(run).toEqual(removal([1, 2, 3, 4]));
  });
});

describe.each(["exact", "tokens"] as const)("in %s mode", (mode) => {
  it.each([
    ["", 0],
    [", also after frames were lost", 13],
  ])("events in one frame come to the same as each in a frame of its own%s", async (_, gapEvery) => {
    const c = chain("sha256_cbor/bs16/seed=0/none");
    const hash = mode === "exact" ? exact(c) : { mode };
    const random = seeded(9);
    const pick = (n: number): number => Math.floor(random() * n);
    const [{ indexer: together }, { indexer: apart }] = [
      await indexerOf({ hash }),
      await indexerOf({ hash }),
    ];
    const seq = [0, 0] as [number, number];
    const told: unknown[][] = [];
    for (let round = 0; round < 60; round++) {
      const events: Record<string, unknown>[] = [stored(c, 0, 1 + pick(c.hashes.length))];
      // Frames are lost, and what is left is suspect until the cache has turned over.
      if (gapEvery > 0 && round % gapEvery === gapEvery - 1) for (const i of [0, 1]) seq[i]! += 2;
      // Also such as are not held, were never heard of, twice in a row, several in one event, and on a tier that holds nothing.
      for (let i = 0; i < 1 + pick(40); i++) {
        const from = pick(c.hashes.length);
        const medium = pick(20) === 0 ? "CPU" : "GPU";
        if (pick(3) === 0) events.push(removed([BigInt(1 + pick(1e9))]));
        events.push(removed(c.hashes.slice(from, from + 1 + (pick(4) === 0 ? pick(3) : 0)), { medium }));
        if (pick(10) === 0) events.push(stored(c, 0, 1 + pick(c.hashes.length)));
      }
      together.apply(frame(events, { seq: seq[0]++, ts: 1000 + round }));
      for (const event of events) apart.apply(frame([event], { seq: seq[1]++, ts: 1000 + round }));
      told.push([facts(together), facts(apart)]);
      expect(blocksOf(together, c.tokens)).toBe(blocksOf(apart, c.tokens));
    }
    for (const [one, other] of told) expect(one).toEqual(other);
  });

  /** What both must come to; frames and what goes by them differ. */
  function facts(indexer: Indexer): unknown {
    const { admissions, duplicates, evictions, voided, skips, events } = indexer.stats();
    const pods = indexer.pods().map(({ blocks, state, gaps }) => ({ blocks, state, gaps }));
    return { admissions, duplicates, evictions, voided, skips, events, pods };
  }
});
