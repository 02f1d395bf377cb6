/** Law 11: what a publisher's frames hold of each turn, by a clock of the test's own. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { Backlog } from "../src/backlog.js";
import { HeldFrames } from "../src/publisher/index.js";
import type { Publisher } from "../src/publisher-state.js";
import { Turns } from "../src/turns.js";

const STRETCH_MS = 0.4;
/** A slice of two milliseconds has room for five, and one that is under way. */
const PER_SLICE = 6;

function world(): {
  turns: Turns;
  backlog: Backlog;
  done: string[];
  steps(name: string, count: number): Generator<void, void>;
  publisher(name: string, frames?: readonly (readonly [count: number, bytes: number])[]): Publisher;
} {
  let now = 0;
  const done: string[] = [];
  function* steps(name: string, count: number): Generator<void, void> {
    for (let i = 0; i < count; i++) {
      now += STRETCH_MS;
      done.push(name);
      if (i + 1 < count) yield;
    }
  }
  const turns = new Turns(() => now);
  const backlog = new Backlog(turns, (publisher, frame) =>
    steps(publisher.pod, (frame.content as unknown as { count: number }).count),
  );
  const publisher = (name: string, frames: readonly (readonly [number, number])[] = []): Publisher => {
    const held = new HeldFrames<unknown>(() => true);
    for (const [i, [count, bytes]] of frames.entries()) held.push(BigInt(i), { count }, bytes, false);
    // What a backlog knows of a publisher.
    return { pod: name, held } as unknown as Publisher;
  };
  return { turns, backlog, done, steps, publisher };
}

/** How many stretches each turn had. */
async function perTurn(done: readonly string[], turns: number): Promise<number[]> {
  const counts: number[] = [];
  for (let before = done.length; counts.length < turns; before = done.length) {
    await nextTurn();
    counts.push(done.length - before);
  }
  return counts;
}

describe("a backlog", () => {
  it("begins a frame at once, and leaves to later turns what there is no time for", async () => {
    const { backlog, done, steps, publisher } = world();
    const pod = publisher("a");
    expect(backlog.begin(pod, steps("a", 3))).toBe(true);
    expect(backlog.isEmpty).toBe(true);
    expect(pod.held.size).toBe(0);
    expect(backlog.begin(pod, steps("a", 30))).toBe(false);
    const first = done.length;
    expect(first).toBeLessThanOrEqual(PER_SLICE);
    // Frames that come now wait behind it.
    expect(pod.held.size).toBe(1);
    let drained = false;
    void backlog.drained(pod).then(() => {
      drained = true;
    });
    const counts = await perTurn(done, 15);
    expect(Math.max(...counts)).toBeLessThanOrEqual(PER_SLICE);
    expect(done).toHaveLength(33);
    expect(drained).toBe(true);
    expect([backlog.isEmpty, pod.held.size]).toEqual([true, 0]);
  });

  it("serves many publishers in one turn where each has little, and all of them in turns where they have much", async () => {
    const little = world();
    for (let i = 0; i < 5; i++) {
      // One slice for all: the first begins it, and those behind it are late.
      const pod = little.publisher(`${i}`, [[1, 1000]]);
      little.backlog.release(pod, 0);
    }
    await nextTurn();
    expect(little.done).toHaveLength(5);

    const much = world();
    for (let i = 0; i < 5; i++) much.backlog.release(much.publisher(`${i}`, [[40, 1e6]]), 0);
    const counts = await perTurn(much.done, 80);
    expect(Math.max(...counts)).toBeLessThanOrEqual(PER_SLICE);
    expect(much.done).toHaveLength(200);
    // None is done before another has begun.
    expect(new Set(much.done.slice(0, 30)).size).toBe(5);
  });

  it("applies small frames when it is told, even without time, and none where a lookup settles many", () => {
    const { turns, backlog, done, steps, publisher } = world();
    expect(turns.hasTime).toBe(true);
    for (const _ of steps("spent", 7)) turns.worked();
    expect(turns.hasTime).toBe(false);
    const small = Array.from({ length: 3 }, () => [1, 4000] as const);
    const [told, settled] = [publisher("told", small), publisher("settled", small)];
    backlog.release(settled, 0);
    backlog.release(told);
    expect(done.filter((name) => name !== "spent")).toEqual(["told", "told", "told"]);
    expect(told.held.size).toBe(0);
    expect(settled.held.size).toBe(3);
  });
});
