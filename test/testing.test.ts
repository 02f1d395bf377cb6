/** `kvblock/testing`: frames that a real engine would send, judged by @msgpack/msgpack and Python's hashes. */
import { decode } from "@msgpack/msgpack";
import { Indexer, type PodScores } from "kvblock";
import { createBlockHasher, HASH_ALGORITHMS } from "kvblock/hash";
import { clearedFrame, podScoresOf, removedFrame, storedFrame } from "kvblock/testing";
import { describe, expect, it } from "vitest";
import { chain } from "./indexer/frames.js";

const one = chain();
const of = { pod: "10.0.0.1:8000", model: "org/model@v1" };
const prompt = { ...of, tokens: one.tokens, blockSize: 16, seed: "0" };

const batch = (frame: { payload: Uint8Array }): [number, Record<string, unknown>[], number] =>
  decode(frame.payload, { useBigInt64: true }) as [number, Record<string, unknown>[], number];

/** msgpack writes hashes below 2^63 in forms that decode to numbers or bigints: compare them as bigints. */
const hashes = (event: Record<string, unknown>): bigint[] =>
  (event["block_hashes"] as (number | bigint)[]).map((hash) => BigInt.asUintN(64, BigInt(hash)));

describe("storedFrame", () => {
  it("is what an engine with that seed sends: Python's hashes, the tokens of whole blocks", () => {
    const frame = storedFrame({
      ...prompt,
      tokens: [...one.tokens, 5],
      seq: 7,
      at: 1_700_000_000_250,
      dataParallelRank: 2,
    });
    expect(frame).toMatchObject({
      topic: "kv@10.0.0.1:8000@org/model@v1",
      seq: 7n,
      receivedAt: 1_700_000_000_250,
    });
    const [ts, [event], rank] = batch(frame);
    expect([ts, rank]).toEqual([1_700_000_000.25, 2]);
    expect(hashes(event!)).toEqual(one.hashes);
    expect(event).toMatchObject({
      type: "BlockStored",
      parent_block_hash: null,
      block_size: 16,
      medium: "GPU",
      lora_id: null,
      lora_name: null,
    });
    expect((event!["token_ids"] as unknown[]).map(Number)).toEqual(one.tokens);
  });

  it("fromBlock gives the later blocks, with the parent", () => {
    const [, [event]] = batch(storedFrame({ ...prompt, fromBlock: 4, medium: "CPU" }));
    expect(hashes(event!)).toEqual(one.hashes.slice(4));
    expect(BigInt.asUintN(64, BigInt(event!["parent_block_hash"] as bigint))).toBe(one.hashes[3]);
    expect(event!["token_ids"]).toHaveLength(32);
    expect(event!["medium"]).toBe("CPU");
  });

  it.each(HASH_ALGORITHMS)("%s: an indexer settles on it and matches", async (algorithm) => {
    const indexer = await Indexer.create({ onDiagnostic: null });
    const hash = algorithm.startsWith("xxhash")
      ? await createBlockHasher({ algorithm, blockSize: 16, seed: "0" })
      : algorithm;
    indexer.apply(storedFrame({ ...prompt, hash }));
    expect(indexer.pods()[0]).toMatchObject({ mode: "exact", algorithm, state: "live" });
    expect(indexer.scoreTokens([...one.tokens, 1], { model: of.model }).toJSON()).toEqual({ [of.pod]: 6 });
  });

  it("extra keys go into the hashes and onto the wire", async () => {
    const extraKeys = one.hashes.map((_, block) => (block === 0 ? ["tenant-A"] : null));
    const frame = storedFrame({ ...prompt, extraKeys });
    expect(hashes(batch(frame)[1][0]!)).toEqual(
      chain("sha256_cbor/bs16/seed=0/salt_first_block_only").hashes,
    );
    const indexer = await Indexer.create({ hash: { mode: "tokens" }, onDiagnostic: null });
    indexer.apply(frame);
    const match = (cacheSalt?: string): number | undefined =>
      indexer.scoreTokens([...one.tokens, 1], { model: of.model, cacheSalt }).best?.blocks;
    expect([match(), match("tenant-A")]).toEqual([undefined, 6]);
  });

  it.each([
    [{ ...prompt, blocksize: 16 }, "did you mean blockSize?"],
    [{ ...prompt, blockSize: 0 }, '"blockSize" expected'],
    [{ ...prompt, pod: "" }, '"pod" expected'],
    [{ ...prompt, pod: "a@b" }, '"pod" expected'],
    [{ ...prompt, model: undefined }, '"model" expected'],
    [{ ...prompt, hash: "sha265" }, 'did you mean "sha256"?'],
    [{ ...prompt, fromBlock: -1 }, '"fromBlock" expected integer 0 … 5, got -1'],
    [{ ...prompt, fromBlock: 6 }, '"fromBlock" expected integer 0 … 5, got 6'],
    [{ ...prompt, fromBlock: 0.5 }, '"fromBlock" expected integer 0 … 5, got 0.5'],
    [{ ...prompt, fromBlock: "1" }, '"fromBlock" expected integer 0 … 5, got "1"'],
    [{ ...prompt, seq: 1.5 }, '"seq" expected integer >= 0, got 1.5'],
    [{ ...prompt, seq: -1n }, '"seq" expected bigint 0 … 2^64-1, got -1n'],
    [{ ...prompt, seq: 2n ** 64n }, '"seq" expected bigint 0 … 2^64-1'],
    [{ ...prompt, seq: "1" }, '"seq" expected integer or bigint, got "1"'],
    [{ ...prompt, at: Number.NaN }, '"at" expected milliseconds since the epoch, got NaN'],
    [{ ...prompt, at: "now" }, '"at" expected milliseconds since the epoch, got "now"'],
    [{ ...prompt, dataParallelRank: -1 }, '"dataParallelRank" expected integer 0 … 4294967295, got -1'],
    [{ ...prompt, medium: 5 }, '"medium" expected non-empty string, got 5'],
  ])("refuses mistakes", (options, message) => {
    for (const make of [storedFrame, removedFrame]) {
      expect(() => make(options as never)).toThrow(message);
      expect(() => make(options as never)).toThrow(/^"/);
    }
  });

  it("refuses a wrong type as a TypeError and a wrong value as a RangeError", () => {
    for (const wrong of [{ fromBlock: "1" }, { seq: "1" }, { at: "now" }, { dataParallelRank: "0" }])
      expect(() => storedFrame({ ...prompt, ...wrong } as never)).toThrow(TypeError);
    for (const wrong of [{ fromBlock: 9 }, { seq: 1.5 }, { seq: -1n }, { at: Infinity }])
      expect(() => removedFrame({ ...prompt, ...wrong })).toThrow(RangeError);
    expect(() => clearedFrame({ ...of, seq: 1.5 })).toThrow('"seq" expected integer >= 0, got 1.5');
  });

  it("takes a prompt without a full block, as a frame that announces nothing", () => {
    const [, [event]] = batch(storedFrame({ ...prompt, tokens: [1, 2, 3] }));
    expect(event!["block_hashes"]).toEqual([]);
    expect(() => storedFrame({ ...prompt, tokens: [1, 2, 3], fromBlock: 1 })).toThrow(
      '"fromBlock" expected 0 (the prompt has no full block), got 1',
    );
  });
});

describe("a whole story without an engine", () => {
  it("stored, evicted from the tail, cleared", async () => {
    const indexer = await Indexer.create({ onDiagnostic: null });
    const blocks = (): number =>
      indexer.scoreTokens([...one.tokens, 1], { model: of.model, pods: [of.pod] }).get(of.pod)!.blocks;
    indexer.apply(storedFrame({ ...prompt, seq: 0 }));
    expect(blocks()).toBe(6);
    indexer.apply(removedFrame({ ...prompt, seq: 1, fromBlock: 4 }));
    expect(blocks()).toBe(4);
    indexer.apply(clearedFrame({ ...of, seq: 2n }));
    expect(blocks()).toBe(0);
    expect(indexer.diagnose()).toEqual([]);
    expect(batch(clearedFrame(of))[1]).toEqual([{ type: "AllBlocksCleared" }]);
  });
});

describe("podScoresOf", () => {
  it("gives scores as a lookup does: ordered, frozen, with defaults of a live pod", () => {
    const scores: PodScores = podScoresOf([
      { pod: "a", blocks: 2 },
      { pod: "b", blocks: 5, state: "partial", byTier: { gpu: 1, cpu: 4 }, score: 4.2 },
      { pod: "c", blocks: 0, state: "unknown" },
    ]);
    expect([...scores].map(({ pod }) => pod)).toEqual(["b", "a", "c"]);
    expect(scores.best).toMatchObject({ pod: "b", tokens: 80, blockSize: 16, state: "partial" });
    expect(scores.toJSON()).toEqual({ b: 4.2, a: 2 });
    expect(scores.get("c")).toMatchObject({ blocks: 0, byTier: {}, state: "unknown" });
    expect(scores.promptTokens).toBe(81);
    expect(() => {
      (scores.best as { blocks: number }).blocks = 1;
    }).toThrow(TypeError);
    expect(() => scores.observe({ pod: "a", promptTokens: 81 })).not.toThrow();
    expect(podScoresOf([], { model: "m", promptTokens: 5 })).toMatchObject({
      model: "m",
      promptTokens: 5,
      best: undefined,
    });
  });
});
