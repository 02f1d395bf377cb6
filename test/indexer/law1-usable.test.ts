/** Law 1: what counts is what the engine can reuse: the last token is always computed again. */
import { storedFrame } from "kvblock/testing";
import { describe, expect, it } from "vitest";
import { readVectors } from "../hash/vectors.js";
import { blocksOf, chain, exact, frame, indexerOf, stored } from "./frames.js";

const HIT_LIMITS = readVectors<{
  hit_limits: {
    num_tokens: number;
    block_size: number;
    max_hit_blocks: number;
    max_hit_blocks_eagle: number;
  }[];
}>("granularity").hit_limits;

const MODEL = "base";
const ids = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

describe("usable blocks", () => {
  it("the quickstart's 192 tokens at block size 64 score 2, not 3", async () => {
    const { indexer } = await indexerOf();
    const tokens = ids(192);
    indexer.apply(storedFrame({ pod: "pod-a", model: MODEL, tokens, blockSize: 64 }));
    expect(indexer.stats().admissions).toBe(3);
    const scores = indexer.scoreTokens(tokens, { model: MODEL });
    expect(scores.best).toMatchObject({ pod: "pod-a", blocks: 2, tokens: 128, score: 2 });
    expect(scores.toJSON()).toEqual({ "pod-a": 2 });
  });

  it.each(HIT_LIMITS.filter(({ num_tokens }) => num_tokens > 0))(
    "$num_tokens tokens at block size $block_size: at most $max_hit_blocks blocks, $max_hit_blocks_eagle with drafting",
    async ({ num_tokens, block_size, max_hit_blocks, max_hit_blocks_eagle }) => {
      const tokens = ids(num_tokens);
      const longer = ids(num_tokens + 2 * block_size);
      for (const [drafting, expected] of [
        [false, max_hit_blocks],
        [true, max_hit_blocks_eagle],
      ] as const) {
        const { indexer } = await indexerOf({ models: { [MODEL]: { drafting } } });
        // The engine holds more of the conversation than the prompt: what limits is the prompt.
        indexer.apply(storedFrame({ pod: "pod-a", model: MODEL, tokens: longer, blockSize: block_size }));
        const score = indexer.scoreTokens(tokens, { model: MODEL }).get("pod-a")!;
        expect(score.blocks).toBe(expected);
        expect(score.byTier).toEqual(expected === 0 ? expect.toSatisfy(isAllZero) : { gpu: expected });
        expect(score.score).toBe(expected);
      }
    },
  );

  it("prompts below one block, of one token and of none match nothing", async () => {
    const { tokens, ...rest } = chain();
    const { indexer } = await indexerOf({ hash: exact({ tokens, ...rest }) });
    indexer.apply(frame([stored({ tokens, ...rest })]));
    for (const count of [0, 1, 15, 16]) expect(blocksOf(indexer, tokens.slice(0, count))).toBe(0);
    expect(blocksOf(indexer, tokens.slice(0, 17))).toBe(1);
  });

  it("a match is the run from block 0: what lies behind a removed block does not count", async () => {
    const one = chain();
    const { indexer } = await indexerOf({ hash: exact(one) });
    indexer.apply(frame([stored(one)]));
    expect(blocksOf(indexer, one.tokens)).toBe(5);
    indexer.apply(
      frame([{ type: "BlockRemoved", block_hashes: [one.hashes[2]], medium: "GPU" }], { seq: 1 }),
    );
    expect(blocksOf(indexer, one.tokens)).toBe(2);
    indexer.apply(
      frame([{ type: "BlockRemoved", block_hashes: [one.hashes[0]], medium: "GPU" }], { seq: 2 }),
    );
    expect(blocksOf(indexer, one.tokens)).toBe(0);
  });
});

function isAllZero(byTier: Record<string, number>): boolean {
  return Object.values(byTier).every((blocks) => blocks === 0);
}
