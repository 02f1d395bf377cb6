/**
 * Block sizes: what the engine announces in blocks of its own size is scored in those, whatever size is configured here.
 *
 * llm-d maps engine blocks to index blocks of one configured size, many to one or one to many; here each pod is matched at
 * its own size, so a match is never rounded to another's blocks.
 */
import type { Indexer, IndexerOptions } from "kvblock";
import { removedFrame, storedFrame } from "kvblock/testing";
import { describe, expect, it } from "vitest";
import { indexerOf } from "./frames.js";

const model = "base";
const tokens = Array.from({ length: 192 }, (_, i) => 1000 + i);
/** One more, which the engine computes itself: all of `tokens` can be reused. */
const prompt = [...tokens, 1];

/** Modes that key blocks by the engine's own hashes, by those once they are proved, and by tokens alone. */
const MODES: readonly [string, IndexerOptions["hash"]][] = [
  ["exact", { mode: "exact", algorithm: "sha256_cbor", seed: "0" }],
  ["auto", { mode: "auto", seeds: ["0"] }],
  ["tokens", { mode: "tokens" }],
];

function store(indexer: Indexer, pod: string, blockSize: number, count = tokens.length, seq = 0): void {
  indexer.apply(storedFrame({ pod, model, tokens: tokens.slice(0, count), blockSize, seed: "0", seq }));
}

function remove(indexer: Indexer, pod: string, blockSize: number, fromBlock: number, seq: number): void {
  indexer.apply(removedFrame({ pod, model, tokens, blockSize, seed: "0", fromBlock, seq }));
}

const matchOf = (indexer: Indexer, of: readonly number[] = prompt): unknown => {
  const { blocks, blockSize, tokens } = indexer.scoreTokens(of, { model }).get("pod")!;
  return { blocks, blockSize, tokens };
};

describe.each(MODES)("%s mode: the engine's block size differs from the configured one", (_, hash) => {
  it("many engine blocks to one configured block: matched in the engine's small blocks", async () => {
    const { indexer, told } = await indexerOf({ hash, blockSize: 64 });
    store(indexer, "pod", 16);
    expect(matchOf(indexer)).toEqual({ blocks: 12, blockSize: 16, tokens: 192 });
    expect(told).toMatchObject([{ code: "block-size-mismatch", pod: "pod" }]);
  });

  it("many to one: what ends amid a configured block counts up to where it ends", async () => {
    const { indexer } = await indexerOf({ hash, blockSize: 64 });
    store(indexer, "pod", 16, 80); // one configured block and a quarter
    expect(matchOf(indexer)).toEqual({ blocks: 5, blockSize: 16, tokens: 80 });
    remove(indexer, "pod", 16, 3, 1); // now three quarters of one
    expect(matchOf(indexer)).toEqual({ blocks: 3, blockSize: 16, tokens: 48 });
  });

  it("one engine block to many configured blocks: matched in the engine's large blocks", async () => {
    const { indexer, told } = await indexerOf({ hash, blockSize: 16 });
    store(indexer, "pod", 64);
    expect(matchOf(indexer)).toEqual({ blocks: 3, blockSize: 64, tokens: 192 });
    expect(told).toMatchObject([{ code: "block-size-mismatch", pod: "pod" }]);
  });

  it("one to many: a prompt that ends amid an engine block matches the whole blocks before it", async () => {
    const { indexer } = await indexerOf({ hash, blockSize: 16 });
    store(indexer, "pod", 64);
    // 160 tokens fill ten configured blocks and two and a half of the engine's.
    expect(matchOf(indexer, tokens.slice(0, 160))).toEqual({ blocks: 2, blockSize: 64, tokens: 128 });
    remove(indexer, "pod", 64, 1, 1);
    expect(matchOf(indexer)).toEqual({ blocks: 1, blockSize: 64, tokens: 64 });
  });

  it("sizes of which neither divides the other", async () => {
    const { indexer } = await indexerOf({ hash, blockSize: 64 });
    store(indexer, "pod", 48);
    expect(matchOf(indexer)).toEqual({ blocks: 4, blockSize: 48, tokens: 192 });
  });
});

describe.each(MODES)("%s mode: two pods of one model have different block sizes", (_, hash) => {
  const order = (indexer: Indexer, of = prompt): [string, number, number][] =>
    [...indexer.scoreTokens(of, { model, pods: ["fine", "coarse"] })].map(({ pod, tokens, blocks }) => [
      pod,
      tokens,
      blocks,
    ]);

  it("the same prompt held by both is as many tokens on both, in blocks of each one's own", async () => {
    const { indexer, told } = await indexerOf({ hash });
    store(indexer, "coarse", 64);
    store(indexer, "fine", 16);
    // Equals in the caller's order: twelve blocks are not better than three.
    expect(order(indexer)).toEqual([
      ["fine", 192, 12],
      ["coarse", 192, 3],
    ]);
    expect(indexer.scoreTokens(prompt, { model, pods: ["coarse", "fine"] }).best?.pod).toBe("coarse");
    expect(told).toEqual([]);
  });

  it("who holds more tokens comes first, however few its blocks are", async () => {
    const { indexer } = await indexerOf({ hash });
    store(indexer, "coarse", 64, 128);
    store(indexer, "fine", 16, 112);
    expect(order(indexer)).toEqual([
      ["coarse", 128, 2],
      ["fine", 112, 7],
    ]);
    store(indexer, "fine", 16, 144, 1);
    expect(order(indexer)).toEqual([
      ["fine", 144, 9],
      ["coarse", 128, 2],
    ]);
  });

  it("the last token, which is always computed, costs each a block of its own size", async () => {
    const { indexer } = await indexerOf({ hash });
    store(indexer, "coarse", 64);
    store(indexer, "fine", 16);
    expect(order(indexer, tokens)).toEqual([
      ["fine", 176, 11],
      ["coarse", 128, 2],
    ]);
  });

  it("one pod's removals leave the other's blocks alone", async () => {
    const { indexer } = await indexerOf({ hash });
    store(indexer, "coarse", 64);
    store(indexer, "fine", 16);
    remove(indexer, "fine", 16, 1, 1);
    expect(order(indexer)).toEqual([
      ["coarse", 192, 3],
      ["fine", 16, 1],
    ]);
  });
});
