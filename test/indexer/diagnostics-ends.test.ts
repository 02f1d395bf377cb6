/** `diagnose()` lists what stands: what is seen to have ended is withdrawn. */
import type { Indexer, KvFrame } from "kvblock";
import { describe, expect, it } from "vitest";
import { chain, exact, frame, indexerOf, stored } from "./frames.js";

const one = chain();
const prompt = [...one.tokens, 1];
const hash = exact(one);
const QUIET = 600_000;

const standing = (indexer: Indexer): string[] => indexer.diagnose().map(({ code }) => code);

async function* failing(): AsyncGenerator<KvFrame> {
  yield frame([]);
  throw new Error("the bus is down");
}

async function* waiting(): AsyncGenerator<KvFrame> {
  yield frame([]);
  await new Promise(() => {});
}

describe("topic-unusable and frame-rejected", () => {
  it.each([
    ["topic-unusable", { topic: "" }],
    ["frame-rejected", { payload: new Uint8Array(2000) }],
  ])("%s ends with a good frame of the source, ten minutes after the last bad one", async (code, bad) => {
    let now = 0;
    let seq = 0;
    const { indexer, codes } = await indexerOf({ hash, clock: () => now, maxFrameBytes: 1024 });
    const send = (at: number, source: string): void => {
      now = at;
      indexer.apply({ ...frame([], { seq: seq++ }), source });
    };
    const sendBad = (at: number): void => {
      now = at;
      indexer.apply({ ...frame([]), source: "a", ...bad });
    };
    sendBad(0);
    send(QUIET, "b");
    sendBad(QUIET);
    for (const at of [QUIET + 1, 2 * QUIET - 1]) send(at, "a");
    expect(standing(indexer)).toEqual([code]);
    send(2 * QUIET, "b");
    expect(standing(indexer)).toEqual([code]);
    send(2 * QUIET, "a");
    expect(standing(indexer)).toEqual([]);
    expect(codes()).toEqual([code]);
    sendBad(2 * QUIET);
    expect(codes()).toEqual([code, code]);
  });
});

describe("subscription-failed", () => {
  it("ends when another source is followed for the pod, and not when one is for another pod", async () => {
    const { indexer, told } = await indexerOf({ hash });
    for (const pod of ["a", "b"])
      await expect((await indexer.subscribe({ source: failing(), pod })).ended).rejects.toThrow();
    expect(told.map(({ code, pod }) => [code, pod])).toEqual([
      ["subscription-failed", "a"],
      ["subscription-failed", "b"],
    ]);
    await indexer.subscribe({ source: waiting(), pod: "b" });
    expect(indexer.diagnose().map(({ pod }) => pod)).toEqual(["a"]);
    await indexer.subscribe({ source: waiting() });
    expect(indexer.diagnose().map(({ pod }) => pod)).toEqual(["a"]);
    indexer.removePod("a");
    expect(standing(indexer)).toEqual([]);
    await indexer.close();
  });

  it("is told once of a host that subscribes in vain, and anew after ten minutes without a failure", async () => {
    let now = 0;
    const { indexer, codes } = await indexerOf({ hash, clock: () => now });
    // biome-ignore lint/correctness/useYield: it fails before its first frame
    async function* dead(): AsyncGenerator<KvFrame> {
      throw new Error("gone");
    }
    for (let i = 0; i < 3; i++) await (await indexer.subscribe({ source: dead() })).ended.catch(() => {});
    expect(codes()).toEqual(["subscription-failed"]);
    expect(indexer.diagnose()).toMatchObject([{ count: 3 }]);
    now = QUIET;
    await (await indexer.subscribe({ source: dead() })).ended.catch(() => {});
    expect(codes()).toHaveLength(2);
    expect(indexer.diagnose()).toMatchObject([{ count: 1 }]);
  });
});

describe("token-count-mismatch", () => {
  it("ends when the counts agree ten minutes after they last did not, pod by pod", async () => {
    let now = 0;
    const { indexer, codes } = await indexerOf({ hash, clock: () => now });
    const observe = (at: number, promptTokens: number, pod = "pod-a"): void => {
      now = at;
      indexer.scoreTokens(prompt, { model: "base" }).observe({ pod, promptTokens });
    };
    observe(0, 97);
    observe(0, 99);
    observe(QUIET - 1, 98);
    for (const at of [QUIET, 2 * QUIET - 2]) observe(at, 97);
    observe(2 * QUIET, 97, "pod-b");
    expect(standing(indexer)).toContain("token-count-mismatch");
    observe(2 * QUIET - 1, 97);
    expect(standing(indexer)).not.toContain("token-count-mismatch");
    expect(codes().filter((code) => code === "token-count-mismatch")).toHaveLength(1);
  });
});

describe("pods-unknown", () => {
  it("ends when candidates are named right, though the old names are never announced", async () => {
    let now = 0;
    const { indexer } = await indexerOf({ hash, clock: () => now });
    indexer.apply(frame([stored(one)]));
    indexer.scoreTokens(prompt, { model: "base", pods: ["pod-z"] });
    indexer.scoreTokens(prompt, { model: "base", pods: ["pod-a"] });
    expect(standing(indexer)).toEqual(["pods-unknown"]);
    now = QUIET;
    indexer.scoreTokens(prompt, { model: "base", pods: ["pod-a"] });
    expect(standing(indexer)).toEqual([]);
  });
});

describe("memory-limit", () => {
  it("ends ten minutes after the last blocks were dropped, and is told at once when it goes on", async () => {
    let now = 0;
    let seq = 0;
    const { indexer, codes } = await indexerOf({ hash, clock: () => now, memoryLimitBytes: 2 ** 20 });
    const fill = (frames: number): void => {
      for (const end = seq + frames; seq < end; seq++) {
        const hashes = Array.from({ length: 500 }, (_, i) => BigInt(seq * 500 + i + 1) * 0x9e3779b97f4a7c15n);
        const event = stored({
          hashes: hashes.map((h) => BigInt.asUintN(64, h)),
          tokens: prompt,
          blockSize: 1,
        });
        indexer.apply(frame([{ ...event, token_ids: hashes.map((_, i) => i) }], { seq }));
      }
    };
    const times = (): number => codes().filter((code) => code === "memory-limit").length;
    fill(150);
    const { dropped } = indexer.stats();
    expect(dropped).toBeGreaterThan(1000);
    const found = indexer.diagnose().find(({ code }) => code === "memory-limit")!;
    expect(found).toMatchObject({ evidence: { droppedEntries: dropped } });
    expect(found.count).toBeGreaterThan(1);
    now = QUIET - 1;
    fill(1);
    now = 2 * QUIET - 2;
    expect(standing(indexer)).toContain("memory-limit");
    now = 2 * QUIET;
    expect(standing(indexer)).not.toContain("memory-limit");
    expect(times()).toBe(1);
    fill(1);
    expect(times()).toBe(2);
  });
});
