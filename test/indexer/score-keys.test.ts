/** Keys made elsewhere: `scoreKeys` says what `scoreTokens` says, and hashes nothing itself. */
import { type HashedPrompt, Indexer, type IndexerOptions, type ScoreRequest } from "kvblock";
import { storedFrame } from "kvblock/testing";
import { afterEach, describe, expect, it, vi } from "vitest";
import { HashChain } from "../../src/hash/chain.js";
import { PlanHasher } from "../../src/hash-plan.js";
import { poolOf } from "../pool/pools.js";
import { TINY } from "../pool/tiny.js";
import { seeded } from "../support/random.js";
import { EngineLink, type LinkOptions } from "./engine-link.js";
import { indexerOf } from "./frames.js";
import { randomPrompt, runTraffic } from "./traffic.js";

const model = "base";
const LORAS = { "sql-lora": { id: 1, path: "/sql" }, "chat-lora": { id: 2, path: "/chat" } };
const KINDS = ["lora", "salt", "image"] as const;

afterEach(() => vi.restoreAllMocks());

/** Through a structured clone, as between threads. */
async function hashElsewhere(
  indexer: Indexer,
  tokens: Uint32Array,
  request: ScoreRequest,
): Promise<HashedPrompt> {
  const plan = structuredClone(indexer.hashPlan(tokens.length, request));
  const lists = (await PlanHasher.load()).hash(tokens, plan);
  return { tokens, request: plan.request, lists };
}

describe("scoreKeys", () => {
  it.each<[string, IndexerOptions["hash"], NonNullable<LinkOptions["algorithm"]>]>([
    ["exact", { mode: "exact", algorithm: "sha256", seed: "0" }, "sha256"],
    ["exact, CBOR", { mode: "exact", algorithm: "xxhash_cbor", seed: "0" }, "xxhash_cbor"],
    ["auto", { mode: "auto", seeds: ["0"] }, "sha256_cbor"],
    ["own keys", { mode: "tokens" }, "sha256"],
  ])("equals scoreTokens, with adapters, salts and images: %s", async (_, hash, algorithm) => {
    const indexer = await Indexer.create({
      onDiagnostic: null,
      clock: () => 0,
      hash,
      models: { base: { loras: LORAS } },
    });
    const link = {
      model,
      numBlocks: 40,
      algorithm,
      seed: "0",
      loras: { "sql-lora": 1, "chat-lora": 2 },
    } as const;
    const links = await Promise.all([
      EngineLink.start({ ...link, pod: "pod-a", rank: 0 }),
      EngineLink.start({ ...link, pod: "pod-b", rank: 0 }),
    ]);
    runTraffic(indexer, links, { seed: 7, steps: 400, with: KINDS, check: () => {} });
    const random = seeded(3);
    let matched = 0;
    for (let i = 0; i < 300; i++) {
      const { tokens: ids, loraName, cacheSalt, multimodal } = randomPrompt(random, KINDS);
      const tokens = Uint32Array.from(ids);
      const request = { model, loraName, cacheSalt, multimodal };
      const prompt = await hashElsewhere(indexer, tokens, request);
      const scores = [...indexer.scoreTokens(tokens, request)];
      const spy = vi.spyOn(HashChain.prototype, "hashTokens");
      expect([...indexer.scoreKeys(prompt, request)]).toEqual(scores);
      expect(spy).not.toHaveBeenCalled();
      spy.mockRestore();
      if (scores.some(({ blocks }) => blocks > 0)) matched++;
    }
    expect(matched).toBeGreaterThan(30);
  });

  it("hashes what the keys lack: a pod that was heard of meanwhile", async () => {
    const { indexer } = await indexerOf({ hash: { mode: "tokens" } });
    const tokens = Uint32Array.from({ length: 100 }, (_, i) => i);
    indexer.apply(storedFrame({ pod: "a", model, tokens, blockSize: 16 }));
    const prompt = await hashElsewhere(indexer, tokens, { model });
    expect(prompt.lists).toHaveLength(1);
    indexer.apply(storedFrame({ pod: "b", model, tokens, blockSize: 32 }));
    expect(indexer.scoreKeys(prompt, { model }).toJSON()).toEqual({ a: 6, b: 3 });
  });

  it("refuses keys of another salt, adapter or item, and what are no keys", async () => {
    const { indexer } = await indexerOf({ hash: { mode: "tokens" } });
    const tokens = Uint32Array.from({ length: 100 }, (_, i) => i);
    indexer.apply(storedFrame({ pod: "a", model, tokens, blockSize: 16 }));
    const prompt = await hashElsewhere(indexer, tokens, { model, cacheSalt: "tenant" });
    expect(() => indexer.scoreKeys(prompt, { model })).toThrow(RangeError);
    expect(() => indexer.scoreKeys(prompt, { model, cacheSalt: "other" })).toThrow(RangeError);
    expect(indexer.scoreKeys(prompt, { model, cacheSalt: "tenant" }).toJSON()).toBeNull();
    expect(() => indexer.scoreKeys({ tokens: [1] } as never, { model })).toThrow(TypeError);
    expect(() => indexer.scoreKeys({ ...prompt, lists: [{ keys: [1] }] } as never, { model })).toThrow(
      TypeError,
    );
    expect(() => indexer.hashPlan(-1, { model })).toThrow(RangeError);
    await indexer.close();
    expect(() => indexer.hashPlan(1, { model })).toThrow("closed");
    expect(() => indexer.scoreKeys(prompt, { model })).toThrow("closed");
  });
});

describe("an indexer with a pool", () => {
  const text = "a long prompt. ".repeat(9000);
  const chat = [{ role: "user", content: text }];

  it("tokenizes a prompt of 128K tokens and hashes what is not known of it there, and says the same as without", async () => {
    const pool = await poolOf({ workers: 1 });
    const tokenizer = await pool.tokenizer(TINY);
    const hash = { mode: "exact", algorithm: "sha256_cbor", seed: "0" } as const;
    const { indexer } = await indexerOf({ hash, tokenizers: { base: tokenizer }, pool });
    const tokens = await indexer.tokenizePrompt(text, { model });
    expect(tokens.length).toBeGreaterThan(128 * 1024);
    const of = { model, blockSize: 16, seed: "0" };
    indexer.apply(storedFrame({ ...of, pod: "a", tokens: tokens.slice(0, 100_000) }));
    indexer.apply(storedFrame({ ...of, pod: "b", tokens: tokens.slice(0, 1600) }));
    const blocks = { a: 6250, b: 100 };
    const hashed = (): number =>
      spy.mock.calls.reduce((sum, [some]) => sum + Math.floor(some.length / 16), 0);
    const spy = vi.spyOn(HashChain.prototype, "hashTokens");
    const asked = vi.spyOn(pool, "hashPrompt");
    const pods = ["c", "b", "a"][Symbol.iterator]();
    const scores = await indexer.scorePrompt(text, { model, pods });
    expect(scores.toJSON()).toEqual(blocks);
    expect(Array.from(scores, ({ pod }) => pod)).toEqual(["a", "b", "c"]);
    expect(asked).toHaveBeenCalledTimes(1);
    expect(hashed()).toBeLessThan(600);
    // Known by now.
    spy.mockClear();
    expect((await indexer.scoreChat(chat, { model })).toJSON()).toEqual(blocks);
    expect(asked).toHaveBeenCalledTimes(1);
    expect(hashed()).toBeLessThan(600);
    expect(indexer.scoreTokens(tokens, { model }).toJSON()).toEqual(blocks);
  });

  it("hands on the signal, and tells what stands wrong with the pool", async () => {
    const pool = await poolOf({ workers: 1, workerUrl: new URL("./nowhere.mjs", import.meta.url) });
    const tokenizer = await pool.tokenizer(TINY);
    const { indexer } = await indexerOf({ hash: { mode: "tokens" }, tokenizers: { base: tokenizer }, pool });
    indexer.apply(storedFrame({ pod: "a", model, tokens: [1, 2, 3, 4], blockSize: 4 }));
    expect(indexer.diagnose().map(({ code }) => code)).toEqual(["workers-unavailable"]);
    expect((await indexer.scorePrompt(text, { model })).promptTokens).toBeGreaterThan(128 * 1024);
    await expect(
      indexer.scorePrompt(text, { model, signal: AbortSignal.abort(new Error("left")) }),
    ).rejects.toThrow("left");
    await expect(Indexer.create({ pool: {} as never })).rejects.toThrow('"pool" expected');
  });
});
