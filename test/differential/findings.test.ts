/** What the differential run has found, each as the shortest sequence of frames that showed it. */
import { describe, expect, it } from "vitest";
import { blocksOf, chain, cleared, exact, frame, indexerOf, removed, stored } from "../indexer/frames.js";

const one = chain();
const prompt = [...one.tokens, 1];
const hash = exact(one);
const scoreOf = (indexer: Awaited<ReturnType<typeof indexerOf>>["indexer"]) =>
  indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")!;

describe("found by the differential run", () => {
  it("tokens mode: a store parked before a gap is suspect when its parent comes after it", async () => {
    const { indexer } = await indexerOf({ hash: { mode: "tokens" } });
    indexer.apply(frame([stored(one, 1, 2)], { seq: 5 }));
    // Frame 6 said that block 1 was removed, and was lost.
    indexer.apply(frame([stored(one, 0, 1)], { seq: 7 }));
    const { blocks, suspect } = scoreOf(indexer);
    expect(blocks - suspect).toBe(1);
  });

  it("a block whose removal could not be read is suspect", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 0, 3)], { seq: 0 }));
    indexer.apply(frame([removed([one.hashes[2]!], { medium: 7 })], { seq: 1 }));
    const { blocks, suspect } = scoreOf(indexer);
    expect(blocks).toBe(3);
    expect(blocks - suspect).toBeLessThanOrEqual(2);
  });

  it("a clear leaves history incomplete where a slower tier holds what was never heard of", async () => {
    const { indexer } = await indexerOf({ hash: { mode: "tokens" } });
    // Stored before the router came; now a copy is made in the slower tier, and announced by the handle alone.
    const copy = { medium: "CPU", token_ids: [], block_size: 0, parent_block_hash: null };
    indexer.apply(frame([stored(one, 0, 1, copy), cleared], { seq: 5 }));
    expect(indexer.stats().skips).toMatchObject({ "unknown-handle": 1 });
    expect(scoreOf(indexer)).toMatchObject({ blocks: 0, complete: false });
  });

  it("a frame of a dead process that comes after its successor's first is not applied to the new life", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 0, 1)], { seq: 0, ts: 1000 }));
    indexer.apply(frame([stored(one, 1, 2)], { seq: 1, ts: 1001 }));
    // The process restarts; frame 2 of the old one is still under way.
    indexer.apply(frame([cleared], { seq: 0, ts: 2000 }));
    indexer.apply(frame([stored(one, 0, 6)], { seq: 2, ts: 1002 }));
    expect(blocksOf(indexer, prompt)).toBe(0);
  });

  it("a block that two groups must hold is suspect where one's removal may be lost, though the other's is sure", async () => {
    const { indexer } = await indexerOf({ hash });
    const groups = [0, 1].map((group_idx) => ({ group_idx, kv_cache_spec_kind: "full_attention" }));
    indexer.apply(frame([...groups.map((group) => stored(one, 0, 2, group))], { seq: 0 }));
    // Frame 1 said that group 1 removed block 1, and was lost; then group 0 stores it again.
    indexer.apply(frame([stored(one, 0, 2, groups[0])], { seq: 2 }));
    expect(scoreOf(indexer)).toMatchObject({ blocks: 2, suspect: 2 });
    indexer.apply(frame([stored(one, 0, 1, groups[1])], { seq: 3 }));
    expect(scoreOf(indexer)).toMatchObject({ blocks: 2, suspect: 1 });
    const { end } = indexer.explain(prompt, { model: "base" }).pods[0]!;
    expect(end.reason).not.toBe("removed");
  });
});
