import { encode } from "@msgpack/msgpack";
import { describe, expect, it } from "vitest";
import { type Repair, RepairingFeed, type ReplayPolicy } from "../../src/events/repairing-feed.js";
import type { ReplayedBatch } from "../../src/events/replay-client.js";
import type { KvFrame } from "../../src/types.js";

/** Frame number `seq` of an engine's life that began at `born` (seconds). */
function frame(seq: number, born = 0): KvFrame {
  const payload = encode([born + seq + 0.5, [["AllBlocksCleared"]], 0]);
  return { topic: "kv@pod@model", seq: BigInt(seq), payload, receivedAt: 0 };
}

interface Asked {
  start: bigint;
  until: bigint;
  batch(seq: number, born?: number): void;
  end(): void;
  fail(): void;
  signal: AbortSignal;
}

/** A feed with an engine that answers when the test says so. */
function setUp(policy: ReplayPolicy = "full", maxHeldBytes = 1e6) {
  const out: string[] = [];
  const asked: Asked[] = [];
  const repairs: Repair[] = [];
  const clock = { now: 0 };
  const feed = new RepairingFeed({
    policy,
    maxHeldBytes,
    coolDownMs: 1000,
    now: () => clock.now,
    replay: (start, until, onBatch, signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
        asked.push({
          start,
          until,
          signal,
          batch: (seq, born) => onBatch({ ...frame(seq, born), topic: null } satisfies ReplayedBatch),
          end: resolve,
          fail: () => reject(new Error("no answer")),
        });
      }),
    emit: ({ seq, topic }) => void out.push(`${seq}${topic === "kv@pod@model" ? "" : " without topic"}`),
    onRepair: (repair) => repairs.push(repair),
  });
  return { feed, out, asked, repairs, clock };
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a repairing feed", () => {
  it("lets frames in sequence straight through", () => {
    const { feed, out, asked } = setUp();
    for (const seq of [0, 1, 2]) feed.take(frame(seq));
    expect(out).toEqual(["0", "1", "2"]);
    expect(asked).toEqual([]);
  });

  it("puts back what a gap lost, asking from the last seen on, and lets out meanwhile nothing", async () => {
    const { feed, out, asked, repairs } = setUp();
    for (const seq of [0, 1, 5, 6]) feed.take(frame(seq));
    expect(out).toEqual(["0", "1"]);
    expect(feed.repairing).toBe(true);
    expect(asked[0]).toMatchObject({ start: 1n, until: 5n });
    for (const seq of [1, 2, 3, 4]) asked[0]!.batch(seq);
    feed.take(frame(7));
    asked[0]!.end();
    await settle();
    expect(out).toEqual(["0", "1", "1", "2", "3", "4", "5", "6", "7"]);
    expect(repairs.map(({ state }) => state)).toEqual(["asking", "repaired"]);
    expect(asked).toHaveLength(1);
  });

  it("asks for everything when it joins late, unless only gaps are wanted", async () => {
    const late = setUp();
    late.feed.take(frame(3));
    expect(late.asked[0]).toMatchObject({ start: 0n, until: 3n });
    for (const seq of [0, 1, 2]) late.asked[0]!.batch(seq);
    late.asked[0]!.end();
    await settle();
    expect(late.out).toEqual(["0", "1", "2", "3"]);
    expect(late.repairs.at(-1)).toMatchObject({ state: "repaired", replayed: 3 });
    const gapOnly = setUp("gap-only");
    gapOnly.feed.take(frame(3));
    expect(gapOnly.out).toEqual(["3"]);
    gapOnly.feed.take(frame(5));
    expect(gapOnly.asked[0]).toMatchObject({ start: 3n, until: 5n });
  });

  it("takes a publisher that counts from 1 for whole", async () => {
    const { feed, asked, repairs } = setUp();
    feed.take(frame(3));
    for (const seq of [1, 2]) asked[0]!.batch(seq);
    asked[0]!.end();
    await settle();
    expect(repairs.at(-1)!.state).toBe("repaired");
  });

  it("says so when the engine has not all of it any more, and goes on", async () => {
    const { feed, out, asked, repairs } = setUp();
    feed.take(frame(0));
    feed.take(frame(100));
    for (const seq of [98, 99]) asked[0]!.batch(seq);
    asked[0]!.end();
    await settle();
    expect(out).toEqual(["0", "98", "99", "100"]);
    expect(repairs.at(-1)).toMatchObject({ state: "partly", replayed: 2 });
    feed.take(frame(101));
    expect(out.at(-1)).toBe("101");
  });

  it("lets live frames go on when nobody answers, and does not ask again for a while", async () => {
    const { feed, out, asked, repairs, clock } = setUp();
    for (const seq of [0, 5]) feed.take(frame(seq));
    asked[0]!.fail();
    await settle();
    expect(out).toEqual(["0", "5"]);
    expect(repairs.at(-1)!.state).toBe("failed");
    feed.take(frame(9));
    expect(out).toEqual(["0", "5", "9"]);
    expect(asked).toHaveLength(1);
    clock.now = 1500;
    feed.take(frame(12));
    expect(asked).toHaveLength(2);
    asked[1]!.fail();
    await settle();
    // Twice as long after the second failure.
    clock.now = 3000;
    feed.take(frame(20));
    expect(asked).toHaveLength(2);
  });

  it("asks for the first frames of a restarted engine, in their order", async () => {
    const { feed, out, asked } = setUp();
    for (const seq of [0, 1, 2, 3]) feed.take(frame(seq));
    feed.take(frame(2, 1000));
    expect(asked[0]).toMatchObject({ start: 0n, until: 2n });
    asked[0]!.batch(0, 1000);
    asked[0]!.batch(1, 1000);
    asked[0]!.end();
    await settle();
    expect(out).toEqual(["0", "1", "2", "3", "0", "1", "2"]);
    feed.take(frame(3, 1000));
    expect(out.at(-1)).toBe("3");
  });

  it("does not ask for a duplicate or late frame", () => {
    const { feed, out, asked } = setUp();
    for (const seq of [0, 1, 2, 1, 2, 0, 3]) feed.take(frame(seq));
    expect(asked).toEqual([]);
    expect(out).toEqual(["0", "1", "2", "1", "2", "0", "3"]);
  });

  it("repairs a second gap among the frames held", async () => {
    const { feed, out, asked } = setUp();
    for (const seq of [0, 3, 6]) feed.take(frame(seq));
    for (const seq of [0, 1, 2]) asked[0]!.batch(seq);
    asked[0]!.end();
    await settle();
    expect(asked[1]).toMatchObject({ start: 3n, until: 6n });
    for (const seq of [3, 4, 5]) asked[1]!.batch(seq);
    asked[1]!.end();
    await settle();
    expect(out).toEqual(["0", "0", "1", "2", "3", "3", "4", "5", "6"]);
  });

  it("gives up rather than hold more live frames than it may", async () => {
    const { feed, out, repairs } = setUp("full", 2000);
    feed.take(frame(0));
    for (let seq = 5; seq < 20; seq++) feed.take(frame(seq));
    await settle();
    expect(repairs.at(-1)!.state).toBe("failed");
    expect(out).toEqual(["0", ...Array.from({ length: 15 }, (_, i) => String(5 + i))]);
  });

  it("lets out what is held when it is closed, and nothing that comes after", async () => {
    const { feed, out, asked } = setUp();
    for (const seq of [0, 5]) feed.take(frame(seq));
    feed.close();
    expect(asked[0]!.signal.aborted).toBe(true);
    expect(out).toEqual(["0", "5"]);
    asked[0]!.batch(3);
    await settle();
    expect(out).toEqual(["0", "5"]);
  });
});
