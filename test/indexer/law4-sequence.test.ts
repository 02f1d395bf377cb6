/** Law 4: gaps, duplicates, late and reordered frames, restarts: told apart by evidence. */
import { describe, expect, it } from "vitest";
import { blocksOf, chain, exact, frame, indexerOf, removed, stored } from "./frames.js";

const one = chain();
const prompt = [...one.tokens, 1];
const hash = exact(one);

const status = (indexer: Awaited<ReturnType<typeof indexerOf>>["indexer"]) => indexer.pods()[0]!;

describe("a first frame", () => {
  it("number 0 is a complete history", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)], { seq: 0 }));
    expect(status(indexer)).toMatchObject({ state: "live", complete: true, lastSeq: "0", generation: 0 });
    expect(codes()).toEqual([]);
  });

  it.each([1n, 77n, 2n ** 63n, 2n ** 64n - 3n])(
    "number %s is an incomplete one, and is told",
    async (seq) => {
      const { indexer, codes } = await indexerOf({ hash });
      indexer.apply(frame([stored(one, 0, 3)], { seq, ts: 1 }));
      indexer.apply(frame([stored(one, 3, 6)], { seq: seq + 1n, ts: 2 }));
      expect(status(indexer)).toMatchObject({ complete: false, gaps: 0, lastSeq: String(seq + 1n) });
      expect(codes()).toEqual(["joined-late"]);
      expect(blocksOf(indexer, prompt)).toBe(6);
    },
  );
});

describe("a gap", () => {
  it("makes the publisher partial and what came before suspect", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 0, 4)], { seq: 0 }));
    indexer.apply(frame([stored(one, 4, 6)], { seq: 3 }));
    expect(status(indexer)).toMatchObject({ state: "partial", complete: false, gaps: 1, lostFrames: 2 });
    expect(indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")).toMatchObject({
      blocks: 6,
      // The one that its stored child proves is there for sure.
      suspect: 3,
      implied: 1,
      state: "partial",
      complete: false,
    });
    expect(codes()).toEqual(["sequence-gap"]);
  });

  it("a block that is stored again after it is sure again", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 0, 4)], { seq: 0 }));
    indexer.apply(frame([stored(one, 0, 3)], { seq: 2 }));
    expect(indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")).toMatchObject({
      blocks: 4,
      suspect: 1,
    });
    // Of a suspect block nobody knows how many copies are left: the one that is announced now is the only sure one.
    indexer.apply(frame([removed([one.hashes[2]!])], { seq: 3 }));
    expect(blocksOf(indexer, prompt)).toBe(2);
  });

  it("gaps add up, and each is counted in the one diagnostic", async () => {
    const { indexer, told } = await indexerOf({ hash });
    for (const seq of [0, 2, 5]) indexer.apply(frame([stored(one, 0, 1)], { seq }));
    expect(told.map(({ code }) => code)).toEqual(["sequence-gap"]);
    expect(indexer.diagnose().find(({ code }) => code === "sequence-gap")).toMatchObject({
      count: 2,
      evidence: { lostFrames: 3, gaps: 2, lastSeq: "5" },
    });
  });

  it("a cache reset makes history whole again, and the finding is withdrawn", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)], { seq: 4 }));
    indexer.apply(frame([stored(one, 0, 1)], { seq: 9 }));
    indexer.apply(frame([{ type: "AllBlocksCleared" }, stored(one, 0, 2)], { seq: 10 }));
    expect(status(indexer)).toMatchObject({ state: "live", complete: true });
    expect(indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")).toMatchObject({
      blocks: 2,
      suspect: 0,
    });
    expect(indexer.diagnose()).toEqual([]);
    indexer.apply(frame([stored(one, 0, 1)], { seq: 12 }));
    expect(codes()).toEqual(["joined-late", "sequence-gap", "sequence-gap"]);
  });
});

describe("frames out of order", () => {
  it("the same frame again changes nothing and is counted", async () => {
    const { indexer } = await indexerOf({ hash });
    const first = frame([stored(one)], { seq: 0 });
    indexer.apply(first);
    indexer.apply(frame([removed(one.hashes.slice(5))], { seq: 1 }));
    indexer.apply(first);
    expect(blocksOf(indexer, prompt)).toBe(5);
    expect(status(indexer)).toMatchObject({ duplicateFrames: 1, restarts: 0, state: "live", complete: true });
    expect(indexer.stats().skips).toEqual({ "duplicate-frame": 1 });
  });

  it("a late frame is overtaken: it is not applied over what came after it", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 0, 2)], { seq: 0 }));
    const late = frame([stored(one, 2, 4)], { seq: 1 });
    indexer.apply(frame([removed(one.hashes.slice(2, 4))], { seq: 2 }));
    indexer.apply(late);
    expect(blocksOf(indexer, prompt)).toBe(2);
    expect(status(indexer)).toMatchObject({ lateFrames: 1, restarts: 0, state: "partial" });
  });

  it("a late frame far behind is no restart", async () => {
    const { indexer } = await indexerOf({ hash });
    for (let seq = 0; seq < 300; seq++) indexer.apply(frame([stored(one, 0, 1)], { seq }));
    indexer.apply(frame([stored(one, 0, 1)], { seq: 3 }));
    indexer.apply(frame([stored(one, 0, 2)], { seq: 0 }));
    // The second has another content than its number had: it may be the first sign of a restart.
    expect(status(indexer)).toMatchObject({ generation: 0, restarts: 0, state: "partial" });
    expect(blocksOf(indexer, prompt)).toBe(1);
  });
});

describe("a restart", () => {
  it.each([
    ["from 0", 0, true],
    ["whose first frames were missed", 3, false],
    ["seen at the very number seen last", 5, false],
  ])("%s voids everything at once and begins a new generation", async (_name, seq, complete) => {
    const { indexer, codes } = await indexerOf({ hash });
    for (let before = 0; before <= 5; before++)
      indexer.apply(frame([stored(one, before, before + 1)], { seq: before }));
    expect(blocksOf(indexer, prompt)).toBe(6);
    indexer.apply(frame([stored(one, 0, 2)], { seq, ts: 9000 }));
    expect(blocksOf(indexer, prompt)).toBe(2);
    expect(status(indexer)).toMatchObject({
      generation: 1,
      restarts: 1,
      complete,
      lastSeq: String(seq),
      state: "live",
    });
    expect(indexer.stats().voided).toBe(6);
    expect(codes()).toContain("engine-restarted");
  });

  it("ends what was known to be wrong with the old process", async () => {
    const wrong = { mode: "exact", algorithm: "sha256_cbor", seed: "not this" } as const;
    const { indexer, codes } = await indexerOf({ hash: wrong, blockSize: 32 });
    indexer.apply(frame([stored(one)], { seq: 0 }));
    indexer.apply(frame([stored(one)], { seq: 2 }));
    expect(codes().sort()).toEqual(["block-size-mismatch", "hash-not-reproduced", "sequence-gap"]);
    indexer.apply(frame([], { seq: 0, ts: 9000 }));
    expect(indexer.diagnose().map(({ code }) => code)).toEqual(["engine-restarted"]);
  });

  it("is seen where the new process's clock is behind, once a few of its frames contradict the old ones'", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    for (let seq = 0; seq <= 5; seq++) indexer.apply(frame([stored(one, seq, seq + 1)], { seq }));
    for (let seq = 0; seq < 4; seq++) indexer.apply(frame([stored(one, 0, 1)], { seq, ts: 10 + seq }));
    expect(blocksOf(indexer, prompt)).toBe(1);
    expect(status(indexer)).toMatchObject({ generation: 1, lateFrames: 2, complete: false, lastSeq: "3" });
    expect(codes()).toEqual(["engine-restarted", "joined-late"]);
  });

  it("the old process's frames that arrive after it are not applied", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 0, 3)], { seq: 7 }));
    indexer.apply(frame([stored(one, 0, 1)], { seq: 0, ts: 9000 }));
    indexer.apply(frame([stored(one, 1, 2)], { seq: 1, ts: 9001 }));
    indexer.apply(frame([stored(one, 3, 6)], { seq: 0, ts: 1008 }));
    expect(blocksOf(indexer, prompt)).toBe(2);
    expect(status(indexer)).toMatchObject({ generation: 1, lateFrames: 1 });
  });
});
