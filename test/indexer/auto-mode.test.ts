/** Auto mode: what a publisher's hashing is, settled on evidence, per publisher and generation. */

import { HASH_ALGORITHMS } from "kvblock/hash";
import { describe, expect, it } from "vitest";
import { EngineLink } from "./engine-link.js";
import { blocksOf, type Chain, chain, frame, indexerOf, stored } from "./frames.js";

const one = chain();
const prompt = [...one.tokens, 1];
const unknown = chain("sha256_cbor/bs16/seed=random-string/none");

/** First blocks that nothing reproduces, each another. */
const strangeRoots = (n: number, overrides: Record<string, unknown> = {}): Record<string, unknown>[] =>
  Array.from({ length: n }, (_, i) =>
    stored(
      {
        ...one,
        hashes: [BigInt(i + 1) * 0x9e3779b97f4a7c1n],
        tokens: one.tokens.map((token) => (token + i) % 5000),
      },
      0,
      1,
      overrides,
    ),
  );

const array = (from: Chain, blocks = from.hashes.length): unknown[] => {
  const event = stored(from, 0, blocks);
  const names = ["block_hashes", "parent_block_hash", "token_ids", "block_size", "lora_id", "medium"];
  return ["BlockStored", ...names.map((name) => event[name])];
};

describe("one plain root settles exact", () => {
  const known = ["sha256", "sha256_cbor", "xxhash", "xxhash_cbor"].flatMap((algorithm) =>
    ["0", "42", "vllm-none-hash"].map((seed) => ({ algorithm, seed })),
  );

  it.each(known)("$algorithm with seed $seed, as Python hashed it", async ({ algorithm, seed }) => {
    const found = chain(`${algorithm}/bs16/seed=${seed}/none`);
    const { indexer, codes } = await indexerOf();
    indexer.apply(frame([stored(found)]));
    expect(indexer.pods()[0]).toMatchObject({
      mode: "exact",
      algorithm,
      state: "live",
      blockSize: 16,
      heldFrames: 0,
    });
    expect(blocksOf(indexer, prompt)).toBe(6);
    expect(codes()).toEqual([]);
  });

  it.each(HASH_ALGORITHMS)("%s, from an engine's first prompt", async (algorithm) => {
    const { indexer } = await indexerOf();
    const link = await EngineLink.start({ algorithm, seed: "0" });
    const tokens = Array.from({ length: 21 }, (_, i) => i);
    link.serve({ tokens });
    indexer.apply(link.frame()!);
    expect(indexer.pods()[0]).toMatchObject({ mode: "exact", algorithm });
    expect(indexer.scoreTokens(tokens, { model: "base" }).best?.blocks).toBe(5);
  });

  it("a configured seed is tried too", async () => {
    const { indexer } = await indexerOf({ hash: { mode: "auto", seeds: ["my own seed"] } });
    const link = await EngineLink.start({ seed: "my own seed", algorithm: "xxhash" });
    link.serve({ tokens: [1, 2, 3, 4, 5] });
    indexer.apply(link.frame()!);
    expect(indexer.pods()[0]).toMatchObject({ mode: "exact", algorithm: "xxhash" });
  });

  it("a root behind strange ones settles exact, and what was held is applied in order", async () => {
    const { indexer } = await indexerOf();
    const salted = strangeRoots(2, { lora_id: null });
    indexer.apply(frame([salted[0], stored(one, 2, 6)], { seq: 0 }));
    expect(indexer.pods()[0]).toMatchObject({ state: "catching-up", heldFrames: 1 });
    expect(blocksOf(indexer, [1, 2, 3])).toBe(0);
    const last = { type: "BlockRemoved", block_hashes: [one.hashes[5]], medium: "GPU" };
    indexer.apply(frame([last, salted[1], stored(one, 0, 2)], { seq: 1 }));
    expect(indexer.pods()[0]).toMatchObject({ mode: "exact", state: "live", heldFrames: 0, complete: true });
    expect(blocksOf(indexer, prompt)).toBe(5);
  });
});

describe("tokens is settled by several roots", () => {
  it("two strange roots settle nothing, the third does, and all that was held counts", async () => {
    const { indexer } = await indexerOf();
    indexer.apply(frame([...strangeRoots(2), stored(unknown, 3, 6)], { seq: 0 }));
    expect(indexer.pods()[0]).toMatchObject({ mode: "undecided" });
    indexer.apply(frame([stored(unknown, 0, 3)], { seq: 1 }));
    expect(indexer.pods()[0]).toMatchObject({
      mode: "tokens",
      algorithm: null,
      state: "live",
      parkedStores: 0,
    });
    expect(blocksOf(indexer, prompt)).toBe(6);
  });

  it("the same root announced again and again is one piece of evidence", async () => {
    const { indexer } = await indexerOf();
    for (let seq = 0; seq < 20; seq++) indexer.apply(frame([strangeRoots(1)[0]], { seq }));
    expect(indexer.pods()[0]).toMatchObject({ mode: "undecided", heldFrames: 20 });
    indexer.apply(frame([stored(one)], { seq: 20 }));
    expect(indexer.pods()[0]).toMatchObject({ mode: "exact" });
  });

  it("one strange root amid plenty of other traffic does too: all prompts may share their first block", async () => {
    const { indexer } = await indexerOf();
    for (let seq = 0; seq < 40; seq++) indexer.apply(frame([stored(unknown, seq === 0 ? 0 : 3, 6)], { seq }));
    expect(indexer.pods()[0]).toMatchObject({ mode: "tokens" });
    expect(blocksOf(indexer, prompt)).toBe(6);
  });

  it("salted roots of older wires, which look plain, do not hide a known seed", async () => {
    const { indexer } = await indexerOf();
    const salted = chain("sha256_cbor/bs16/seed=0/salt_first_block_only");
    indexer.apply(frame([array(salted)], { seq: 0 }));
    indexer.apply(frame([array(salted)], { seq: 1 }));
    expect(indexer.pods()[0]).toMatchObject({ mode: "undecided" });
    indexer.apply(frame([array(one)], { seq: 2 }));
    expect(indexer.pods()[0]).toMatchObject({ mode: "exact" });
    expect([
      blocksOf(indexer, prompt),
      blocksOf(indexer, prompt, "pod-a", { cacheSalt: "tenant-A" }),
    ]).toEqual([6, 6]);
  });
});

describe("a late joiner that sees no root", () => {
  it("a scored prompt whose keys were announced settles it", async () => {
    const { indexer } = await indexerOf();
    indexer.apply(frame([stored(one, 4, 6)], { seq: 50 }));
    expect(blocksOf(indexer, [5, 6, 7])).toBe(0);
    expect(indexer.pods()[0]).toMatchObject({ mode: "undecided" });
    expect(indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")).toMatchObject({
      blocks: 6,
      implied: 4,
      state: "live",
    });
    expect(indexer.pods()[0]).toMatchObject({ mode: "exact", algorithm: "sha256_cbor", complete: false });
  });

  it("a long system prompt's last block, announced as the parent of what follows, is enough", async () => {
    const { indexer } = await indexerOf();
    const link = await EngineLink.start({
      seed: "42",
      blockSize: 16,
      numBlocks: 400,
      algorithm: "xxhash_cbor",
    });
    const system = Array.from({ length: 16 * 100 }, (_, i) => i % 251);
    link.serve({ tokens: system });
    link.frame(); // before the router came
    const chat = [...system, ...Array.from({ length: 40 }, (_, i) => 300 + i)];
    link.serve({ tokens: chat });
    indexer.apply(link.frame()!);
    // Algorithms and seeds are tried a few at a time, so that no lookup becomes long.
    let lookups = 0;
    while (lookups++ < 20 && indexer.pods()[0]!.mode === "undecided")
      indexer.scoreTokens(chat, { model: "base" });
    expect(indexer.pods()[0]).toMatchObject({ mode: "exact", algorithm: "xxhash_cbor" });
    expect(indexer.scoreTokens([...system, 1], { model: "base" }).best?.blocks).toBe(
      link.peek({ tokens: [...system, 1] }),
    );
  });

  it("a prompt of another model settles nothing", async () => {
    const { indexer } = await indexerOf();
    indexer.apply(frame([stored(one, 4, 6)], { seq: 50 }));
    indexer.apply(frame([stored(one, 4, 6)], { seq: 50, model: "other", pod: "pod-b" }));
    indexer.scoreTokens(prompt, { model: "other" });
    expect(indexer.pods().map(({ model, mode }) => [model, mode])).toEqual([
      ["base", "undecided"],
      ["other", "exact"],
    ]);
  });
});

describe("each publisher and generation by itself", () => {
  it("pods of one model may hash differently", async () => {
    const { indexer } = await indexerOf();
    indexer.apply(frame([stored(one)], { pod: "pod-a" }));
    indexer.apply(frame([stored(chain("xxhash/bs16/seed=42/none"))], { pod: "pod-b" }));
    indexer.apply(frame([stored(unknown), ...strangeRoots(2)], { pod: "pod-c" }));
    expect(indexer.pods().map(({ algorithm }) => algorithm)).toEqual(["sha256_cbor", "xxhash", null]);
    expect(indexer.scoreTokens(prompt, { model: "base" }).toJSON()).toEqual({
      "pod-a": 6,
      "pod-b": 6,
      "pod-c": 6,
    });
  });

  it("a restart asks anew: the same pod may come back with another seed", async () => {
    const { indexer } = await indexerOf();
    indexer.apply(frame([stored(one)], { seq: 0 }));
    indexer.apply(frame([stored(chain("sha256/bs16/seed=42/none"), 0, 2)], { seq: 0, ts: 9000 }));
    expect(indexer.pods()[0]).toMatchObject({ mode: "exact", algorithm: "sha256", generation: 1 });
    expect(blocksOf(indexer, prompt)).toBe(2);
    indexer.apply(frame([stored(unknown)], { seq: 0, ts: 19_000 }));
    expect(indexer.pods()[0]).toMatchObject({ mode: "undecided", generation: 2, state: "catching-up" });
    expect(blocksOf(indexer, prompt)).toBe(0);
  });
});

describe("holding is bounded", () => {
  it("in bytes: past 8 MiB tokens is settled without evidence", async () => {
    const { indexer } = await indexerOf();
    const tokens = Array.from({ length: 50_000 }, (_, i) => 70_000 + i);
    let seq = 0;
    for (; seq < 40 && indexer.pods()[0]?.mode !== "tokens"; seq++) {
      const event = {
        block_hashes: [BigInt(seq) + 5n],
        parent_block_hash: 3n,
        token_ids: tokens,
        block_size: 50_000,
      };
      indexer.apply(frame([stored(one, 0, 1, event)], { seq }));
      expect(indexer.stats().memory.usedBytes).toBeLessThan(20 * 2 ** 20);
    }
    expect(seq).toBeGreaterThan(10);
    await indexer.settled();
    expect(indexer.pods()[0]).toMatchObject({ mode: "tokens", heldFrames: 0 });
  });

  it("in frames: nor are endless small ones held", async () => {
    const { indexer } = await indexerOf();
    for (let seq = 0; seq < 4100; seq++) indexer.apply(frame([stored(one, 5, 6)], { seq }));
    await indexer.settled();
    expect(indexer.pods()[0]).toMatchObject({ mode: "tokens", heldFrames: 0 });
  });
});
