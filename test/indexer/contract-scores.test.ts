/** The contract: the answer of a lookup. */
import { describe, expect, it } from "vitest";
import { chain, exact, frame, indexerOf, stored } from "./frames.js";

const one = chain();
const prompt = [...one.tokens, 1];

/** Pods a, b, c with 2, 6 and 0 of the prompt's blocks; d of another prompt, e of another model. */
async function threePods(options: Parameters<typeof indexerOf>[0] = {}) {
  const { indexer } = await indexerOf({ hash: exact(one), onDiagnostic: null, ...options });
  indexer.apply(frame([stored(one, 0, 2)], { pod: "a" }));
  indexer.apply(frame([stored(one)], { pod: "b" }));
  indexer.apply(
    frame([stored(one, 0, 1), { type: "BlockRemoved", block_hashes: [one.hashes[0]] }], { pod: "c" }),
  );
  indexer.apply(frame([stored(one)], { pod: "e", model: "other" }));
  return indexer;
}

describe("PodScores", () => {
  it("lists every known pod of the model, best first", async () => {
    const scores = (await threePods()).scoreTokens(prompt, { model: "base" });
    expect([...scores].map(({ pod, blocks }) => [pod, blocks])).toEqual([
      ["b", 6],
      ["a", 2],
      ["c", 0],
    ]);
    expect(scores).toMatchObject({ model: "base", promptTokens: 97 });
    expect(scores.best).toBe(scores.get("b"));
  });

  it("lists every named pod and no other: unknown ones and zeros too, equals in the caller's order", async () => {
    const indexer = await threePods();
    const pods = new Set(["x", "c", "a", "w", "e"]);
    const scores = indexer.scoreTokens(prompt, { model: "base", pods });
    expect([...scores].map(({ pod, state }) => [pod, state])).toEqual([
      ["a", "live"],
      ["x", "unknown"],
      ["c", "live"],
      ["w", "unknown"],
      ["e", "unknown"],
    ]);
    expect(scores.get("b")).toBeUndefined();
    expect(scores.toJSON()).toEqual({ a: 2 });
  });

  it("a pod named twice is listed once; a generator of names will do", async () => {
    const indexer = await threePods();
    function* names(): Generator<string> {
      yield* ["b", "b", "a"];
    }
    expect([...indexer.scoreTokens(prompt, { model: "base", pods: names() })].map(({ pod }) => pod)).toEqual([
      "b",
      "a",
    ]);
    expect([...indexer.scoreTokens(prompt, { model: "base", pods: [] })]).toEqual([]);
  });

  it("null and undefined when nothing matches", async () => {
    const scores = (await threePods()).scoreTokens([9, 9, 9], { model: "base" });
    expect([scores.toJSON(), scores.best, JSON.stringify(scores)]).toEqual([null, undefined, "null"]);
    expect(scores.get("b")).toMatchObject({ blocks: 0, score: 0 });
  });

  it("is an immutable snapshot: what comes after changes nothing in it", async () => {
    const indexer = await threePods();
    const scores = indexer.scoreTokens(prompt, { model: "base" });
    const before = JSON.stringify([...scores]);
    indexer.apply(frame([{ type: "AllBlocksCleared" }], { pod: "b", seq: 1 }));
    expect(JSON.stringify([...scores])).toBe(before);
    const score = scores.get("b")! as { blocks: number; byTier: Record<string, number> };
    expect(() => (score.blocks = 99)).toThrow(TypeError);
    expect(() => (score.byTier["gpu"] = 99)).toThrow(TypeError);
  });

  it("ranks of a pod are candidates of their own; without a rank the best one answers", async () => {
    const { indexer } = await indexerOf({ hash: exact(one) });
    indexer.apply(frame([stored(one, 0, 2)], { rank: 0 }));
    indexer.apply(frame([stored(one, 0, 5)], { rank: 3 }));
    const scores = indexer.scoreTokens(prompt, { model: "base", pods: ["pod-a"] });
    expect([...scores].map(({ dataParallelRank, blocks }) => [dataParallelRank, blocks])).toEqual([
      [3, 5],
      [0, 2],
    ]);
    expect(scores.get("pod-a")?.dataParallelRank).toBe(3);
    expect(scores.get("pod-a", 0)?.blocks).toBe(2);
    expect(scores.get("pod-a", 1)).toBeUndefined();
    expect(scores.toJSON()).toEqual({ "pod-a": 5 });
  });

  it("orders by weighted tokens: score is no token count, and pods of other block sizes are comparable", async () => {
    const { indexer } = await indexerOf({ hash: { mode: "tokens" } });
    const fine = { ...one, blockSize: 4, hashes: Array.from({ length: 24 }, (_, i) => BigInt(i + 1)) };
    indexer.apply(frame([stored(fine, 0, 12)], { pod: "fine" })); // 48 tokens in 12 blocks
    indexer.apply(frame([stored(one, 0, 4)], { pod: "coarse" })); // 64 tokens in 4 blocks
    indexer.apply(frame([stored(one, 0, 1), stored(one, 0, 5, { medium: "CPU" })], { pod: "tiered" })); // 16 + 64 × 0.8
    const scores = indexer.scoreTokens(prompt, { model: "base" });
    expect([...scores].map(({ pod }) => pod)).toEqual(["tiered", "coarse", "fine"]);
    expect(scores.get("tiered")).toMatchObject({ tokens: 80, blocks: 5, byTier: { gpu: 1, cpu: 4 } });
    expect(scores.get("tiered")!.score).toBeCloseTo(4.2);
    expect(scores.get("fine")).toMatchObject({ tokens: 48, blocks: 12, score: 12 });
  });
});

describe("observe", () => {
  it("compares the prediction with what the engine reports", async () => {
    const indexer = await threePods();
    const scores = indexer.scoreTokens(prompt, { model: "base" });
    scores.observe({ pod: "b", promptTokens: 97, cachedTokens: 96 });
    scores.observe({ pod: "b", promptTokens: 97, cachedTokens: 64 });
    scores.observe({ pod: "a", promptTokens: 97, cachedTokens: 96 });
    scores.observe({ pod: "nobody", promptTokens: 97, cachedTokens: 16 });
    expect(indexer.stats().accuracy).toEqual({
      observed: 4,
      exact: 1,
      overPredictedTokens: 32,
      underPredictedTokens: 64 + 16,
    });
  });

  it("an engine that reports no cached tokens is not counted as a miss", async () => {
    const indexer = await threePods();
    const scores = indexer.scoreTokens(prompt, { model: "base" });
    for (const cachedTokens of [null, undefined])
      scores.observe({ pod: "b", promptTokens: 97, cachedTokens });
    scores.observe({ pod: "b", promptTokens: 97 });
    expect(indexer.stats().accuracy.observed).toBe(0);
  });

  it("another count of prompt tokens is told: the tokenizer is not the engine's", async () => {
    const { indexer, told } = await indexerOf({ hash: exact(one) });
    indexer.apply(frame([stored(one)]));
    indexer
      .scoreTokens(prompt, { model: "base" })
      .observe({ pod: "pod-a", promptTokens: 98, cachedTokens: 96 });
    expect(told).toMatchObject([
      { code: "token-count-mismatch", pod: "pod-a", evidence: { engine: 98, scored: 97 } },
    ]);
  });

  it.each([
    [{ promptTokens: 1 }, TypeError],
    [{ pod: "a", promptTokens: "97" }, TypeError],
    [{ pod: "a", promptTokens: -1 }, RangeError],
    [{ pod: "a", promptTokens: 1, cachedTokens: 1.5 }, RangeError],
    [{ pod: "a", promptTokens: 1, cached_tokens: 5 }, TypeError],
  ])("refuses %j", async (usage, kind) => {
    const scores = (await threePods()).scoreTokens(prompt, { model: "base" });
    expect(() => scores.observe(usage as never)).toThrow(kind);
  });
});

describe("counters", () => {
  it("count lookups, and hits as the blocks of the best pod", async () => {
    const indexer = await threePods();
    indexer.scoreTokens(prompt, { model: "base" });
    indexer.scoreTokens(prompt, { model: "base", pods: ["a"] });
    indexer.scoreTokens([1, 2], { model: "base" });
    const { lookups, hits, lookupLatency } = indexer.stats();
    expect({ lookups, hits }).toEqual({ lookups: 3, hits: 8 });
    expect(lookupLatency.count).toBe(3);
    expect(lookupLatency.buckets.at(-1)!.count).toBeLessThanOrEqual(3);
    expect(lookupLatency.sumSeconds).toBeGreaterThan(0);
  });

  it("count entries: admissions less evictions, voided and dropped ones is what is held", async () => {
    const indexer = await threePods();
    const { admissions, evictions, voided, dropped, events, frames } = indexer.stats();
    expect({ admissions, evictions, voided, dropped }).toEqual({
      admissions: 15,
      evictions: 1,
      voided: 0,
      dropped: 0,
    });
    expect({ events, frames }).toEqual({ events: { stored: 4, removed: 1, cleared: 0 }, frames: 4 });
    const held = indexer.pods().reduce((sum, { blocks }) => sum + (blocks["gpu"] ?? 0), 0);
    expect(held).toBe(14);
  });

  it("stats(), pods() and diagnose() are JSON", async () => {
    const indexer = await threePods();
    for (const report of [indexer.stats(), indexer.pods(), indexer.diagnose()])
      expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  });

  it("pods() is ordered by model, pod and rank", async () => {
    const { indexer } = await indexerOf({ hash: exact(one) });
    for (const [model, pod, rank] of [
      ["b", "x", 1],
      ["a", "z", 0],
      ["b", "x", 0],
      ["a", "y", 2],
    ] as const)
      indexer.apply(frame([stored(one)], { model, pod, rank }));
    expect(
      indexer.pods().map(({ model, pod, dataParallelRank }) => `${model} ${pod} ${dataParallelRank}`),
    ).toEqual(["a y 2", "a z 0", "b x 0", "b x 1"]);
  });
});
