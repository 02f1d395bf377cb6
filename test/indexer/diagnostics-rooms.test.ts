/** Diagnostics are bounded code by code, and told apart by where they are: nobody's names silence anybody else's. */
import type { DiagnosticCode } from "kvblock";
import { describe, expect, it } from "vitest";
import { blocksOf, chain, exact, frame, indexerOf, stored } from "./frames.js";

const one = chain();
const prompt = [...one.tokens, 1];
const hash = exact(one);
const HOUR = 3_600_000;

const ask = (
  indexer: { scoreTokens(tokens: number[], request: { model: string }): unknown },
  model: string,
) => indexer.scoreTokens([1, 2, 3], { model });

describe("each code has its own room", () => {
  it("a client that asks for thousands of models silences nothing but such models", async () => {
    const { indexer, told, codes } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)]));
    for (let i = 0; i < 3000; i++) ask(indexer, `model ${i}`);
    expect(codes().filter((code) => code === "model-never-announced")).toHaveLength(64);
    expect(told[62]!.message).not.toContain("others are not told");
    expect(told[63]!.message).toContain("others are not told");
    indexer.apply(frame([stored(one)], { seq: 7 }));
    indexer.apply({ ...frame([stored(one)]), topic: "", source: "tcp://engine" });
    indexer.scoreTokens(prompt, { model: "base", pods: ["nobody"] });
    expect(codes().slice(64)).toEqual(["sequence-gap", "topic-unusable", "pods-unknown"]);
    expect(indexer.diagnose()).toHaveLength(67);
  });

  it("prompts for thousands of models without a tokenizer neither", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    for (let i = 0; i < 200; i++)
      await expect(indexer.scorePrompt("hello", { model: `model ${i}` })).rejects.toThrow("No tokenizer");
    expect(codes()).toHaveLength(64);
  });

  it("pods without number fill their own room alone", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    for (let i = 0; i < 1500; i++) indexer.apply(frame([stored(one)], { pod: `pod-${i}`, seq: 3 }));
    expect(codes()).toHaveLength(256);
    indexer.apply(frame([stored(one)], { pod: "pod-1", seq: 9 }));
    expect(codes().slice(256)).toEqual(["sequence-gap"]);
  });

  it("what was not seen for an hour makes way, what was stays", async () => {
    let now = 0;
    const { indexer, told } = await indexerOf({ hash, clock: () => now });
    indexer.apply(frame([stored(one)]));
    for (let i = 0; i < 64; i++) ask(indexer, `model ${i}`);
    now = HOUR - 1;
    ask(indexer, "model 0");
    ask(indexer, "late");
    expect(told).toHaveLength(64);
    now = HOUR;
    ask(indexer, "late");
    expect(told).toHaveLength(65);
    const models = indexer.diagnose().map(({ model }) => model);
    expect(models).toHaveLength(64);
    expect(models).toContain("model 0");
    expect(models).not.toContain("model 1");
    expect(models[63]).toBe("late");
  });

  it("keeps no more of a name from a request than a hundred characters", async () => {
    const { indexer, told } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)]));
    ask(indexer, "x".repeat(1_000_000));
    expect(JSON.stringify(told).length).toBeLessThan(1500);
  });

  it("says when the cause was first and last seen, and how often", async () => {
    let now = 1000;
    const { indexer, told } = await indexerOf({ hash, clock: () => now });
    indexer.apply(frame([stored(one)]));
    ask(indexer, "other");
    now = 5000;
    ask(indexer, "other");
    expect(told).toMatchObject([{ count: 1, firstSeenAt: 1000, lastSeenAt: 1000 }]);
    expect(indexer.diagnose()).toMatchObject([{ count: 2, firstSeenAt: 1000, lastSeenAt: 5000 }]);
  });
});

describe("a finding that names no pod names its source", () => {
  it.each<[DiagnosticCode, { topic?: string; payload?: Uint8Array }]>([
    ["topic-unusable", { topic: "" }],
    ["frame-rejected", { payload: new Uint8Array(2000) }],
  ])("%s is told of each source", async (code, bad) => {
    const { indexer, told } = await indexerOf({ hash, maxFrameBytes: 1024 });
    for (const source of ["tcp://a", "tcp://b", "tcp://a", undefined])
      indexer.apply({ ...frame([]), ...bad, source });
    expect(told.map((finding) => [finding.code, finding.source])).toEqual([
      [code, "tcp://a"],
      [code, "tcp://b"],
      [code, undefined],
    ]);
    expect(indexer.diagnose().map(({ count }) => count)).toEqual([2, 1, 1]);
  });

  it("sources without number fill their own room alone", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    for (let i = 0; i < 1500; i++) indexer.apply({ ...frame([]), topic: "", source: `tcp://${i}` });
    expect(codes()).toHaveLength(256);
  });
});

describe("names that hold any character", () => {
  it("are told apart in diagnostics", async () => {
    const { indexer, told } = await indexerOf({ hash });
    for (const [model, pod] of [
      ["a\nb", "c"],
      ["a", "b\nc"],
    ] as const)
      indexer.apply({ ...frame([stored(one)], { seq: 3 }), model, pod });
    expect(told.map(({ code, model, pod }) => [code, model, pod])).toEqual([
      ["joined-late", "a\nb", "c"],
      ["joined-late", "a", "b\nc"],
    ]);
  });

  it("are told apart as publishers", async () => {
    const { indexer } = await indexerOf({ hash });
    for (const [model, pod] of [
      ["c", "a\nb"],
      ["b\nc", "a"],
      ["base", "1 a"],
      ["abase", "1 "],
    ] as const)
      indexer.apply({ ...frame([stored(one)]), model, pod });
    expect(indexer.pods().map(({ model, pod, frames }) => [model, pod, frames])).toEqual([
      ["abase", "1 ", 1],
      ["b\nc", "a", 1],
      ["base", "1 a", 1],
      ["c", "a\nb", 1],
    ]);
    expect(blocksOf(indexer, prompt, "1 a")).toBe(6);
  });
});
