/** A chat's known prefix is not hashed again, and every score is what hashing the whole prompt gives. */
import type { Indexer } from "kvblock";
import { removedFrame, storedFrame } from "kvblock/testing";
import { afterEach, describe, expect, it, vi } from "vitest";
import { HashChain } from "../../src/hash/chain.js";
import { PlanHasher } from "../../src/hash-plan.js";
import { seeded } from "../support/random.js";
import { indexerOf } from "./frames.js";

const model = "base";
const hash = { mode: "exact", algorithm: "sha256_cbor", seed: "0" } as const;
const prompt = (tokens: number, first = 0): Uint32Array =>
  Uint32Array.from({ length: tokens }, (_, i) => first + i);

afterEach(() => vi.restoreAllMocks());

/** Blocks that the body hashes. */
function hashed(body: () => unknown): number {
  const spy = vi.spyOn(HashChain.prototype, "hashTokens");
  body();
  const counts = spy.mock.results.map(({ value }) => (value as Uint8Array).length / 32);
  spy.mockRestore();
  return counts.reduce((sum, count) => sum + count, 0);
}

const score = (indexer: Indexer, tokens: Uint32Array) => indexer.scoreTokens(tokens, { model });

describe("a chat's next turn", () => {
  it("hashes its new blocks, the first stretch and the last whole piece's rest", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(storedFrame({ pod: "pod", model, tokens: prompt(9600), blockSize: 16, seed: "0" }));
    expect(hashed(() => score(indexer, prompt(9601)))).toBe(600);
    expect(hashed(() => score(indexer, prompt(9601)))).toBe(8 + (600 - 568));
    expect(hashed(() => score(indexer, prompt(9761)))).toBe(8 + (610 - 568));
    expect(score(indexer, prompt(9761)).best?.blocks).toBe(600);
    expect(hashed(() => indexer.explain(prompt(9761), { model }))).toBeLessThan(3 * (8 + 42));
  });

  it("is not remembered where nobody holds it, nor by explanations", async () => {
    const { indexer } = await indexerOf({ hash });
    // A pod that was joined late: the walk goes on to the end, and finds nothing.
    indexer.apply(
      storedFrame({ pod: "pod", model, tokens: prompt(160, 7), blockSize: 16, seed: "0", seq: 9 }),
    );
    expect(hashed(() => score(indexer, prompt(9601)))).toBe(600);
    expect(hashed(() => score(indexer, prompt(9601)))).toBe(600);
    indexer.apply(
      storedFrame({ pod: "pod", model, tokens: prompt(9600), blockSize: 16, seed: "0", seq: 10 }),
    );
    indexer.explain(prompt(9601), { model });
    expect(hashed(() => score(indexer, prompt(9601)))).toBe(600);
  });

  it("takes none of the smallest memory limit, and a bounded part of any", async () => {
    for (const memoryLimitBytes of [2 ** 20, 2 ** 25]) {
      const { indexer } = await indexerOf({ hash, memoryLimitBytes });
      indexer.apply(storedFrame({ pod: "pod", model, tokens: prompt(9600), blockSize: 16, seed: "0" }));
      for (let turn = 0; turn < 3; turn++) score(indexer, prompt(9601));
      expect(hashed(() => score(indexer, prompt(9601)))).toBe(memoryLimitBytes === 2 ** 20 ? 600 : 40);
      expect(indexer.stats().memory.usedBytes).toBeLessThanOrEqual(memoryLimitBytes);
    }
  });
});

it("law 2: scores of growing chats are those of prompts hashed whole, while blocks come and go", async () => {
  const { indexer } = await indexerOf({ hash, clock: () => 0 });
  const hasher = await PlanHasher.load();
  const random = seeded(5);
  const upTo = (n: number): number => Math.floor(random() * (n + 1));
  const chats = Array.from({ length: 8 }, (_, chat) => prompt(1600, 5000 * (chat % 2)));
  const seqs = [0, 0, 0];
  let matched = 0;
  for (let turn = 0; turn < 300; turn++) {
    const chat = upTo(chats.length - 1);
    const tokens = Uint32Array.of(
      ...(chats[chat]!.length > 12_000 ? prompt(1600) : chats[chat]!),
      ...Array.from({ length: upTo(1500) }, () => upTo(3)),
    );
    chats[chat] = tokens;
    const salted = chat === 3;
    const request = { model, ...(salted ? { cacheSalt: "tenant" } : {}) };
    for (const asked of [tokens, tokens.subarray(0, upTo(tokens.length))]) {
      const plan = indexer.hashPlan(asked.length, request);
      const whole = { tokens: asked, request: plan.request, lists: hasher.hash(asked, plan) };
      const scores = [...indexer.scoreTokens(asked, request)];
      expect([...indexer.scoreKeys(whole, request)]).toEqual(scores);
      if (scores.some(({ blocks }) => blocks > 100)) matched++;
    }
    const pod = upTo(2);
    const blocks = Math.floor(tokens.length / 16);
    const extraKeys = salted ? [["tenant"], ...new Array<null>(blocks - 1).fill(null)] : undefined;
    const about = { pod: `pod-${pod}`, model, tokens, blockSize: 16, seed: "0", extraKeys };
    indexer.apply(storedFrame({ ...about, seq: seqs[pod]!++ }));
    if (random() < 0.3)
      indexer.apply(removedFrame({ ...about, seq: seqs[pod]!++, fromBlock: upTo(blocks - 1) }));
  }
  expect(matched).toBeGreaterThan(200);
});
