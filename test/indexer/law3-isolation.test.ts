/** Law 3: one pod's event touches one pod, one rank, one tier, one attention group. */
import { describe, expect, it } from "vitest";
import { blocksOf, chain, cleared, exact, frame, indexerOf, removed, stored } from "./frames.js";

const one = chain();
const prompt = [...one.tokens, 1];
const ALL = one.hashes.length;

describe.each(["exact", "tokens"])("%s mode", (mode) => {
  const hash = mode === "exact" ? exact(one) : ({ mode: "tokens" } as const);

  it("a removal on one pod leaves the others", async () => {
    const { indexer } = await indexerOf({ hash });
    for (const pod of ["pod-a", "pod-b", "pod-c"]) indexer.apply(frame([stored(one)], { pod }));
    indexer.apply(frame([removed(one.hashes)], { pod: "pod-b", seq: 1 }));
    expect(["pod-a", "pod-b", "pod-c"].map((pod) => blocksOf(indexer, prompt, pod))).toEqual([ALL, 0, ALL]);
  });

  it("a clear of one rank leaves the pod's other ranks", async () => {
    const { indexer } = await indexerOf({ hash });
    for (const rank of [0, 1, 2]) indexer.apply(frame([stored(one)], { rank }));
    indexer.apply(frame([cleared], { rank: 1, seq: 1 }));
    expect([0, 1, 2].map((rank) => blocksOf(indexer, prompt, "pod-a", { rank }))).toEqual([ALL, 0, ALL]);
  });

  it("a restart of one pod leaves the others", async () => {
    const { indexer } = await indexerOf({ hash });
    for (const pod of ["pod-a", "pod-b"]) indexer.apply(frame([stored(one)], { pod }));
    indexer.apply(frame([stored(one, 0, 1)], { pod: "pod-b", seq: 0, ts: 5000 }));
    expect(["pod-a", "pod-b"].map((pod) => blocksOf(indexer, prompt, pod))).toEqual([ALL, 1]);
  });

  it("removals and clears of the GPU leave what the CPU holds", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one), stored(one, 0, 4, { medium: "CPU" })]));
    indexer.apply(frame([cleared], { seq: 1 }));
    const { blocks, byTier } = indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")!;
    expect({ blocks, byTier }).toEqual({ blocks: 4, byTier: { cpu: 4 } });
    indexer.apply(frame([removed(one.hashes.slice(0, 4), { medium: "CPU" })], { seq: 2 }));
    expect(blocksOf(indexer, prompt)).toBe(0);
  });

  it("a clear empties the GPU even where the same blocks were stored with another spelling of the medium", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 0, 3, { medium: "gpu" }), stored(one, 3, 6, { medium: null })]));
    expect(blocksOf(indexer, prompt)).toBe(ALL);
    indexer.apply(frame([cleared], { seq: 1 }));
    expect(blocksOf(indexer, prompt)).toBe(0);
  });

  it("a block counts while every full-attention group holds it, and removing one group's ends only that", async () => {
    const { indexer } = await indexerOf({ hash });
    const groups = [0, 1].map((group_idx) => ({ group_idx, kv_cache_spec_kind: "full_attention" }));
    indexer.apply(frame(groups.map((group) => stored(one, 0, ALL, group))));
    expect(blocksOf(indexer, prompt)).toBe(ALL);
    indexer.apply(frame([removed(one.hashes.slice(4), { group_idx: 1 })], { seq: 1 }));
    expect(blocksOf(indexer, prompt)).toBe(4);
    indexer.apply(frame([stored(one, 4, 5, groups[1])], { seq: 2 }));
    expect(blocksOf(indexer, prompt)).toBe(5);
  });

  it("a sliding-window group's removals take nothing from the full-attention group, and the match is an upper bound", async () => {
    const { indexer } = await indexerOf({ hash });
    const window = { group_idx: 1, kv_cache_spec_kind: "sliding_window", kv_cache_spec_sliding_window: 32 };
    indexer.apply(frame([stored(one, 0, ALL, { group_idx: 0 }), stored(one, 4, ALL, window)]));
    indexer.apply(frame([removed(one.hashes, { group_idx: 1 })], { seq: 1 }));
    expect(indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")).toMatchObject({
      blocks: ALL,
      upperBound: true,
    });
  });

  it("equal engine handles of two pods mean each pod's own blocks", async () => {
    // A random seed may give any hash to any block: here two pods name different prompts alike.
    const other = { ...one, tokens: one.tokens.map((token) => (token + 1) % 1000) };
    const { indexer } = await indexerOf({ hash: { mode: "tokens" } });
    indexer.apply(frame([stored(one)], { pod: "pod-a" }));
    indexer.apply(frame([stored(other)], { pod: "pod-b" }));
    expect([blocksOf(indexer, prompt, "pod-a"), blocksOf(indexer, prompt, "pod-b")]).toEqual([ALL, 0]);
    indexer.apply(frame([removed(one.hashes)], { pod: "pod-b", seq: 1 }));
    expect(blocksOf(indexer, prompt, "pod-a")).toBe(ALL);
  });
});

describe("tokens mode: the engine's names of blocks", () => {
  const hash = { mode: "tokens" } as const;

  it("outlive the last copy in the engine's tier: a slower tier or a child may still name them", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 0, 3)]));
    indexer.apply(frame([removed(one.hashes.slice(0, 3))], { seq: 1 }));
    expect(blocksOf(indexer, prompt)).toBe(0);
    // Offload stores of some versions say no tokens, only the names.
    const offloaded = { medium: "CPU", token_ids: [], block_size: 0, parent_block_hash: null };
    indexer.apply(frame([stored(one, 0, 3, offloaded)], { seq: 2 }));
    expect(blocksOf(indexer, prompt)).toBe(3);
    indexer.apply(frame([removed(one.hashes.slice(0, 3), { medium: "CPU" })], { seq: 3 }));
    indexer.apply(frame([stored(one, 3, ALL)], { seq: 4 }));
    indexer.apply(frame([stored(one, 0, 3, offloaded)], { seq: 5 }));
    expect(indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")?.byTier).toEqual({ cpu: 3, gpu: 3 });
    expect(indexer.stats().skips).toEqual({});
  });

  it("are forgotten in time, so that blocks that come and go take no more and more memory", async () => {
    const { indexer } = await indexerOf({ hash });
    let seq = 0;
    const churn = (blocks: number): number => {
      for (const end = seq + blocks / 16; seq < end; seq++) {
        const block_hashes = Array.from({ length: 16 }, (_, i) => BigInt(1 + 16 * seq + i));
        const token_ids = block_hashes.flatMap((name) => [Number(name), 1, 2, 3]);
        const chain = stored(one, 0, 0, { block_hashes, token_ids, block_size: 4 });
        indexer.apply(frame([chain, removed(block_hashes)], { seq }));
      }
      return indexer.stats().memory.usedBytes;
    };
    const before = churn(32_000);
    expect(churn(64_000)).toBeLessThan(1.2 * before);
    expect(indexer.stats().blocks).toBe(0);
  });
});
