/** Law 11: whoever works in slices shares one slice in each turn of the event loop. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { ingest } from "../src/ingest.js";
import { Turns } from "../src/turns.js";
import type { KvFrame } from "../src/types.js";

/** A frame takes half a millisecond: a slice of two has room for four, and one that is under way. */
const FRAME_MS = 0.5;
const PER_SLICE = 5;

function frames(count: number): KvFrame[] {
  return Array.from({ length: count }, (_, i) => ({
    topic: "",
    seq: BigInt(i),
    payload: new Uint8Array(0),
    receivedAt: 0,
  }));
}

async function* readily(of: KvFrame[]): AsyncIterable<KvFrame> {
  yield* of;
}

describe("slices of the event loop's turns", () => {
  it.each([1, 50])(
    "%i sources that are always ready are given one in each turn together",
    async (sources) => {
      let now = 0;
      const turns = new Turns(() => now);
      const applied = Array<number>(sources).fill(0);
      let total = 0;
      const apply = (source: number): void => {
        now += FRAME_MS;
        total++;
        applied[source]!++;
      };
      const runs = applied.map((_, source) => ingest(readily(frames(40)), () => apply(source), turns));
      let most = 0;
      let turnsTaken = 0;
      for (let before = 0; total < 40 * sources; before = total, turnsTaken++) {
        await nextTurn();
        most = Math.max(most, total - before);
        // All take turns: none is far ahead.
        expect(Math.max(...applied) - Math.min(...applied)).toBeLessThanOrEqual(2 * PER_SLICE);
      }
      await Promise.all(runs);
      expect(most).toBeLessThanOrEqual(PER_SLICE);
      expect(turnsTaken).toBeGreaterThanOrEqual((40 * sources) / PER_SLICE);
    },
  );

  it("nothing is left on the event loop when there is nothing to do", async () => {
    const turns = new Turns(() => 0);
    expect(turns.hasTime).toBe(true);
    await turns.next();
    expect(turns.isBusy).toBe(false);
    await nextTurn();
    expect(process.getActiveResourcesInfo().filter((kind) => kind === "Immediate")).toEqual([]);
  });
});
