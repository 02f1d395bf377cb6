import { decode, encode } from "@msgpack/msgpack";
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
  /** What the feed says to it; `false`: no more. */
  batch(seq: number, born?: number): unknown;
  end(): void;
  fail(): void;
  signal: AbortSignal;
}

/** A feed with an engine that answers when the test says so. What comes out of its later life is marked: 3'. */
function setUp(policy: ReplayPolicy = "full", maxHeldBytes = 1e6, topic: string | null = "kv@pod@model") {
  const out: string[] = [];
  const asked: Asked[] = [];
  const repairs: Repair[] = [];
  const clock = { now: 0 };
  const ages: number[] = [];
  const later: { ms: number; run: () => void }[] = [];
  const feed = new RepairingFeed({
    policy,
    maxHeldBytes,
    coolDownMs: 1000,
    now: () => clock.now,
    blank: (said) => {
      const named = said ?? topic;
      return named === null ? undefined : { topic: named, receivedAt: clock.now };
    },
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
    later: (ms, run) => {
      const waiting = { ms, run };
      later.push(waiting);
      return () => void later.splice(0, later.length, ...later.filter((other) => other !== waiting));
    },
    emit: ({ seq, topic, payload, receivedAt }) => {
      ages.push(clock.now - receivedAt);
      const [time] = decode(payload) as [number];
      out.push(`${seq}${time >= 1000 ? "'" : ""}${topic === "kv@pod@model" ? "" : " without topic"}`);
    },
    onRepair: (repair) => repairs.push(repair),
  });
  return { feed, out, asked, repairs, clock, ages, later };
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

  it("does not ask again for what it was not given: newer frames are out by then", async () => {
    const { feed, out, asked, clock } = setUp();
    feed.take(frame(5));
    asked[0]!.fail();
    await settle();
    clock.now = 1500;
    feed.take(frame(6));
    expect(asked).toHaveLength(1);
    expect(out).toEqual(["5", "6"]);
    // A gap that comes later is asked for, and only that.
    feed.take(frame(9));
    expect(asked[1]).toMatchObject({ start: 6n, until: 9n });
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
    expect(out).toEqual(["0", "1", "2", "3", "0'", "1'", "2'"]);
    feed.take(frame(3, 1000));
    expect(out.at(-1)).toBe("3'");
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

  it("asks nothing any more once it is closed, whatever is held or comes", async () => {
    const { feed, out, asked } = setUp();
    for (const seq of [0, 5, 9, 14]) feed.take(frame(seq));
    feed.close();
    expect(out).toEqual(["0", "5", "9", "14"]);
    expect(feed.repairing).toBe(false);
    feed.take(frame(20));
    feed.take(frame(3, 1000));
    feed.close();
    await settle();
    expect(asked).toHaveLength(1);
    expect(out).toEqual(["0", "5", "9", "14", "20", "3'"]);
  });

  it("does not take what a restarted engine has under the numbers of a gap for the gap's frames", async () => {
    const { feed, out, asked, repairs } = setUp();
    for (const seq of [0, 1, 2, 6]) feed.take(frame(seq, seq === 6 ? 1000 : 0));
    expect(asked[0]).toMatchObject({ start: 2n, until: 6n });
    // Not the frame 2 that was seen: this is another process, whose first frames are missing too.
    expect(asked[0]!.batch(2, 1000)).toBe(false);
    asked[0]!.end();
    await settle();
    expect(asked[1]).toMatchObject({ start: 0n, until: 6n });
    for (let seq = 0; seq < 6; seq++) asked[1]!.batch(seq, 1000);
    asked[1]!.end();
    await settle();
    expect(out).toEqual(["0", "1", "2", ...Array.from({ length: 7 }, (_, seq) => `${seq}'`)]);
    expect(repairs.map(({ state }) => state)).toEqual(["asking", "repaired"]);
    expect(repairs.at(-1)).toMatchObject({ start: 0n, until: 6n, replayed: 6 });
    feed.take(frame(7, 1000));
    expect(out.at(-1)).toBe("7'");
  });

  it("lets the restart be seen where only gaps are wanted, and calls it no repair", async () => {
    const { feed, out, asked, repairs } = setUp("gap-only");
    for (const seq of [0, 1, 2, 6]) feed.take(frame(seq, seq === 6 ? 1000 : 0));
    for (const seq of [2, 3, 4, 5]) asked[0]!.batch(seq, 1000);
    asked[0]!.end();
    await settle();
    expect(out).toEqual(["0", "1", "2", "2'", "3'", "4'", "5'", "6'"]);
    expect(asked).toHaveLength(1);
    expect(repairs.at(-1)).toMatchObject({ state: "partly", start: 2n, replayed: 4 });
  });

  it.each([
    ["does not answer", [], false],
    ["has its first frames no more", [4, 5], true],
    ["breaks off", [0, 1], false],
  ] as const)("lets the restart be seen when the new process %s", async (_, has, ends) => {
    const { feed, out, asked, repairs } = setUp();
    for (const seq of [0, 1, 2, 6]) feed.take(frame(seq, seq === 6 ? 1000 : 0));
    asked[0]!.batch(2, 1000);
    asked[0]!.end();
    await settle();
    for (const seq of has) asked[1]!.batch(seq, 1000);
    if (ends) asked[1]!.end();
    else asked[1]!.fail();
    await settle();
    // An old number under a new batch time comes first of the new life, which is how its reader knows it.
    const came = (has as readonly number[]).includes(0)
      ? ["0'", "1'"]
      : ["2'", ...has.map((seq) => `${seq}'`)];
    expect(out).toEqual(["0", "1", "2", ...came, "6'"]);
    expect(repairs.at(-1)).toMatchObject({ state: ends ? "partly" : "failed", start: 0n });
  });

  it("takes the first frame of a new life for what it is, and asks once", async () => {
    const { feed, out, asked, repairs } = setUp();
    feed.take(frame(0));
    feed.take(frame(3, 1000));
    for (const seq of [0, 1, 2]) asked[0]!.batch(seq, 1000);
    asked[0]!.end();
    await settle();
    expect(out).toEqual(["0", "0'", "1'", "2'", "3'"]);
    expect(asked).toHaveLength(1);
    expect(repairs.at(-1)!.state).toBe("repaired");
  });

  it("leaves the gap where another life's frames say an older time: nobody could tell them from late ones", async () => {
    const { feed, out, asked, repairs } = setUp();
    for (const seq of [0, 1, 2]) feed.take(frame(seq, 1000));
    feed.take(frame(6));
    expect(asked[0]!.batch(2)).toBe(false);
    asked[0]!.end();
    await settle();
    expect(out).toEqual(["0'", "1'", "2'", "6"]);
    expect(asked).toHaveLength(1);
    expect(repairs.at(-1)).toMatchObject({ state: "partly", replayed: 0 });
  });

  it("does not ask a restarted engine again once it is closed", async () => {
    const { feed, out, asked } = setUp();
    for (const seq of [0, 1, 2, 6]) feed.take(frame(seq, seq === 6 ? 1000 : 0));
    asked[0]!.batch(2, 1000);
    feed.close();
    asked[0]!.end();
    await settle();
    expect(asked).toHaveLength(1);
    expect(out).toEqual(["0", "1", "2", "6'"]);
  });

  it("does not call a replay with a hole in it a repair", async () => {
    const { feed, asked, repairs } = setUp();
    for (const seq of [0, 5]) feed.take(frame(seq));
    for (const seq of [0, 1, 4]) asked[0]!.batch(seq);
    asked[0]!.end();
    await settle();
    expect(repairs.at(-1)!.state).toBe("partly");
  });
});

describe("at a new connection a repairing feed", () => {
  const END = 2n ** 64n - 1n;

  it("asks for all there is, to the end, and holds live frames meanwhile", async () => {
    const { feed, out, asked, repairs } = setUp();
    feed.connected();
    expect(asked[0]).toMatchObject({ start: 0n, until: END });
    for (const seq of [0, 1, 2]) asked[0]!.batch(seq);
    feed.take(frame(3));
    expect(out).toEqual(["0", "1", "2"]);
    // The replay goes on to what came live: that was not lost.
    expect(asked[0]!.batch(3)).toBe(false);
    asked[0]!.end();
    await settle();
    expect(out).toEqual(["0", "1", "2", "3"]);
    expect(repairs).toMatchObject([
      { state: "asking", start: 0n, until: null },
      { state: "repaired", start: 0n, until: null, replayed: 3 },
    ]);
    feed.take(frame(4));
    expect(asked).toHaveLength(1);
  });

  it("lets out once what came with the replay and live", async () => {
    const { feed, out, asked } = setUp();
    feed.connected();
    for (const seq of [0, 1, 2, 3]) asked[0]!.batch(seq);
    for (const seq of [2, 3, 4]) feed.take(frame(seq));
    asked[0]!.end();
    await settle();
    expect(out).toEqual(["0", "1", "2", "3", "4"]);
  });

  it("asks for what was lost between the replay and the first live frame", async () => {
    const { feed, out, asked } = setUp();
    feed.connected();
    for (const seq of [0, 1]) asked[0]!.batch(seq);
    feed.take(frame(4));
    asked[0]!.end();
    await settle();
    expect(asked[1]).toMatchObject({ start: 1n, until: 4n });
    for (const seq of [1, 2, 3]) asked[1]!.batch(seq);
    asked[1]!.end();
    await settle();
    expect(out).toEqual(["0", "1", "1", "2", "3", "4"]);
  });

  it("takes an engine that has published nothing for whole", async () => {
    const { feed, out, asked, repairs } = setUp();
    feed.connected();
    asked[0]!.end();
    await settle();
    expect(repairs.at(-1)).toMatchObject({ state: "repaired", replayed: 0 });
    feed.take(frame(0));
    expect(out).toEqual(["0"]);
    expect(asked).toHaveLength(1);
  });

  it("says so when the engine has its first frames no more", async () => {
    const { feed, asked, repairs } = setUp();
    feed.connected();
    for (const seq of [7, 8]) asked[0]!.batch(seq);
    asked[0]!.end();
    await settle();
    expect(repairs.at(-1)).toMatchObject({ state: "partly", replayed: 2, until: null });
  });

  it("made anew asks from the last seen on: the same frame again is the proof, and as old as it was", async () => {
    const { feed, out, asked, repairs, clock, ages } = setUp();
    for (const seq of [0, 1]) feed.take(frame(seq));
    clock.now = 500;
    feed.connected();
    expect(asked[0]).toMatchObject({ start: 1n, until: END });
    for (const seq of [1, 2]) asked[0]!.batch(seq);
    asked[0]!.end();
    await settle();
    expect(out).toEqual(["0", "1", "1", "2"]);
    expect(ages).toEqual([0, 0, 500, 0]);
    expect(repairs.at(-1)).toMatchObject({ state: "repaired", start: 1n, replayed: 2 });
  });

  it("made anew to another process asks for all of that", async () => {
    const { feed, out, asked, repairs } = setUp();
    for (const seq of [0, 1, 2, 3]) feed.take(frame(seq));
    feed.connected();
    // It has not come so far yet: nothing from number 3 on.
    asked[0]!.end();
    await settle();
    expect(asked[1]).toMatchObject({ start: 0n, until: END });
    for (const seq of [0, 1]) asked[1]!.batch(seq, 1000);
    asked[1]!.end();
    await settle();
    expect(out).toEqual(["0", "1", "2", "3", "0'", "1'"]);
    expect(repairs.at(-1)).toMatchObject({ state: "repaired", start: 0n, replayed: 2 });
  });

  it("made anew to another process that went further sees the restart by its frame", async () => {
    const { feed, out, asked } = setUp();
    for (const seq of [0, 1]) feed.take(frame(seq));
    feed.connected();
    expect(asked[0]!.batch(1, 1000)).toBe(false);
    asked[0]!.end();
    await settle();
    for (const seq of [0, 1, 2]) asked[1]!.batch(seq, 1000);
    asked[1]!.end();
    await settle();
    expect(out).toEqual(["0", "1", "0'", "1'", "2'"]);
  });

  it("where only gaps are wanted asks for what was missed while away, and not at first", async () => {
    const { feed, asked } = setUp("gap-only");
    feed.connected();
    expect(asked).toEqual([]);
    feed.take(frame(7));
    feed.connected();
    expect(asked[0]).toMatchObject({ start: 7n, until: END });
  });

  it("leaves frames alone that nobody could tell the pod of, until a live one says it", async () => {
    const { feed, out, asked } = setUp("full", 1e6, null);
    feed.connected();
    expect(asked[0]!.batch(0)).toBe(false);
    asked[0]!.end();
    await settle();
    expect(out).toEqual([]);
    feed.take(frame(2));
    expect(asked[1]).toMatchObject({ start: 0n, until: 2n });
    for (const seq of [0, 1]) asked[1]!.batch(seq);
    asked[1]!.end();
    await settle();
    expect(out).toEqual(["0", "1", "2"]);
    // From then on the topic is known.
    feed.connected();
    asked[2]!.batch(2);
    expect(out.at(-1)).toBe("2");
  });

  it("asks an engine that does not answer neither again nor with the live frames that come then", async () => {
    const { feed, out, asked, repairs, clock } = setUp();
    feed.connected();
    feed.take(frame(4));
    asked[0]!.fail();
    await settle();
    expect(repairs.at(-1)).toMatchObject({ state: "failed", until: null });
    expect(out).toEqual(["4"]);
    feed.connected();
    feed.take(frame(6));
    expect(asked).toHaveLength(1);
    clock.now = 1500;
    feed.connected();
    expect(asked).toHaveLength(2);
  });

  it("asks a few times where connections come and go, and then not for a while", async () => {
    const { feed, asked, clock } = setUp();
    for (let n = 0; n < 50; n++) {
      feed.connected();
      asked.at(-1)!.end();
      await settle();
    }
    expect(asked).toHaveLength(5);
    clock.now = 1000;
    feed.connected();
    expect(asked).toHaveLength(6);
  });

  it("asks once while a repair is under way, and nothing once it is closed", () => {
    const { feed, asked } = setUp();
    feed.connected();
    feed.connected();
    feed.close();
    feed.connected();
    expect(asked).toHaveLength(1);
  });

  it("asks an engine again that did not answer at its connection, later and later, while nothing comes", async () => {
    const { feed, out, asked, repairs, clock, later } = setUp();
    const waits: number[] = [];
    feed.connected();
    for (let i = 0; i < 8; i++) {
      asked[i]!.fail();
      await settle();
      expect(later).toHaveLength(1);
      const { ms, run } = later.pop()!;
      waits.push(ms);
      clock.now += ms;
      run();
    }
    // 1 s, doubled up to 32 times, and half as much more at random.
    for (const [i, ms] of waits.entries()) {
      expect(ms).toBeGreaterThanOrEqual(1000 * 2 ** Math.min(i, 5));
      expect(ms).toBeLessThanOrEqual(1500 * 2 ** Math.min(i, 5));
    }
    for (const seq of [0, 1]) asked[8]!.batch(seq);
    asked[8]!.end();
    await settle();
    expect(out).toEqual(["0", "1"]);
    expect(repairs.at(-1)).toMatchObject({ state: "repaired", replayed: 2 });
    expect(later).toEqual([]);
  });

  it("goes on where a replay broke off, and gives it up once newer frames are out or it is closed", async () => {
    const { feed, out, asked, clock, later } = setUp();
    feed.connected();
    asked[0]!.batch(0);
    asked[0]!.fail();
    await settle();
    clock.now += later[0]!.ms;
    later.pop()!.run();
    expect(asked[1]).toMatchObject({ start: 0n });
    // Held back while it is asked, and let out then.
    feed.take(frame(1));
    asked[1]!.fail();
    await settle();
    expect(out).toEqual(["0", "1"]);
    expect(later).toEqual([]);
    clock.now += 1e6;
    feed.connected();
    asked[2]!.fail();
    await settle();
    expect(later).toHaveLength(1);
    feed.close();
    expect(later).toEqual([]);
  });
});
