/** `explain`: why a pod matches as much of a prompt as it does, and no more. */
import type { Indexer, MatchEnd, ScoreRequest } from "kvblock";
import { describe, expect, it } from "vitest";
import { type Chain, chain, cleared, exact, frame, indexerOf, removed, stored } from "./frames.js";

const one = chain();
const hash = exact(one);
const tokens = { mode: "tokens" } as const;
const prompt = [...one.tokens, 1];
const strange = prompt.map((id) => (id ^ 1) >>> 0);
const modes = [
  ["exact", hash],
  ["tokens", tokens],
] as const;

/** A stored event of an older wire, which says no extra keys. */
const bare = (from: Chain, blocks = 6): unknown[] => [
  "BlockStored",
  from.hashes.slice(0, blocks),
  null,
  from.tokens.slice(0, blocks * 16),
  16,
  null,
];

/** Where the match of pod-a ends. */
function endOf(
  indexer: Indexer,
  request: Partial<ScoreRequest> = {},
  ids: readonly number[] = prompt,
): MatchEnd {
  const { pods } = indexer.explain(ids, { model: "base", ...request });
  expect(pods).toHaveLength(1);
  return pods[0]!.end;
}

describe.each(modes)("in %s mode, the reason is", (mode, hash) => {
  it("matched-all where every whole block matches, with what the pod is keyed by", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)]));
    expect(indexer.explain(prompt, { model: "base" })).toEqual({
      model: "base",
      promptTokens: 97,
      message: "",
      pods: [
        {
          pod: "pod-a",
          dataParallelRank: 0,
          state: "live",
          complete: true,
          mode,
          keys: {
            algorithm: mode === "exact" ? "sha256_cbor" : null,
            blockSize: 16,
            hashBlockSize: 16,
            extraKeys: "offsets",
          },
          usable: 6,
          matched: 6,
          implied: 0,
          suspect: 0,
          end: { reason: "matched-all", block: null },
          message: "pod-a: 6 of 6 usable blocks match. That is every whole block of the prompt.",
        },
      ],
    });
  });

  it("cap where the prompt's last token completes a block, and one block earlier with drafting", async () => {
    const { indexer } = await indexerOf({ hash, models: { drafts: { drafting: true, hash } } });
    indexer.apply(frame([stored(one)]));
    indexer.apply(frame([stored(one)], { model: "drafts" }));
    expect(indexer.explain(one.tokens, { model: "base" }).pods[0]).toMatchObject({
      usable: 5,
      matched: 5,
      end: { reason: "cap", block: 5 },
    });
    expect(indexer.explain(prompt, { model: "drafts" }).pods[0]).toMatchObject({
      usable: 5,
      matched: 5,
      end: { reason: "cap", block: 5 },
    });
  });

  it("never-stored", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 0, 4)]));
    expect(endOf(indexer)).toEqual({ reason: "never-stored", block: 4 });
    indexer.apply(frame([], { pod: "pod-b" }));
    expect(endOf(indexer, { pods: ["pod-b"] })).toEqual({ reason: "never-stored", block: 0 });
  });

  it("removed, by which frame, when and from which tier", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)]));
    indexer.apply(frame([removed(one.hashes.slice(4))], { seq: 1, ts: 1_700_000_000 }));
    expect(endOf(indexer)).toEqual({
      reason: "removed",
      block: 4,
      seq: "1",
      at: 1_700_000_000_000,
      tier: "gpu",
    });
    expect(indexer.explain(prompt, { model: "base" }).pods[0]!.message).toBe(
      "pod-a: 4 of 6 usable blocks match. Block 4 was removed from gpu by frame 1 of 2023-11-14T22:13:20.000Z.",
    );
  });

  it("removed by the last of several removals, and of this pod", async () => {
    const { indexer } = await indexerOf({ hash });
    for (const pod of ["pod-a", "pod-b"]) indexer.apply(frame([stored(one)], { pod }));
    indexer.apply(frame([removed(one.hashes.slice(4))], { seq: 1 }));
    indexer.apply(frame([stored(one, 4, 6)], { seq: 2 }));
    indexer.apply(frame([removed(one.hashes.slice(4))], { seq: 3 }));
    indexer.apply(frame([removed(one.hashes.slice(4))], { seq: 1, pod: "pod-b" }));
    expect(endOf(indexer, { pods: ["pod-a"] })).toMatchObject({ reason: "removed", seq: "3" });
    expect(endOf(indexer, { pods: ["pod-b"] })).toMatchObject({ reason: "removed", seq: "1" });
  });

  it("not removed while a copy is left", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one), stored(one)]));
    indexer.apply(frame([removed(one.hashes)], { seq: 1 }));
    expect(endOf(indexer)).toEqual({ reason: "matched-all", block: null });
  });

  it("cleared, and never-stored of a block that was not there then", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 0, 5)]));
    indexer.apply(frame([cleared], { seq: 1 }));
    expect(endOf(indexer)).toEqual({ reason: "cleared", block: 0, seq: "1", at: 1_001_000 });
    indexer.apply(frame([stored(one, 0, 3)], { seq: 2 }));
    expect(endOf(indexer)).toMatchObject({ reason: "cleared", block: 3, seq: "1" });
    indexer.apply(frame([stored(one, 3, 5)], { seq: 3 }));
    expect(endOf(indexer)).toEqual({ reason: "never-stored", block: 5 });
    indexer.apply(frame([removed(one.hashes.slice(3, 5))], { seq: 4 }));
    expect(endOf(indexer)).toMatchObject({ reason: "removed", block: 3, seq: "4" });
  });

  it("restarted, and what the old process removed is no removal of the new one", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)]));
    indexer.apply(frame([removed(one.hashes.slice(5))], { seq: 1 }));
    indexer.apply(frame([stored(one, 0, 2)], { seq: 0, ts: 2000 }));
    expect(endOf(indexer)).toEqual({ reason: "restarted", block: 2, seq: "0", at: 2_000_000 });
    indexer.apply(frame([stored(one, 2, 5)], { seq: 1, ts: 2001 }));
    expect(endOf(indexer)).toEqual({ reason: "never-stored", block: 5 });
  });

  it("suspect from the first block that is", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)]));
    indexer.apply(frame([stored(one, 0, 2)], { seq: 2 }));
    expect(indexer.explain(prompt, { model: "base" }).pods[0]).toMatchObject({
      state: "partial",
      matched: 6,
      suspect: 4,
      end: { reason: "suspect", block: 2 },
    });
  });

  it("group-missing, naming the groups", async () => {
    const { indexer } = await indexerOf({ hash });
    const group = (groupIdx: number) => ({ group_idx: groupIdx, kv_cache_spec_kind: "full_attention" });
    indexer.apply(
      frame([stored(one, 0, 6, group(0)), stored(one, 0, 4, group(1)), stored(one, 0, 6, group(2))]),
    );
    expect(endOf(indexer)).toEqual({ reason: "group-missing", block: 4, groups: [1] });
  });

  it("block-size where the prompt is too short, or no event told the size", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)]));
    expect(indexer.explain(prompt.slice(0, 16), { model: "base" }).pods[0]).toMatchObject({
      usable: 0,
      end: { reason: "block-size", block: 0 },
    });
  });

  it("salt-or-lora where a prompt without its salt or adapter would match, or one with", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 0, 6, { extra_keys: one.hashes.map(() => null) })]));
    expect(endOf(indexer, { cacheSalt: "tenant-A" })).toEqual({
      reason: "salt-or-lora",
      block: 0,
      differs: ["cacheSalt"],
      wouldMatch: 6,
    });
    expect(endOf(indexer, { loraName: "sql" })).toMatchObject({ differs: ["loraName"], wouldMatch: 6 });
    expect(endOf(indexer, { loraName: "sql", cacheSalt: "tenant-A" })).toMatchObject({
      differs: ["cacheSalt", "loraName"],
    });
    expect(endOf(indexer, { multimodal: [{ id: "image", offset: 32, length: 4 }] })).toEqual({
      reason: "salt-or-lora",
      block: 2,
      differs: ["multimodal"],
      wouldMatch: 6,
    });
    const salted = chain("sha256_cbor/bs16/seed=0/salt_first_block_only");
    const extra_keys = salted.hashes.map((_, block) => (block === 0 ? ["tenant-A"] : null));
    indexer.apply(frame([stored(salted, 0, 6, { extra_keys })], { pod: "pod-s" }));
    const request = { pods: ["pod-s"] };
    for (const cacheSalt of [undefined, "tenant-B"])
      expect(endOf(indexer, { ...request, cacheSalt }, [...salted.tokens, 1])).toEqual({
        reason: "salt-or-lora",
        block: 0,
        differs: ["cacheSalt"],
        wouldMatch: 6,
      });
    expect(JSON.stringify(indexer.explain([...salted.tokens, 1], { model: "base" }))).not.toContain("tenant");
  });
});

describe("the reason is", () => {
  it("unknown-hash while undecided, and where nothing proves what is configured", async () => {
    const { indexer } = await indexerOf();
    indexer.apply(frame([stored({ ...one, hashes: one.hashes.map((hash) => hash ^ 5n) })]));
    expect(indexer.explain(prompt, { model: "base" }).pods[0]).toMatchObject({
      mode: "undecided",
      keys: null,
      state: "catching-up",
      end: { reason: "unknown-hash", block: 0 },
    });
    const wrong = await indexerOf({ hash: { mode: "exact", algorithm: "sha256_cbor", seed: "1" } });
    wrong.indexer.apply(frame([stored(one)]));
    expect(endOf(wrong.indexer)).toEqual({ reason: "unknown-hash", block: 0 });
    // Proved by another prompt: then it is known that this one was not stored.
    const right = await indexerOf({ hash });
    right.indexer.apply(frame([stored(one)]));
    expect(endOf(right.indexer, {}, strange)).toEqual({ reason: "never-stored", block: 0 });
  });

  it("unknown-pod and model, in the caller's order", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)]));
    const { pods } = indexer.explain(prompt, { model: "base", pods: ["x", "pod-a", "y"] });
    expect(pods.map(({ pod, end }) => [pod, end.reason])).toEqual([
      ["x", "unknown-pod"],
      ["pod-a", "matched-all"],
      ["y", "unknown-pod"],
    ]);
    expect(pods[0]).toMatchObject({ dataParallelRank: null, state: "unknown", mode: null, keys: null });
    expect(indexer.explain(prompt, { model: "other", pods: ["pod-a"] }).pods[0]!.end.reason).toBe("model");
    expect(indexer.explain(prompt, { model: "other" })).toMatchObject({
      pods: [],
      message: 'No pod announces "other".',
    });
  });

  it("extra-keys where a wire does not say salts", async () => {
    const { indexer } = await indexerOf({ hash: tokens });
    indexer.apply(frame([bare(one, 2)]));
    expect(endOf(indexer, { cacheSalt: "s" })).toMatchObject({ reason: "salt-or-lora", wouldMatch: 2 });
    expect(endOf(indexer, { cacheSalt: "s" }, strange)).toEqual({
      reason: "extra-keys",
      block: 0,
      differs: ["cacheSalt"],
    });
  });

  it("ambiguous where a wire does not tell two blocks apart", async () => {
    const { indexer } = await indexerOf({ hash: tokens });
    indexer.apply(frame([bare(one), bare({ ...one, hashes: one.hashes.map((hash) => hash ^ 1n) })]));
    expect(endOf(indexer)).toEqual({ reason: "ambiguous", block: 0 });
  });

  it("parked where a store with the block's tokens waits", async () => {
    const { indexer } = await indexerOf({ hash: tokens });
    indexer.apply(frame([stored(one, 0, 2), stored(one, 4, 6, { parent_block_hash: 12345n })]));
    expect(endOf(indexer)).toEqual({ reason: "never-stored", block: 2 });
    indexer.apply(frame([stored(one, 2, 3, { parent_block_hash: 777n })], { seq: 1 }));
    expect(endOf(indexer)).toEqual({ reason: "parked", block: 2 });
  });

  it("removed, though its store was not heard: the frame is named", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 0, 4), removed(one.hashes.slice(4))], { seq: 7 }));
    expect(indexer.explain(prompt, { model: "base" }).pods[0]).toMatchObject({
      complete: false,
      end: { reason: "removed", block: 4, seq: "7" },
      message: expect.stringContaining("history is incomplete"),
    });
  });

  it("tier-doubted where only a tier that never removes is said to hold it", async () => {
    const { indexer } = await indexerOf({ hash });
    const blocks = (from: number, n: number) => Array.from({ length: n }, (_, i) => BigInt(1 + from + i));
    const cpu = { medium: "CPU", token_ids: [] };
    indexer.apply(frame([stored(one, 0, 6), stored(one, 0, 6, cpu), removed(one.hashes)]));
    expect(endOf(indexer)).toEqual({ reason: "matched-all", block: null });
    for (let seq = 1; seq < 40; seq++)
      indexer.apply(frame([stored({ ...one, hashes: blocks(1000 * seq, 1000) }, 0, 1000, cpu)], { seq }));
    expect(indexer.diagnose().map(({ code }) => code)).toEqual(["tier-never-removes"]);
    expect(endOf(indexer)).toEqual({ reason: "tier-doubted", block: 0, tier: "cpu" });
  });

  it("given-up where a block was suspect until the cache had turned over", async () => {
    const { indexer } = await indexerOf({ hash });
    const hashes = (seq: number) => Array.from({ length: 40 }, (_, i) => BigInt(1 + 40 * seq + i));
    const turn = (seq: number) => [
      stored({ ...one, hashes: hashes(seq) }, 0, 40, { token_ids: [], parent_block_hash: null }),
      removed(hashes(seq - 1)),
    ];
    indexer.apply(frame([cleared, stored(one)]));
    for (let seq = 1; seq < 4; seq++) indexer.apply(frame(turn(seq), { seq }));
    for (let seq = 5; seq < 12; seq++) indexer.apply(frame(turn(seq), { seq }));
    expect(endOf(indexer)).toEqual({ reason: "given-up", block: 0 });
  });

  it("block-size where stores came without tokens", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 0, 6, { token_ids: [], block_size: 0 })]));
    const [pod] = indexer.explain(prompt, { model: "base" }).pods;
    expect(pod).toMatchObject({ keys: null, end: { reason: "block-size", block: null } });
  });

  it("of this rank: each rank is explained", async () => {
    const { indexer } = await indexerOf({ hash });
    for (const rank of [0, 1]) indexer.apply(frame([stored(one, 0, 6 - 3 * rank)], { rank }));
    const { pods } = indexer.explain(prompt, { model: "base" });
    expect(pods.map(({ dataParallelRank, matched }) => [dataParallelRank, matched])).toEqual([
      [0, 6],
      [1, 3],
    ]);
    expect(pods[1]!.message).toContain("pod-a rank 1: 3 of 6");
  });
});

describe("explain", () => {
  it("says the same of matches as scoreTokens, and is JSON", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 0, 4)], { seq: 3 }));
    const score = indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")!;
    const explanation = indexer.explain(prompt, { model: "base" });
    expect(explanation.pods[0]).toMatchObject({
      matched: score.blocks,
      implied: score.implied,
      suspect: score.suspect,
      state: score.state,
      complete: score.complete,
    });
    expect(JSON.parse(JSON.stringify(explanation))).toEqual(explanation);
  });

  it("counts as no lookup, settles nothing and tells nothing", async () => {
    const { indexer, told } = await indexerOf({ clock: () => 0 });
    indexer.apply(frame([stored(one, 2, 6)], { seq: 3 }));
    const tellings = told.length;
    const before = JSON.stringify([indexer.stats(), indexer.pods()]);
    const ask = (model: string) => indexer.explain(prompt, { model, pods: ["pod-a"] });
    for (let i = 0; i < 200; i++) for (const model of ["base", "none"]) ask(model);
    expect(JSON.stringify([indexer.stats(), indexer.pods()])).toBe(before);
    expect(told).toHaveLength(tellings);
    expect(ask("base").pods[0]).toMatchObject({ mode: "undecided" });
    indexer.scoreTokens(prompt, { model: "base" });
    await indexer.settled();
    expect(ask("base").pods[0]).toMatchObject({ mode: "exact", matched: 6, implied: 2 });
  });

  it("warms nothing: what it is asked for is dropped like the rest", async () => {
    const kept = async (ask: (indexer: Indexer) => unknown): Promise<number> => {
      const { indexer } = await indexerOf({ hash, memoryLimitBytes: 2 ** 20 });
      indexer.apply(frame([stored(one)]));
      for (let seq = 1; seq < 200; seq++) {
        const hashes = Array.from({ length: 600 }, (_, i) =>
          BigInt.asUintN(64, BigInt(seq * 600 + i) * 0x9e3779b97f4a7c15n),
        );
        indexer.apply(frame([stored({ ...one, hashes, tokens: [] })], { seq }));
        ask(indexer);
      }
      return indexer.explain(prompt, { model: "base" }).pods[0]!.matched;
    };
    expect(await kept((indexer) => indexer.explain(prompt, { model: "base" }))).toBeLessThan(6);
    expect(await kept((indexer) => indexer.scoreTokens(prompt, { model: "base" }))).toBe(6);
  });

  it("refuses what scoreTokens refuses", async () => {
    const { indexer } = await indexerOf({ hash });
    const mistakes: [unknown, unknown][] = [
      ["text", { model: "base" }],
      [[1.5], { model: "base" }],
      [[1], { model: "" }],
      [[1], { model: "base", salt: "x" }],
      [[1], { model: "base", pods: "a" }],
      [[1], { model: "base", multimodal: [{ id: "a", offset: 0, length: 2 }] }],
    ];
    const mistake = (call: () => unknown): unknown => {
      try {
        return call();
      } catch (error) {
        return error;
      }
    };
    for (const [ids, request] of mistakes as [number[], { model: string }][]) {
      const told = mistake(() => indexer.explain(ids, request));
      expect(told).toBeInstanceOf(Error);
      expect(told).toEqual(mistake(() => indexer.scoreTokens(ids, request)));
    }
    await indexer.close();
    expect(() => indexer.explain([1], { model: "base" })).toThrow("closed");
  });

  it("dropped where the memory limit took a block, until it is removed or stored again", async () => {
    const { indexer } = await indexerOf({ hash, memoryLimitBytes: 2 ** 20 });
    indexer.apply(frame([stored(one)]));
    for (let seq = 1; endOf(indexer, { pods: ["pod-a"] }).reason === "matched-all"; seq++) {
      // As many as are remembered: what is dropped for them is still told.
      const hashes = Array.from({ length: 250 }, (_, i) =>
        BigInt.asUintN(64, BigInt(seq * 250 + i) * 0x9e3779b97f4a7c15n),
      );
      indexer.apply(frame([stored({ ...one, hashes, tokens: [] })], { pod: "pod-b", seq: seq - 1 }));
    }
    const { reason, block } = endOf(indexer, { pods: ["pod-a"] });
    expect(reason).toBe("dropped");
    expect(indexer.pods().find(({ pod }) => pod === "pod-a")).toMatchObject({ complete: false });
    expect(indexer.explain(prompt, { model: "base", pods: ["pod-a"] }).pods[0]!.message).toContain(
      "memoryLimitBytes",
    );
    indexer.apply(frame([removed([one.hashes[block!]!])], { seq: 1 }));
    expect(endOf(indexer, { pods: ["pod-a"] })).toMatchObject({ reason: "removed", block, seq: "1" });
  });

  it("remembers the last removals within bounds, and forgets where without harm", async () => {
    const { indexer } = await indexerOf({ hash, memoryLimitBytes: 2 ** 20 });
    indexer.apply(frame([stored(one)]));
    indexer.apply(frame([removed(one.hashes.slice(5))], { seq: 1 }));
    const fill = (seq: number) => {
      const hashes = Array.from({ length: 250 }, (_, i) => BigInt(1 + seq * 250 + i));
      return frame([stored({ ...one, hashes, tokens: [] }), removed(hashes)], { seq });
    };
    indexer.apply(fill(2));
    expect(endOf(indexer)).toMatchObject({ reason: "removed", block: 5, seq: "1" });
    indexer.apply(fill(3));
    expect(endOf(indexer)).toEqual({ reason: "never-stored", block: 5 });
  });
});
