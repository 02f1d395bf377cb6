/** Early stop: a lookup hashes no more of a prompt than it can still make use of. Counted, not timed. */
import type { Indexer, IndexerOptions } from "kvblock";
import { storedFrame } from "kvblock/testing";
import { afterEach, describe, expect, it, vi } from "vitest";
import { HashChain } from "../../src/hash/chain.js";
import { indexerOf } from "./frames.js";

const model = "base";
const BLOCK = 16;
/** 6,250 blocks, of which 6,249 could be reused. */
const prompt = Uint32Array.from({ length: 100_000 }, (_, i) => i);
const other = prompt.subarray(50_000);
const exact: IndexerOptions["hash"] = { mode: "exact", algorithm: "sha256_cbor", seed: "0" };

afterEach(() => vi.restoreAllMocks());

/** Blocks that scoring the prompt hashes. */
function hashed(indexer: Indexer, request: Partial<Parameters<Indexer["scoreTokens"]>[1]> = {}): number {
  // Every chain of every mode hashes here.
  const spy = vi.spyOn(HashChain.prototype, "hashTokens");
  indexer.scoreTokens(prompt, { model, ...request });
  const blocks = spy.mock.results.map(({ value }, i) => {
    const chain = spy.mock.contexts[i] as HashChain;
    return (value as Uint8Array).length / chain.digestBytes;
  });
  spy.mockRestore();
  return blocks.reduce((sum, count) => sum + count, 0);
}

interface Held {
  pod?: string;
  tokens?: Uint32Array;
  blockSize?: number;
  seq?: number;
}

function hold(
  indexer: Indexer,
  { pod = "pod", tokens = other, blockSize = BLOCK, seq = 0 }: Held = {},
): void {
  indexer.apply(storedFrame({ pod, model, tokens: tokens.slice(0, 1600), blockSize, seed: "0", seq }));
}

describe("a prompt of 100,000 tokens", () => {
  it.each([
    ["exact", exact],
    ["tokens", { mode: "tokens" } as const],
    ["auto, settled", { mode: "auto", seeds: ["0"] } as const],
  ])("that nobody holds costs 8 block hashes (%s mode)", async (_, hash) => {
    const { indexer } = await indexerOf({ hash });
    hold(indexer);
    expect(hashed(indexer)).toBe(8);
  });

  it("costs no hash where there is nobody to look it up on", async () => {
    const { indexer } = await indexerOf({ hash: exact });
    expect(hashed(indexer)).toBe(0);
    hold(indexer);
    expect(hashed(indexer, { pods: [] })).toBe(0);
    expect(hashed(indexer, { pods: ["unknown"] })).toBe(0);
  });

  it.each([
    [1, 8],
    [7, 8],
    // The end of the run is seen in the next stretch: twice as long as the one before.
    [8, 8 + 16],
    [23, 8 + 16],
    [24, 8 + 16 + 32],
    [100, 8 + 16 + 32 + 64],
  ])("of which a pod holds %i blocks costs the stretches up to there: %i hashes", async (blocks, hashes) => {
    const { indexer } = await indexerOf({ hash: exact });
    hold(indexer, { tokens: prompt.subarray(0, blocks * BLOCK) });
    expect(hashed(indexer)).toBe(hashes);
  });

  it("costs no more for many pods of one kind", async () => {
    const { indexer } = await indexerOf({ hash: exact });
    for (let pod = 0; pod < 20; pod++) hold(indexer, { pod: `pod-${pod}` });
    expect(hashed(indexer)).toBe(8);
  });

  it("costs 8 hashes for each block size in the fleet", async () => {
    const { indexer } = await indexerOf({ hash: exact });
    hold(indexer);
    hold(indexer, { pod: "coarse", blockSize: 64 });
    expect(hashed(indexer)).toBe(8 + 8);
  });

  it("with a salt costs 8 hashes for each form in which an engine may have hashed it", async () => {
    const { indexer } = await indexerOf({ hash: exact });
    hold(indexer);
    expect(hashed(indexer, { cacheSalt: "tenant" })).toBe(8 + 8);
  });

  it("is not walked on for a pod that is no candidate", async () => {
    const { indexer } = await indexerOf({ hash: exact });
    hold(indexer);
    hold(indexer, { pod: "holder", tokens: prompt });
    expect(hashed(indexer, { pods: ["pod"] })).toBe(8);
    expect(hashed(indexer, { pods: ["pod", "holder"] })).toBe(8 + 16 + 32 + 64);
  });

  it("is walked to its end for a pod that joined late: a later block would prove the earlier ones", async () => {
    const { indexer } = await indexerOf({ hash: exact });
    hold(indexer, { seq: 5 });
    expect(hashed(indexer)).toBe(6249);
    // Not in tokens mode, where nothing is implied.
    const { indexer: byTokens } = await indexerOf({ hash: { mode: "tokens" } });
    hold(byTokens, { seq: 5 });
    expect(hashed(byTokens)).toBe(8);
  });
});
