/** Law 2: physical copies are counted, as vLLM announces each of them; or not, where the engine announces reuse. */
import { describe, expect, it } from "vitest";
import { blocksOf, chain, cleared, exact, frame, indexerOf, removed, stored } from "./frames.js";

const one = chain();
const last = one.hashes.length - 1;
const longer = [...one.tokens, 1];

describe("duplicate copies", () => {
  it.each(["exact", "tokens"])("%s mode: a block is gone when its last copy is", async (mode) => {
    const { indexer } = await indexerOf({ hash: mode === "exact" ? exact(one) : { mode: "tokens" } });
    indexer.apply(frame([stored(one), stored(one, last)]));
    expect(indexer.stats()).toMatchObject({ admissions: 6, duplicates: 1 });
    indexer.apply(frame([removed([one.hashes[last]!])], { seq: 1 }));
    expect(blocksOf(indexer, longer)).toBe(6);
    indexer.apply(frame([removed([one.hashes[last]!])], { seq: 2 }));
    expect(blocksOf(indexer, longer)).toBe(5);
    // A removal too many is of a copy that was never announced.
    indexer.apply(frame([removed([one.hashes[last]!])], { seq: 3 }));
    indexer.apply(frame([stored(one, last)], { seq: 4 }));
    expect(blocksOf(indexer, longer)).toBe(6);
  });

  it('with duplicates: "set" a block is there or not, however often it is announced', async () => {
    const { indexer } = await indexerOf({ hash: exact(one), models: { base: { duplicates: "set" } } });
    indexer.apply(frame([stored(one), stored(one), stored(one)]));
    indexer.apply(frame([removed([one.hashes[last]!])], { seq: 1 }));
    expect(blocksOf(indexer, longer)).toBe(5);
  });

  it("copies are counted by tier: losing the GPU's leaves the CPU's", async () => {
    const { indexer } = await indexerOf({ hash: exact(one) });
    indexer.apply(frame([stored(one), stored(one, 0, 6, { medium: "CPU" })]));
    indexer.apply(frame([removed(one.hashes)], { seq: 1 }));
    const score = indexer.scoreTokens(longer, { model: "base" }).get("pod-a")!;
    expect(score).toMatchObject({ blocks: 6, byTier: { cpu: 6 } });
    expect(score.score).toBeCloseTo(6 * 0.8);
  });

  it("a clear takes every copy of the engine's tier, and what it stores after it counts again", async () => {
    const { indexer } = await indexerOf({ hash: exact(one) });
    indexer.apply(frame([stored(one), stored(one), cleared, stored(one, 0, 2)]));
    expect(blocksOf(indexer, longer)).toBe(2);
    expect(indexer.stats().voided).toBe(6);
  });

  it("two images in a block that generation completes: not credited to the same text sent as a prompt", async () => {
    // The engine hashes such a block with its last image only, and announces both (vLLM's cursor quirk).
    const { indexer } = await indexerOf({ hash: exact(one) });
    indexer.apply(
      frame([
        stored(one, 0, 1, {
          extra_keys: [
            [
              ["img-1", 2],
              ["img-2", 8],
            ],
          ],
        }),
      ]),
    );
    const multimodal = [
      { id: "img-1", offset: 2, length: 3 },
      { id: "img-2", offset: 8, length: 3 },
    ];
    expect(blocksOf(indexer, one.tokens, "pod-a", { multimodal })).toBe(0);
  });
});
