/** Exact mode against what is configured: told wherever it can be known, and nobody accused who hashes as configured. */
import { createBlockHasher } from "kvblock/hash";
import { describe, expect, it } from "vitest";
import { blocksOf, type Chain, chain, cleared, exact, frame, indexerOf, removed, stored } from "./frames.js";

const one = chain();
const prompt = [...one.tokens, 1];
const otherPrompt = prompt.map((token) => (token + 1) % 1000);
const wrong = { mode: "exact", algorithm: "sha256_cbor", seed: "not this" } as const;

const codesOf = (indexer: Awaited<ReturnType<typeof indexerOf>>["indexer"]) =>
  indexer.diagnose().map(({ code }) => code);

/** A v0.11 array, which does not say extra keys. */
const array = (from: number, to: number): unknown[] => {
  const event = stored(one, from, to);
  const names = ["block_hashes", "parent_block_hash", "token_ids", "block_size", "lora_id", "medium"];
  return ["BlockStored", ...names.map((name) => event[name])];
};

/** A chain under the configured seed 0, of other tokens, its extra keys in each event. */
async function chainOf(salt: number, extraKeys: readonly (string | number)[] | null = null): Promise<Chain> {
  const hasher = await createBlockHasher({ algorithm: "sha256_cbor", blockSize: 16, seed: "0" });
  const tokens = one.tokens.map((token) => (token + salt) % 1000);
  const blocks = Math.floor(tokens.length / 16);
  const keys = hasher.toKeys(
    hasher.hashTokens(tokens, {
      extraKeys: Array.from({ length: blocks }, (_, i) => (i === 0 ? extraKeys : null)),
    }),
  );
  const hashes = Array.from(
    { length: blocks },
    (_, i) => (BigInt(keys[2 * i]!) << 32n) | BigInt(keys[2 * i + 1]!),
  );
  return { ...one, tokens, hashes };
}

describe("a seed that is not the engine's", () => {
  it("is told of an old wire where all prompts share their first block", async () => {
    const { indexer } = await indexerOf({ hash: wrong });
    indexer.apply(frame([array(0, 1)], { seq: 0 }));
    for (let seq = 1; seq < 32; seq++) indexer.apply(frame([array(1, 3)], { seq }));
    expect(codesOf(indexer)).toEqual([]);
    for (let seq = 32; seq < 40; seq++) indexer.apply(frame([array(1, 3)], { seq }));
    expect(indexer.diagnose()).toMatchObject([
      {
        code: "hash-not-reproduced",
        severity: "error",
        count: 1,
        evidence: { reproducedBy: 'sha256_cbor with seed "0"' },
      },
    ]);
  });

  it("is told where every first block is salted", async () => {
    const { indexer } = await indexerOf({ hash: wrong });
    for (let seq = 0; seq < 3; seq++) {
      const salted = await chainOf(seq, [`tenant ${seq}`]);
      indexer.apply(frame([stored(salted, 0, 1, { extra_keys: [[`tenant ${seq}`]] })], { seq }));
    }
    expect(codesOf(indexer)).toEqual(["hash-not-reproduced"]);
  });

  it("is told of a late joiner that never hears a first block, once lookups keep missing what it holds", async () => {
    const { indexer, told } = await indexerOf({ hash: wrong });
    indexer.apply(frame([stored(one, 2, 6)], { seq: 9 }));
    for (let i = 0; i < 99; i++) blocksOf(indexer, prompt);
    expect(told.map(({ code }) => code)).toEqual(["joined-late"]);
    for (let i = 0; i < 50; i++) blocksOf(indexer, prompt);
    expect(told.slice(1)).toMatchObject([
      { code: "hash-not-reproduced", severity: "warning", evidence: { rootsNotReproduced: 0 } },
    ]);
    expect(told[1]!.message).toMatch(/100 lookups matched none of its \d blocks/);
  });

  it("is withdrawn when a first block proves the configuration after all", async () => {
    const { indexer } = await indexerOf({ hash: exact(one) });
    indexer.apply(frame([stored(one, 2, 6)], { seq: 9 }));
    for (let i = 0; i < 150; i++) blocksOf(indexer, otherPrompt);
    expect(codesOf(indexer)).toContain("hash-not-reproduced");
    indexer.apply(frame([stored(one, 0, 1)], { seq: 10 }));
    expect(codesOf(indexer)).not.toContain("hash-not-reproduced");
  });
});

describe("nobody is accused", () => {
  it("whose adapters are hashed with a path that is not known", async () => {
    const { indexer } = await indexerOf({ hash: { mode: "exact", algorithm: "sha256_cbor", seed: "0" } });
    for (let seq = 0; seq < 8; seq++) {
      const strange = { ...one, hashes: one.hashes.map((hash) => hash ^ BigInt(seq + 1)) };
      const lora = { lora_name: `lora ${seq}`, extra_keys: [[`lora ${seq}`]] };
      indexer.apply(frame([stored(strange, 0, 1, lora)], { seq }));
    }
    expect(codesOf(indexer)).toEqual([]);
  });

  it("whom lookups miss that has nothing, or whose hashing a hit has proved", async () => {
    const { indexer } = await indexerOf({ hash: exact(one) });
    indexer.apply(frame([stored(one, 2, 6)], { seq: 9 }));
    expect(blocksOf(indexer, prompt)).toBe(6);
    for (let i = 0; i < 150; i++) blocksOf(indexer, otherPrompt);
    expect(codesOf(indexer)).toEqual(["joined-late"]);
    const other = await indexerOf({ hash: wrong });
    other.indexer.apply(frame([], { seq: 0 }));
    for (let i = 0; i < 150; i++) blocksOf(other.indexer, prompt);
    expect(codesOf(other.indexer)).toEqual([]);
  });
});

describe("an engine whose hashes are finer than its blocks", () => {
  /** The vector's chain in blocks of three hashes each: a block is named by its last hash. */
  const coarse: Chain = { ...one, blockSize: 48, hashes: [one.hashes[2]!, one.hashes[5]!] };

  it.each([
    ["exact", exact(one)],
    ["auto", undefined],
  ] as const)("is known by its first block in %s mode, and matched block by block", async (_mode, hash) => {
    const { indexer, codes } = await indexerOf({ hash });
    indexer.apply(frame([stored(coarse)], { seq: 0 }));
    expect(indexer.pods()[0]).toMatchObject({ mode: "exact", blockSize: 48, algorithm: "sha256_cbor" });
    expect(indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")).toMatchObject({
      blocks: 2,
      tokens: 96,
    });
    indexer.apply(frame([removed([coarse.hashes[1]!])], { seq: 1 }));
    expect(blocksOf(indexer, prompt)).toBe(1);
    expect(codes()).toEqual([]);
  });

  it("a partial block is kept apart, and says how fine the hashes are", async () => {
    const { indexer, codes } = await indexerOf({ hash: exact(one), blockSize: 48 });
    indexer.apply(frame([stored(one, 0, 1)], { seq: 0 }));
    expect(blocksOf(indexer, prompt)).toBe(0);
    indexer.apply(frame([removed([one.hashes[0]!]), stored(coarse)], { seq: 1 }));
    expect(blocksOf(indexer, prompt)).toBe(2);
    expect(codes()).toEqual([]);
  });

  it("groups of different block sizes decide together, at the larger size", async () => {
    const { indexer, codes } = await indexerOf({ hash: exact(one) });
    indexer.apply(frame([stored(one, 0, 6, { group_idx: 0 }), stored(coarse, 0, 1, { group_idx: 1 })]));
    expect(indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")).toMatchObject({
      blocks: 1,
      blockSize: 48,
      upperBound: false,
    });
    indexer.apply(frame([stored(coarse, 1, 2, { group_idx: 1 })], { seq: 1 }));
    expect(blocksOf(indexer, prompt)).toBe(2);
    expect(codes()).toEqual([]);
  });

  it("under own keys the first group decides, and the answer is an upper bound", async () => {
    const { indexer } = await indexerOf({ hash: { mode: "tokens" } });
    indexer.apply(frame([stored(one, 0, 6, { group_idx: 0 }), stored(coarse, 0, 1, { group_idx: 1 })]));
    expect(indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")).toMatchObject({
      blocks: 6,
      blockSize: 16,
      upperBound: true,
    });
    expect(indexer.stats().skips).toEqual({ "window-group": 1 });
    indexer.apply(
      frame([removed([one.hashes[5]!], { group_idx: 0 }), cleared, stored(one, 0, 2)], { seq: 1 }),
    );
    expect(blocksOf(indexer, prompt)).toBe(2);
  });
});

describe("groups and tiers", () => {
  it("a group that only a slower tier announces decides there", async () => {
    const { indexer } = await indexerOf({ hash: exact(one) });
    indexer.apply(frame([stored(one, 0, 3, { medium: "CPU", group_idx: 1 })]));
    expect(indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")).toMatchObject({
      blocks: 3,
      byTier: { cpu: 3 },
    });
  });

  it("more tiers and groups than any engine has are refused and counted, and nothing throws", async () => {
    const { indexer } = await indexerOf({ hash: exact(one), onDiagnostic: null });
    for (let tier = 0; tier < 40; tier++)
      for (let group = 0; group < 32; group++)
        indexer.apply(
          frame([stored(one, 0, 1, { medium: `TIER${tier}`, group_idx: group })], { seq: tier * 32 + group }),
        );
    expect(indexer.stats().skips["no-memory"]).toBe(33 * 32 - 64 + 7 * 32);
    expect(indexer.pods()[0]).toMatchObject({ complete: false });
    const before = (await indexerOf()).indexer.stats().memory.usedBytes;
    indexer.removePod("pod-a");
    // The table's pages are given back as its dead entries are swept, with later frames.
    expect(indexer.stats().memory.usedBytes).toBeLessThan(before + 131_072);
  });

  it("a store without tokens credits no block whose tokens stand for two", async () => {
    const { indexer } = await indexerOf({ hash: { mode: "tokens" }, onDiagnostic: null });
    const other = ["BlockStored", [77n], null, one.tokens.slice(0, 16), 16, null, "GPU"];
    indexer.apply(frame([array(0, 1), other], { seq: 0 }));
    expect(blocksOf(indexer, prompt)).toBe(0);
    indexer.apply(frame([["BlockStored", [one.hashes[0]], null, [], 0, null, "CPU"]], { seq: 1 }));
    expect(blocksOf(indexer, prompt)).toBe(0);
    expect(indexer.stats().skips["ambiguous"]).toBe(2);
  });
});
