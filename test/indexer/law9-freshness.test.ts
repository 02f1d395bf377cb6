/** Law 9: an answer carries its freshness: the pod's state, completeness, and the age of its last event. */
import type { KvFrame } from "kvblock";
import { describe, expect, it } from "vitest";
import { chain, exact, frame, indexerOf, stored } from "./frames.js";

const one = chain();
const prompt = [...one.tokens, 1];
const request = { model: "base", pods: ["pod-a"] };

describe("a pod's state", () => {
  it("unknown: never announced anything", async () => {
    const { indexer } = await indexerOf();
    expect(indexer.scoreTokens(prompt, request).get("pod-a")).toEqual({
      pod: "pod-a",
      dataParallelRank: 0,
      score: 0,
      blocks: 0,
      tokens: 0,
      blockSize: 0,
      byTier: {},
      state: "unknown",
      complete: false,
      lastEventAgeMs: null,
      implied: 0,
      suspect: 0,
      upperBound: false,
    });
  });

  it("catching-up: its hashing is not known yet, and it scores nothing meanwhile", async () => {
    const { indexer } = await indexerOf();
    indexer.apply(frame([stored(one, 2, 4)], { seq: 5 }));
    expect(indexer.scoreTokens([1, 2, 3], request).get("pod-a")).toMatchObject({
      state: "catching-up",
      blocks: 0,
    });
    expect(indexer.pods()[0]).toMatchObject({
      state: "catching-up",
      mode: "undecided",
      heldFrames: 1,
      algorithm: null,
    });
  });

  it("live, partial after a gap, live again after a restart", async () => {
    const { indexer } = await indexerOf({ hash: exact(one) });
    const state = (): string => indexer.scoreTokens(prompt, request).get("pod-a")!.state;
    indexer.apply(frame([stored(one)], { seq: 0 }));
    expect(state()).toBe("live");
    indexer.apply(frame([stored(one)], { seq: 2 }));
    expect(state()).toBe("partial");
    indexer.apply(frame([stored(one)], { seq: 0, ts: 9000 }));
    expect(state()).toBe("live");
  });

  it("stale: its subscription ended; a frame that comes another way revives it", async () => {
    const { indexer } = await indexerOf({ hash: exact(one) });
    async function* source(): AsyncGenerator<KvFrame> {
      yield frame([stored(one)], { seq: 0 });
      await new Promise(() => {});
    }
    const subscription = await indexer.subscribe({ source: source() });
    await indexer.settled();
    expect(indexer.pods()[0]).toMatchObject({ state: "live" });
    await subscription.close();
    expect(indexer.scoreTokens(prompt, request).get("pod-a")).toMatchObject({ state: "stale", blocks: 6 });
    indexer.apply(frame([stored(one, 0, 1)], { seq: 1 }));
    expect(indexer.pods()[0]).toMatchObject({ state: "live" });
  });

  it("silence is no staleness: an idle engine sends nothing, and the age says how long", async () => {
    let now = 1_000_000;
    const { indexer } = await indexerOf({ hash: exact(one), clock: () => now });
    indexer.apply(frame([stored(one)], { seq: 0, receivedAt: now }));
    now += 3_600_000;
    expect(indexer.scoreTokens(prompt, request).get("pod-a")).toMatchObject({
      state: "live",
      complete: true,
      lastEventAgeMs: 3_600_000,
    });
    expect(indexer.pods()[0]!.lastEventAgeMs).toBe(3_600_000);
    now = 0; // a clock set back gives no negative age
    expect(indexer.pods()[0]!.lastEventAgeMs).toBe(0);
  });
});
