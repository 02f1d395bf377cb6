/** Law 11: whoever works in slices shares one slice in each turn of the event loop. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
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

  it("many that do little are served in one turn, and who comes meanwhile in the next", async () => {
    let now = 0;
    const turns = new Turns(() => now);
    const served: number[] = [];
    const waiter = async (i: number): Promise<void> => {
      await turns.next();
      // What follows may take several microtasks, before the next one's begins.
      await Promise.resolve();
      await Promise.resolve();
      now += 0.1;
      served.push(i);
      turns.worked();
      if (i < 10) await waiter(i + 100);
    };
    const runs = Array.from({ length: 30 }, (_, i) => waiter(i));
    expect(served).toEqual([]);
    await nextTurn();
    // A tenth of a millisecond each: a slice of two has room for twenty, and one that is under way.
    expect(served.length).toBeGreaterThanOrEqual(20);
    expect(served).toEqual(Array.from({ length: served.length }, (_, i) => i));
    expect(served.length).toBeLessThanOrEqual(21);
    await nextTurn();
    expect(served.slice(0, 30)).toEqual(Array.from({ length: 30 }, (_, i) => i));
    await Promise.all(runs);
    expect(served.slice(30)).toEqual(Array.from({ length: 10 }, (_, i) => i + 100));
    expect(turns.longestMs).toBeGreaterThanOrEqual(2 - 0.11);
    expect(turns.longestMs).toBeLessThan(2.2);
  });

  it("the longest is known: from its begin to the end of its last piece, whatever the host does between", async () => {
    let now = 0;
    const turns = new Turns(() => now);
    const piece = (ms: number): boolean => {
      now += ms;
      return turns.worked();
    };
    expect(turns.hasTime).toBe(true);
    expect(piece(1)).toBe(true);
    expect(piece(1.5)).toBe(false);
    expect(turns.longestMs).toBe(2.5);
    now += 100; // the host's
    expect(turns.hasTime).toBe(false);
    await nextTurn();
    expect(turns.hasTime).toBe(true);
    piece(0.5);
    expect(turns.longestMs).toBe(2.5);
    await turns.next();
    piece(4);
    expect(turns.longestMs).toBe(4);
  });

  it("tells a channel of each slice", async () => {
    await nextTurn(); // the slices before have ended
    const told: unknown[] = [];
    const onStart = (): void => void told.push("start");
    const onEnd = (message: unknown): void => void told.push(message);
    subscribe("tracing:kvblock.slice:start", onStart);
    subscribe("tracing:kvblock.slice:end", onEnd);
    let now = 0;
    const turns = new Turns(() => now);
    await ingest(frames(7), () => (now += FRAME_MS), turns);
    await nextTurn();
    unsubscribe("tracing:kvblock.slice:start", onStart);
    unsubscribe("tracing:kvblock.slice:end", onEnd);
    expect(told).toEqual(["start", { ms: 2 }, "start", { ms: 1.5 }]);
  });

  it("nothing is left on the event loop when there is nothing to do", async () => {
    const turns = new Turns(() => 0);
    expect(turns.hasTime).toBe(true);
    await turns.next();
    expect(turns.isBusy).toBe(false);
    await nextTurn();
    expect(process.getActiveResourcesInfo().filter((kind) => kind === "Immediate")).toEqual([]);
  });
});
