/** What users of other routers' indexes reported, each as a test here; threads are named `owner/repo#n`. */
import { parseReplayReply } from "kvblock/events";
import { describe, expect, it } from "vitest";
import { RepairingFeed } from "../../src/events/repairing-feed.js";
import { EngineLink } from "./engine-link.js";
import { blocksOf, chain, cleared, exact, frame, indexerOf, removed, stored } from "./frames.js";

const one = chain();
const prompt = [...one.tokens, 1];
const hash = exact(one);

describe("failures of the field", () => {
  it("AIBrix: a removal on one pod deleted the block for all pods", async () => {
    const { indexer } = await indexerOf({ hash });
    for (const pod of ["a", "b"]) indexer.apply(frame([stored(one)], { pod }));
    indexer.apply(frame([removed(one.hashes)], { pod: "a", seq: 1 }));
    expect(indexer.scoreTokens(prompt, { model: "base" }).toJSON()).toEqual({ b: 6 });
  });

  it("AIBrix: a pod was credited for its deepest block while any other kept the walk alive", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)], { pod: "whole" }));
    indexer.apply(frame([stored(one, 0, 2), stored(one, 3, 6)], { pod: "holey" }));
    expect(indexer.scoreTokens(prompt, { model: "base" }).toJSON()).toEqual({ whole: 6, holey: 2 });
  });

  it("TensorRT-LLM#14882, llm-d-router#1157, #1323, dynamo#9376: another block size matched nothing, in silence", async () => {
    const { indexer, codes } = await indexerOf({ hash, blockSize: 64 });
    indexer.apply(frame([stored(one)]));
    expect(codes()).toEqual(["block-size-mismatch"]);
    expect(blocksOf(indexer, prompt)).toBe(6);
  });

  it("llm-d: a system prompt on more than ten pods forgot pods", async () => {
    const { indexer } = await indexerOf({ hash });
    for (let pod = 0; pod < 40; pod++) indexer.apply(frame([stored(one)], { pod: `pod-${pod}` }));
    expect(Object.keys(indexer.scoreTokens(prompt, { model: "base" }).toJSON()!)).toHaveLength(40);
  });

  it("llm-d: one engine-key map for all publishers: equal handles overwrote each other", async () => {
    const { indexer } = await indexerOf({ hash: { mode: "tokens" } });
    const other = { ...one, tokens: one.tokens.map((token) => (token + 7) % 9999) };
    indexer.apply(frame([stored(one)], { pod: "a" }));
    indexer.apply(frame([stored(other)], { pod: "b" }));
    indexer.apply(frame([removed(one.hashes.slice(3))], { pod: "a", seq: 1 }));
    expect([blocksOf(indexer, prompt, "a"), blocksOf(indexer, [...other.tokens, 1], "b")]).toEqual([3, 6]);
  });

  it("llm-d-router#2944: one undecodable event, or a map among arrays, rejected the batch", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(
      frame([["BlockStored", 5], stored(one, 0, 3), { type: 7 }, ["Unheard"], stored(one, 3, 6)]),
    );
    expect(blocksOf(indexer, prompt)).toBe(6);
  });

  it("llm-d-kv-cache#372, #663, dynamo#1056, #14314: after a router restart an unknown parent lost the chain; others re-rooted it", async () => {
    for (const mode of ["exact", "tokens"] as const) {
      const { indexer } = await indexerOf({ hash: mode === "exact" ? hash : { mode } });
      indexer.apply(frame([stored(one, 3, 6)], { seq: 40 }));
      expect(blocksOf(indexer, prompt)).toBe(mode === "exact" ? 6 : 0);
      expect(blocksOf(indexer, prompt.slice(48))).toBe(0);
      indexer.apply(frame([stored(one, 0, 3)], { seq: 41 }));
      expect(blocksOf(indexer, prompt)).toBe(6);
    }
  });

  it("llm-d-router#2853, kthena#1428: an engine restarted in place kept its stale blocks, or was ignored as old", async () => {
    const { indexer } = await indexerOf({ hash });
    for (let seq = 0; seq < 100; seq++) indexer.apply(frame([stored(one)], { seq }));
    indexer.apply(frame([stored(one, 0, 1)], { seq: 0, ts: 9000 }));
    expect(blocksOf(indexer, prompt)).toBe(1);
    indexer.apply(frame([stored(one, 1, 2)], { seq: 1, ts: 9001 }));
    expect(blocksOf(indexer, prompt)).toBe(2);
  });

  it("llm-d-kv-cache#680, vllm#48933, dynamo#8012: the first removal of a duplicate forgot a block still there", async () => {
    const { indexer } = await indexerOf({ hash: { mode: "exact", algorithm: "sha256_cbor", seed: "0" } });
    const link = await EngineLink.start({ seed: "0", numBlocks: 12 });
    const tokens = Array.from({ length: 16 }, (_, i) => i);
    // Two identical prompts of whole blocks at once: the last block is computed twice.
    link.cache.schedule({ id: "1", tokens });
    link.cache.schedule({ id: "2", tokens });
    for (const id of ["1", "2"]) link.cache.finish(id);
    indexer.apply(link.frame()!);
    expect(indexer.stats().duplicates).toBe(1);
    let removals = 0;
    for (let round = 0; round < 12; round++) {
      link.serve({ tokens: Array.from({ length: 8 }, (_, i) => 500 + 50 * round + i) });
      indexer.apply(link.frame()!);
      expect(indexer.scoreTokens([...tokens, 1], { model: "base" }).get(link.pod)?.blocks).toBe(
        link.peek({ tokens: [...tokens, 1] }),
      );
      removals = indexer.stats().events.removed;
    }
    expect(removals).toBeGreaterThan(5);
  });

  it("llm-d-kv-cache#593, #626, aibrix#2287: AllBlocksCleared was ignored", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)]));
    indexer.apply(frame([cleared], { seq: 1 }));
    expect(indexer.scoreTokens(prompt, { model: "base" }).toJSON()).toBeNull();
    expect(indexer.stats().events.cleared).toBe(1);
  });

  it("llm-d-router#2927: an adapter's name in extra_keys was read as an image, so its prompts never matched", async () => {
    const lora = chain("sha256_cbor/bs16/seed=0/lora");
    const keys = { lora_id: 3, lora_name: "sql-lora", extra_keys: lora.hashes.map(() => ["sql-lora"]) };
    for (const mode of ["exact", "tokens"] as const) {
      const { indexer } = await indexerOf({ hash: mode === "exact" ? exact(lora) : { mode } });
      indexer.apply(frame([stored(lora, 0, 6, keys)]));
      expect(blocksOf(indexer, prompt, "pod-a", { loraName: "sql-lora" })).toBe(6);
      expect(blocksOf(indexer, prompt)).toBe(0);
    }
  });

  it("llm-d-router#1494, #1389: cache_salt was ignored: hits across tenants", async () => {
    const salted = chain("sha256_cbor/bs16/seed=0/salt_first_block_only");
    const extra_keys = salted.hashes.map((_, block) => (block === 0 ? ["tenant-A"] : null));
    for (const mode of ["exact", "tokens"] as const) {
      const { indexer } = await indexerOf({ hash: mode === "exact" ? exact(salted) : { mode } });
      indexer.apply(frame([stored(salted, 0, 6, { extra_keys })]));
      expect(
        [undefined, "", "tenant-A", "tenant-B"].map((cacheSalt) =>
          blocksOf(indexer, prompt, "pod-a", { cacheSalt }),
        ),
      ).toEqual([0, 0, 6, 0]);
    }
  });

  it("llm-d-router#2306, kv-cache#357, #370: data-parallel ranks collapsed into one pod", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 0, 3)], { rank: 0 }));
    indexer.apply(frame([stored(one, 3, 6)], { rank: 1 }));
    indexer.apply(frame([cleared], { rank: 0, seq: 1 }));
    const ranks = [0, 1].map((rank) => blocksOf(indexer, prompt, "pod-a", { rank }));
    expect(ranks).toEqual([0, 0]); // two halves on two ranks are no prefix on either
    expect(indexer.pods()).toHaveLength(2);
  });

  it("llm-d-router#2936: what one rank evicted was forgotten of the other too", async () => {
    for (const mode of ["exact", "tokens"] as const) {
      const { indexer } = await indexerOf({ hash: mode === "exact" ? hash : { mode } });
      for (const rank of [0, 1]) indexer.apply(frame([stored(one)], { rank }));
      indexer.apply(frame([removed(one.hashes.slice(2))], { rank: 1, seq: 1 }));
      expect([0, 1].map((rank) => blocksOf(indexer, prompt, "pod-a", { rank }))).toEqual([6, 2]);
    }
  });

  it("llm-d-router#1061, #2091: a tier-weighted score was used as a token count", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 0, 6, { medium: "CPU" })]));
    indexer.apply(frame([stored(one, 0, 1), removed([one.hashes[0]!])], { seq: 1 }));
    const score = indexer.scoreTokens(prompt, { model: "base" }).best!;
    expect(score).toMatchObject({ blocks: 6, tokens: 96, blockSize: 16 });
    expect(score.score).toBeCloseTo(4.8);
  });

  it("llm-d-inference-sim#624: ip in the topic, ip:port in the router: zero hits, in silence", async () => {
    const { indexer, told } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)], { pod: "10.0.0.1" }));
    expect(indexer.scoreTokens(prompt, { model: "base", pods: ["10.0.0.1:8000"] }).toJSON()).toBeNull();
    expect(told).toMatchObject([{ code: "pods-unknown", evidence: { known: ["10.0.0.1"] } }]);
  });

  it("dynamo#4429, #10774, llm-d-router#1158, #2877: memory grew without bound", async () => {
    const { indexer } = await indexerOf({ hash, memoryLimitBytes: 2 ** 20 });
    for (let seq = 0; seq < 200; seq++) {
      const hashes = Array.from({ length: 500 }, (_, i) => BigInt(seq * 500 + i) * 2_654_435_761n);
      indexer.apply(frame([stored({ hashes, tokens: hashes.map(() => 1), blockSize: 1 })], { seq }));
    }
    const { usedBytes, limitBytes } = indexer.stats().memory;
    expect(usedBytes).toBeLessThanOrEqual(limitBytes);
  });

  it("llm-d: an '@' in the model's name broke the topic, and vLLM's empty topic was not accepted", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)], { model: "org@team/model@v1" }));
    indexer.apply({ ...frame([stored(one)]), topic: "", pod: "pod-b", model: "org@team/model@v1" });
    expect(indexer.scoreTokens(prompt, { model: "org@team/model@v1" }).toJSON()).toEqual({
      "pod-a": 6,
      "pod-b": 6,
    });
  });

  it("llm-d-inference-sim counts from 1: a first frame numbered 1 is used like any", async () => {
    const { indexer } = await indexerOf({ hash });
    for (let seq = 1; seq <= 3; seq++) indexer.apply(frame([stored(one, 2 * seq - 2, 2 * seq)], { seq }));
    expect(blocksOf(indexer, prompt)).toBe(6);
    expect(indexer.pods()[0]).toMatchObject({ gaps: 0, state: "live" });
  });

  it("replay replies had 3 or 4 parts by version, and a reader of one refused the other", () => {
    const { payload } = frame([stored(one)]);
    const none = new Uint8Array(0);
    const seq = new Uint8Array([0, 0, 0, 0, 0, 0, 0, 7]);
    const topic = new TextEncoder().encode("kv@pod@model");
    const batch = { type: "batch", seq: 7n, payload };
    expect(parseReplayReply([none, seq, payload])).toEqual({ ...batch, topic: null });
    expect(parseReplayReply([none, topic, seq, payload])).toEqual({ ...batch, topic: "kv@pod@model" });
  });

  it.each([
    ["llm-d: replay was all or nothing, and a wrapped history cleared the pod over and over", "wrapped"],
    ["Dynamo: a replay peer that stays silent stalled the listener", "silent"],
  ])("%s", async (_name, peer) => {
    const { indexer } = await indexerOf({ hash });
    let asked = 0;
    const feed = new RepairingFeed({
      policy: "full",
      maxHeldBytes: 2 ** 20,
      coolDownMs: 1000,
      now: () => 0,
      replay: async (_start, _until, onBatch) => {
        asked++;
        if (peer === "silent") throw new Error("no reply in time");
        onBatch({ topic: null, seq: 3n, payload: frame([stored(one, 3, 4)], { seq: 3 }).payload });
      },
      later: () => () => {},
      emit: (live) => indexer.apply(live),
      onRepair: () => {},
    });
    feed.take(frame([stored(one, 0, 3)], { seq: 0 }));
    feed.take(frame([stored(one, 4, 5)], { seq: 4 }));
    for (let turn = 0; feed.repairing && turn < 100; turn++) await Promise.resolve();
    feed.take(frame([stored(one, 5, 6)], { seq: 5 }));
    // What was there stays, as suspect; live events flow; and the engine is asked once.
    expect(indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")).toMatchObject({
      blocks: 6,
      state: "partial",
      complete: false,
      // A replayed child proves its parent.
      suspect: peer === "silent" ? 3 : 2,
    });
    expect(asked).toBe(1);
  });

  it("llm-d-router#1109, #2188: tokens were made on the request path: known ids need no tokenizer, and stop early", async () => {
    const { indexer } = await indexerOf({
      hash,
      tokenizers: () => {
        throw new Error("nobody asked for one");
      },
    });
    indexer.apply(frame([stored(one)]));
    expect(blocksOf(indexer, prompt)).toBe(6);
    expect(
      blocksOf(
        indexer,
        Array.from({ length: 200_000 }, (_, i) => i),
      ),
    ).toBe(0);
  });

  it("production-stack#1045: a chat was tokenized as an empty text", async () => {
    const { indexer } = await indexerOf({
      hash,
      tokenizers: { base: { encode: () => [], encodeChat: () => [] } },
    });
    for (const call of [
      indexer.scorePrompt("text", { model: "base" }),
      indexer.scoreChat([{ role: "user", content: "text" }], { model: "base" }),
    ])
      await expect(call).rejects.toMatchObject({ code: "ERR_KVBLOCK_TOKENIZE" });
    await expect(indexer.scorePrompt("", { model: "base" })).rejects.toThrow(RangeError);
    await expect(indexer.scoreChat([], { model: "base" })).rejects.toThrow(RangeError);
    expect(indexer.stats().lookups).toBe(0);
  });
});
