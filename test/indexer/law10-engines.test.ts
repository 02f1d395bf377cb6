/** Law 10: engines that are not as configured are told, with the evidence and the fix. */
import { describe, expect, it } from "vitest";
import { blocksOf, type Chain, chain, exact, frame, indexerOf, stored } from "./frames.js";

const one = chain();
const prompt = [...one.tokens, 1];

/** A chain whose first blocks all differ: `n` prompts that share nothing. */
const roots = (from: Chain, n: number): Record<string, unknown>[] =>
  Array.from({ length: n }, (_, i) =>
    stored(
      {
        ...from,
        hashes: [(BigInt(i + 1) * 0x9e3779b97f4a7c15n) & (2n ** 64n - 1n)],
        tokens: from.tokens.map((token) => (token + i) % 5000),
      },
      0,
      1,
    ),
  );

describe("hash-not-reproduced", () => {
  it("exact mode with the wrong seed: what would reproduce it is named", async () => {
    const { indexer, told } = await indexerOf({
      hash: { mode: "exact", algorithm: "sha256_cbor", seed: "1" },
    });
    indexer.apply(frame([stored(one)]));
    indexer.apply(frame([stored(one)], { seq: 1 }));
    expect(told).toMatchObject([
      {
        code: "hash-not-reproduced",
        severity: "error",
        pod: "pod-a",
        model: "base",
        dataParallelRank: 0,
        evidence: { configured: 'sha256_cbor with seed "1"', reproducedBy: 'sha256_cbor with seed "0"' },
      },
    ]);
    expect(told[0]!.fix).toContain('sha256_cbor with seed "0"');
    expect(blocksOf(indexer, prompt)).toBe(0);
  });

  it("exact mode with the wrong algorithm", async () => {
    const { indexer, told } = await indexerOf({ hash: { mode: "exact", algorithm: "sha256", seed: "0" } });
    indexer.apply(frame([stored(one)]));
    expect(told[0]!.evidence).toMatchObject({ reproducedBy: 'sha256_cbor with seed "0"' });
  });

  it("exact mode with an engine whose seed nobody knows: told what was tried", async () => {
    const random = chain("sha256_cbor/bs16/seed=random-string/none");
    const { indexer, told } = await indexerOf({
      hash: { mode: "exact", algorithm: "sha256_cbor", seed: "0" },
    });
    indexer.apply(frame([stored(random)]));
    expect(told).toMatchObject([{ code: "hash-not-reproduced", evidence: { reproducedBy: null } }]);
    expect(told[0]!.evidence["tried"]).toEqual([expect.stringContaining('"vllm-none-hash"'), "sglang"]);
    expect(told[0]!.fix).toContain("PYTHONHASHSEED");
  });

  it("exact mode with the right seed says nothing", async () => {
    const { indexer, told } = await indexerOf({ hash: exact(one) });
    indexer.apply(frame([stored(one)]));
    expect(told).toEqual([]);
  });

  it("auto mode falls back to tokens, as an info that names the fallback", async () => {
    const { indexer, told } = await indexerOf();
    indexer.apply(frame(roots(one, 3)));
    expect(told).toMatchObject([
      {
        code: "hash-not-reproduced",
        severity: "info",
        evidence: { fallback: "tokens", rootsNotReproduced: 3 },
      },
    ]);
    expect(indexer.pods()[0]).toMatchObject({ mode: "tokens", state: "live" });
  });
});

describe("block-size-mismatch", () => {
  it("a configured size that is not the engine's is told, and the engine's is used", async () => {
    const { indexer, told } = await indexerOf({ hash: exact(one), blockSize: 64 });
    indexer.apply(frame([stored(one)]));
    expect(told).toMatchObject([
      {
        code: "block-size-mismatch",
        severity: "error",
        pod: "pod-a",
        evidence: { configured: 64, announced: 16 },
      },
    ]);
    expect(told[0]!.fix).toContain("blockSize: 16");
    expect(indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")).toMatchObject({
      blocks: 6,
      blockSize: 16,
    });
  });

  it("also where an offload tier of another size was heard first", async () => {
    const { indexer, told } = await indexerOf({ hash: exact(one), blockSize: 32 });
    const chunk = {
      medium: "CPU",
      block_size: 32,
      block_hashes: [one.hashes[1]],
      token_ids: one.tokens.slice(0, 32),
    };
    indexer.apply(frame([stored(one, 0, 6, chunk)]));
    expect(told).toEqual([]);
    indexer.apply(frame([stored(one)], { seq: 1 }));
    expect(told.map(({ code }) => code)).toEqual(["block-size-mismatch"]);
    expect(blocksOf(indexer, prompt)).toBe(6);
  });

  it("is not told for a hybrid model's partial blocks", async () => {
    const { indexer, told } = await indexerOf({ hash: { mode: "tokens" }, blockSize: 32 });
    const wide = { ...one, blockSize: 32, hashes: one.hashes.slice(0, 3) };
    const partial = { block_size: 16, parent_block_hash: null, token_ids: one.tokens.slice(0, 16) };
    indexer.apply(frame([stored(one, 0, 1, partial), stored(wide)]));
    expect(told).toEqual([]);
    expect(indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")).toMatchObject({
      blocks: 3,
      blockSize: 32,
    });
  });

  it("is told all the same when nothing but single small blocks comes", async () => {
    const { indexer, codes } = await indexerOf({ hash: exact(one), blockSize: 32 });
    for (let block = 0; block < 6; block++)
      indexer.apply(frame([stored(one, block, block + 1)], { seq: block }));
    expect(codes()).toEqual([]);
    for (let seq = 6; seq < 9; seq++) indexer.apply(frame([stored(one, 0, 1)], { seq }));
    expect(codes()).toEqual(["block-size-mismatch"]);
    expect(blocksOf(indexer, prompt)).toBe(6);
  });
});

describe("block size learned", () => {
  it("from the engine's own tier, though an offload tier with larger chunks speaks first", async () => {
    const { indexer } = await indexerOf({ hash: exact(one) });
    const chunk = {
      medium: "CPU",
      block_size: 32,
      block_hashes: [one.hashes[1]],
      token_ids: one.tokens.slice(0, 32),
    };
    indexer.apply(frame([stored(one, 0, 6, chunk), stored(one)]));
    expect(indexer.pods()[0]!.blockSize).toBe(16);
    expect(blocksOf(indexer, prompt)).toBe(6);
  });

  it("a partial block that speaks first gives way to the whole size", async () => {
    const { indexer } = await indexerOf({ hash: { mode: "tokens" } });
    const wide = { ...one, blockSize: 32, hashes: one.hashes.slice(0, 3) };
    indexer.apply(
      frame([stored(one, 0, 1), stored({ ...wide, hashes: wide.hashes.map((hash) => hash ^ 1n) })]),
    );
    expect(indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")).toMatchObject({
      blocks: 3,
      blockSize: 32,
    });
  });
});

describe("extra-keys-missing", () => {
  it("tokens mode on older wires: two hashes of equal tokens are credited to nobody, and told", async () => {
    const { indexer, told } = await indexerOf({ hash: { mode: "tokens" } });
    const array = (chained: Chain): unknown[] => {
      const event = stored(chained);
      const names = ["block_hashes", "parent_block_hash", "token_ids", "block_size", "lora_id", "medium"];
      return ["BlockStored", ...names.map((name) => event[name])];
    };
    indexer.apply(frame([array(one)]));
    expect(blocksOf(indexer, prompt)).toBe(6);
    indexer.apply(frame([array({ ...one, hashes: one.hashes.map((hash) => hash ^ 5n) })], { seq: 1 }));
    expect(blocksOf(indexer, prompt)).toBe(0);
    expect(told).toMatchObject([{ code: "extra-keys-missing", evidence: { ambiguousBlocks: 1 } }]);
    expect(blocksOf(indexer, prompt, "pod-a", { cacheSalt: "any" })).toBe(0);
  });
});
