/** Pod filters: who is listed in an answer, and what the rest of the fleet changes in it (nothing). */
import type { Indexer } from "kvblock";
import { storedFrame } from "kvblock/testing";
import { describe, expect, it } from "vitest";
import { indexerOf } from "./frames.js";

const model = "base";
const tokens = Array.from({ length: 96 }, (_, i) => 1000 + i);
const prompt = [...tokens, 1];

/** Pods a, b and c hold 1, 3 and 6 blocks of 16; d is of another model. */
async function fleet(): Promise<Awaited<ReturnType<typeof indexerOf>>> {
  const made = await indexerOf();
  const store = (pod: string, blocks: number, of = model): unknown =>
    made.indexer.apply(
      storedFrame({ pod, model: of, tokens: tokens.slice(0, 16 * blocks), blockSize: 16, seed: "0" }),
    );
  store("a", 1);
  store("b", 3);
  store("c", 6);
  store("d", 6, "other");
  return made;
}

const listed = (indexer: Indexer, pods?: Iterable<string>): [string, number, string][] =>
  [...indexer.scoreTokens(prompt, { model, pods })].map(({ pod, blocks, state }) => [pod, blocks, state]);

describe("pod filters", () => {
  it("no filter: every pod known for the model, and no other model's", async () => {
    const { indexer } = await fleet();
    expect(listed(indexer)).toEqual([
      ["c", 6, "live"],
      ["b", 3, "live"],
      ["a", 1, "live"],
    ]);
  });

  it("a subset: only these, with the scores that they have without the filter", async () => {
    const { indexer } = await fleet();
    const scores = indexer.scoreTokens(prompt, { model, pods: ["a", "b"] });
    expect([...scores].map(({ pod, blocks }) => [pod, blocks])).toEqual([
      ["b", 3],
      ["a", 1],
    ]);
    expect(scores.best?.pod).toBe("b");
    expect(scores.get("c")).toBeUndefined();
    expect(scores.toJSON()).toEqual({ a: 1, b: 3 });
  });

  it("a subset that holds nothing of the prompt: listed with zeros, whoever else holds it", async () => {
    const { indexer, told } = await fleet();
    const other = tokens.map((token) => token + 5000);
    indexer.apply(storedFrame({ pod: "e", model, tokens: other, blockSize: 16, seed: "0" }));
    const scores = indexer.scoreTokens(prompt, { model, pods: ["e"] });
    expect([scores.best, scores.toJSON(), scores.get("e")?.blocks]).toEqual([undefined, null, 0]);
    expect(told).toEqual([]);
  });

  it("unknown names beside known ones: listed as unknown with zeros, and nothing is told", async () => {
    const { indexer, told } = await fleet();
    expect(listed(indexer, ["x", "b", "y"])).toEqual([
      ["b", 3, "live"],
      ["x", 0, "unknown"],
      ["y", 0, "unknown"],
    ]);
    expect(told).toEqual([]);
  });

  it("unknown names alone: listed as unknown with zeros, and told who is known", async () => {
    const { indexer, codes, told } = await fleet();
    expect(listed(indexer, ["x", "y"])).toEqual([
      ["x", 0, "unknown"],
      ["y", 0, "unknown"],
    ]);
    expect(codes()).toEqual(["pods-unknown"]);
    expect(told[0]!.evidence).toEqual({ candidates: ["x", "y"], known: ["a", "b", "c"] });
  });

  it("a pod of another model is unknown for this one", async () => {
    const { indexer } = await fleet();
    expect(listed(indexer, ["d", "a"])).toEqual([
      ["a", 1, "live"],
      ["d", 0, "unknown"],
    ]);
  });

  it("an empty list: an empty answer, which is a lookup without hits", async () => {
    const { indexer } = await fleet();
    const scores = indexer.scoreTokens(prompt, { model, pods: [] });
    expect([...scores]).toEqual([]);
    expect([scores.best, scores.toJSON(), scores.promptTokens]).toEqual([undefined, null, 97]);
    expect(indexer.stats()).toMatchObject({ lookups: 1, hits: 0 });
  });

  it("an empty list is no wrong name: nothing is told", async () => {
    const { indexer, told } = await fleet();
    indexer.scoreTokens(prompt, { model, pods: [] });
    expect(told).toEqual([]);
  });

  it("the order of the filter decides between equals, and between nobody else", async () => {
    const { indexer } = await fleet();
    indexer.apply(storedFrame({ pod: "b2", model, tokens: tokens.slice(0, 48), blockSize: 16, seed: "0" }));
    for (const pods of [
      ["b", "b2", "c"],
      ["b2", "b", "c"],
    ])
      expect(listed(indexer, pods).map(([pod]) => pod)).toEqual(["c", ...pods.slice(0, 2)]);
  });

  it("a set, a generator and repeated names are the same filter as a list", async () => {
    const { indexer } = await fleet();
    function* names(): Generator<string> {
      yield* ["b", "a", "b"];
    }
    const once = listed(indexer, ["b", "a"]);
    for (const pods of [
      new Set(["b", "a"]),
      names(),
      ["b", "a", "b"],
      new Map([
        ["b", 1],
        ["a", 2],
      ]).keys(),
    ])
      expect(listed(indexer, pods)).toEqual(once);
  });
});
