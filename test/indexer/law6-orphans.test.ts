/**
 * Law 6 in tokens mode: an orphaned store is adopted where it is the tail of a prompt that was scored just before, and
 * where nothing speaks against it.
 */
import type { Indexer } from "kvblock";
import { describe, expect, it } from "vitest";
import { blocksOf, chain, frame, indexerOf, removed, stored } from "./frames.js";
import { type Mix, type Reached, runOrphanTraffic } from "./orphan-traffic.js";

const one = chain();
const prompt = [...one.tokens, 1];
/** The last two blocks of the prompt behind another beginning of the same length. */
const other = {
  ...one,
  tokens: [...one.tokens.slice(0, 64).map((id) => (id ^ 7) >>> 0), ...one.tokens.slice(64)],
  hashes: one.hashes.map((hash) => hash ^ 7n),
};
const otherPrompt = [...other.tokens, 1];
/** The prompt's first four blocks, and other text after them. */
const sibling = {
  ...one,
  tokens: [...one.tokens.slice(0, 64), ...one.tokens.slice(64).map((id) => (id ^ 9) >>> 0)],
  hashes: one.hashes.map((hash, block) => (block < 4 ? hash : hash ^ 9n)),
};
const elsewhere = {
  ...one,
  tokens: one.tokens.map((id) => (id ^ 3) >>> 0),
  hashes: one.hashes.map((hash) => hash ^ 3n),
};

/** An indexer that has joined late and knows the block size. */
async function lateJoiner(): Promise<{ indexer: Indexer; apply: (...events: unknown[]) => void }> {
  const { indexer } = await indexerOf({ hash: { mode: "tokens" } });
  let seq = 100;
  const apply = (...events: unknown[]): void => indexer.apply(frame(events, { seq: seq++ }));
  apply(stored(elsewhere, 0, 1));
  return { indexer, apply };
}

const parkedOf = (indexer: Indexer): number => indexer.pods()[0]!.parkedStores;

describe("an orphan that is the tail of a recent prompt", () => {
  it("is adopted, and implies what is before it", async () => {
    const { indexer, apply } = await lateJoiner();
    expect(blocksOf(indexer, prompt)).toBe(0);
    apply(stored(one, 4, 6));
    expect(indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")).toMatchObject({
      blocks: 6,
      implied: 4,
      complete: false,
    });
    expect(parkedOf(indexer)).toBe(0);
    expect(indexer.stats().skips).toEqual({});
  });

  it("tells what other prompts share with it, and no more", async () => {
    const { indexer, apply } = await lateJoiner();
    blocksOf(indexer, prompt);
    apply(stored(one, 4, 6));
    expect(blocksOf(indexer, [...sibling.tokens, 1])).toBe(4);
    expect(blocksOf(indexer, otherPrompt)).toBe(0);
    // A sibling's store has a known parent now.
    apply(stored(sibling, 4, 5));
    expect(blocksOf(indexer, [...sibling.tokens, 1])).toBe(5);
  });

  it("ends with its parent's removal", async () => {
    const { indexer, apply } = await lateJoiner();
    blocksOf(indexer, prompt);
    apply(stored(one, 4, 6));
    apply(removed([one.hashes[5]!, one.hashes[4]!]));
    expect(blocksOf(indexer, prompt)).toBe(4);
    apply(removed([one.hashes[3]!]));
    expect(blocksOf(indexer, prompt)).toBe(0);
  });

  it("is adopted with what was parked before it: a prompt computed in chunks", async () => {
    const { indexer, apply } = await lateJoiner();
    blocksOf(indexer, prompt);
    apply(stored(one, 2, 4));
    expect(parkedOf(indexer)).toBe(1);
    apply(stored(one, 4, 6));
    expect(blocksOf(indexer, prompt)).toBe(6);
    expect(parkedOf(indexer)).toBe(0);
  });

  it("proves nothing that was removed while it was parked", async () => {
    const { indexer, apply } = await lateJoiner();
    blocksOf(indexer, prompt);
    apply(stored(one, 2, 4), removed([one.hashes[3]!, one.hashes[2]!]), stored(one, 4, 6));
    expect(blocksOf(indexer, prompt)).toBe(6);
    apply(removed([one.hashes[5]!, one.hashes[4]!, one.hashes[3]!]));
    expect(blocksOf(indexer, prompt)).toBe(0);
  });

  it("is placed on its own publisher alone", async () => {
    const { indexer, apply } = await lateJoiner();
    indexer.apply(frame([stored(elsewhere, 0, 1)], { pod: "pod-b", seq: 9 }));
    blocksOf(indexer, prompt);
    apply(stored(one, 4, 6));
    expect(blocksOf(indexer, prompt, "pod-b")).toBe(0);
  });

  it("is adopted with its adapter, not for the same tokens without", async () => {
    const { indexer, apply } = await lateJoiner();
    const sql = { lora_id: 1, lora_name: "sql", extra_keys: [["sql"], ["sql"]] };
    blocksOf(indexer, prompt);
    apply(stored(one, 4, 6, sql));
    expect(parkedOf(indexer)).toBe(1);
    blocksOf(indexer, prompt, "pod-a", { loraName: "sql" });
    blocksOf(indexer, [...sibling.tokens, 1], "pod-a", { loraName: "sql" });
    apply(stored(sibling, 4, 6, sql));
    expect(blocksOf(indexer, prompt, "pod-a", { loraName: "sql" })).toBe(6);
    expect(blocksOf(indexer, prompt)).toBe(0);
  });
});

describe("an orphan stays parked", () => {
  it("where no such prompt was scored, or not to that end", async () => {
    const { indexer, apply } = await lateJoiner();
    apply(stored(one, 4, 6));
    blocksOf(indexer, prompt);
    apply(stored(sibling, 4, 6), stored(other, 3, 5));
    expect(parkedOf(indexer)).toBe(3);
    expect(blocksOf(indexer, prompt)).toBe(0);
  });

  it("where two recent prompts end alike behind different beginnings", async () => {
    const { indexer, apply } = await lateJoiner();
    blocksOf(indexer, prompt);
    blocksOf(indexer, otherPrompt);
    apply(stored(one, 4, 6));
    expect([blocksOf(indexer, prompt), blocksOf(indexer, otherPrompt)]).toEqual([0, 0]);
    expect(parkedOf(indexer)).toBe(1);
  });

  it("but for what is known of one of them: its parent has another handle", async () => {
    const { indexer, apply } = await lateJoiner();
    apply(stored(one, 0, 4));
    blocksOf(indexer, prompt);
    blocksOf(indexer, otherPrompt);
    apply(stored(other, 4, 6));
    expect([blocksOf(indexer, prompt), blocksOf(indexer, otherPrompt)]).toEqual([4, 6]);
  });

  it("where a document is the same and the prompt before it another that was not scored, once that is known", async () => {
    const { indexer, apply } = await lateJoiner();
    apply(stored(one, 0, 4));
    blocksOf(indexer, prompt);
    apply(stored(other, 4, 6));
    expect(blocksOf(indexer, prompt)).toBe(4);
    expect(parkedOf(indexer)).toBe(1);
  });

  it("where the engine has stored the same text under two handles, whoever sent it", async () => {
    const { indexer, apply } = await lateJoiner();
    blocksOf(indexer, [...elsewhere.tokens, 1]);
    apply(stored(one, 4, 6));
    blocksOf(indexer, otherPrompt);
    apply(stored(other, 4, 6));
    expect([blocksOf(indexer, prompt), blocksOf(indexer, otherPrompt)]).toEqual([0, 0]);
    expect(parkedOf(indexer)).toBe(2);
    // Its place among other text tells.
    blocksOf(indexer, [...sibling.tokens, 1]);
    apply(stored(sibling, 4, 6));
    expect(blocksOf(indexer, prompt)).toBe(6);
  });

  it("where the prompt's scoring has been made good already", async () => {
    const { indexer, apply } = await lateJoiner();
    indexer.apply(frame([stored(elsewhere, 0, 1)], { pod: "pod-b", seq: 9 }));
    blocksOf(indexer, prompt);
    indexer.apply(frame([stored(one, 0, 6)], { pod: "pod-b", seq: 10 }));
    apply(stored(other, 4, 6));
    expect(blocksOf(indexer, prompt)).toBe(0);
    expect(parkedOf(indexer)).toBe(1);
  });

  it("where the prompt was scored long ago", async () => {
    const { indexer, apply } = await lateJoiner();
    blocksOf(indexer, prompt);
    for (let n = 0; n < 256; n++) blocksOf(indexer, [...elsewhere.tokens, n]);
    for (let n = 0; n < 256; n++) blocksOf(indexer, [n, ...elsewhere.tokens]);
    apply(stored(one, 4, 6));
    expect(parkedOf(indexer)).toBe(1);
  });

  it("where a salt may be its first block's: the prompt's own, or any that the engine has stored", async () => {
    const { indexer, apply } = await lateJoiner();
    const salted = { cacheSalt: "tenant-a" };
    blocksOf(indexer, prompt, "pod-a", salted);
    apply(stored(one, 4, 6));
    expect(parkedOf(indexer)).toBe(1);
    const other = await lateJoiner();
    other.apply(stored(sibling, 0, 1, { extra_keys: [["tenant-b"]] }));
    blocksOf(other.indexer, prompt);
    other.apply(stored(one, 4, 6));
    expect(parkedOf(other.indexer)).toBe(1);
  });

  it("on wires that do not say extra keys", async () => {
    const { indexer } = await indexerOf({ hash: { mode: "tokens" } });
    const older = (from: number, to: number): unknown => {
      const event = stored(one, from, to);
      return [event["type"], event["block_hashes"], event["parent_block_hash"], event["token_ids"], 16, null];
    };
    indexer.apply(frame([older(0, 1)], { seq: 100 }));
    indexer.apply(frame([removed([one.hashes[0]!])], { seq: 101 }));
    blocksOf(indexer, prompt);
    indexer.apply(frame([older(4, 6)], { seq: 102 }));
    expect(blocksOf(indexer, prompt)).toBe(0);
    expect(parkedOf(indexer)).toBe(1);
  });

  it("on a publisher whose history is complete: its parent is late, not unheard of", async () => {
    const { indexer } = await indexerOf({ hash: { mode: "tokens" } });
    indexer.apply(frame([stored(elsewhere, 0, 1)], { seq: 0 }));
    blocksOf(indexer, prompt);
    indexer.apply(frame([stored(one, 4, 6)], { seq: 1 }));
    expect(blocksOf(indexer, prompt)).toBe(0);
  });
});

describe("an adoption that turns out wrong", () => {
  it("is taken back when a second handle is found for the parent, and goes to who leads", async () => {
    const { indexer, apply } = await lateJoiner();
    // The other prompt is another router's: its tail is taken for this one's.
    blocksOf(indexer, prompt);
    apply(stored(other, 4, 6));
    expect(blocksOf(indexer, prompt)).toBe(6);
    const siblingPrompt = [...sibling.tokens, 1];
    blocksOf(indexer, siblingPrompt);
    apply(stored(sibling, 4, 6));
    expect([blocksOf(indexer, prompt), blocksOf(indexer, siblingPrompt)]).toEqual([0, 0]);
    // Found once more, the right one leads by two.
    apply(stored(sibling, 4, 6));
    expect(blocksOf(indexer, siblingPrompt)).toBe(6);
  });

  it("takes every copy with it that was placed under the handle, in slower tiers too", async () => {
    const { indexer, apply } = await lateJoiner();
    blocksOf(indexer, prompt);
    apply(stored(other, 4, 6));
    const offloaded = { token_ids: [], block_size: 0, parent_block_hash: null, medium: "CPU" };
    apply(stored(other, 3, 4, offloaded), stored(other, 3, 4, offloaded));
    expect(blocksOf(indexer, prompt)).toBe(6);
    const siblingPrompt = [...sibling.tokens, 1];
    blocksOf(indexer, siblingPrompt);
    apply(stored(sibling, 4, 6));
    expect([blocksOf(indexer, prompt), blocksOf(indexer, siblingPrompt)]).toEqual([0, 0]);
    expect(indexer.pods()[0]!.blocks["cpu"]).toBe(0);
  });
});

describe("what is remembered of prompts", () => {
  it("is bounded, counted as memory, and given back", async () => {
    const { indexer, apply } = await lateJoiner();
    const used = (): number => indexer.stats().memory.usedBytes;
    const before = used();
    const tokens = Array.from({ length: 20_000 }, (_, i) => i);
    for (let n = 0; n < 40; n++) blocksOf(indexer, [n, ...tokens]);
    expect(used()).toBeGreaterThan(before + 4 * 2 ** 20);
    for (let n = 40; n < 100; n++) blocksOf(indexer, [n, ...tokens]);
    expect(used()).toBeLessThanOrEqual(before + 8 * 2 ** 20);
    apply({ type: "AllBlocksCleared" });
    blocksOf(indexer, prompt);
    expect(used()).toBeLessThanOrEqual(before);
  });

  it("is nothing where histories are complete, or keys are the engine's", async () => {
    for (const hash of [
      { mode: "tokens" } as const,
      { mode: "exact", algorithm: "sha256_cbor", seed: "0" } as const,
    ]) {
      const { indexer } = await indexerOf({ hash });
      indexer.apply(frame([stored(one, 0, 1)], { seq: hash.mode === "exact" ? 100 : 0 }));
      const before = indexer.stats().memory.usedBytes;
      blocksOf(indexer, prompt);
      expect(indexer.stats().memory.usedBytes).toBe(before);
    }
  });
});

describe("a router that joins model engines late, after one cache turnover", () => {
  const everything: Mix = { systems: 1, chats: 2, documents: 1, tenants: 1 };
  const cases: [name: string, mix: Mix, scored: number, seen: number][] = [
    ["system prompts", { systems: 1 }, 1, 0.99],
    ["chats", { chats: 1 }, 1, 0.95],
    ["documents under different system prompts", { documents: 1 }, 1, 0.98],
    ["documents, half of them another router's", { documents: 1 }, 0.5, 0.95],
    ["documents, most of them another router's", { documents: 1 }, 0.2, 0.8],
    ["tenants of equal prompts, which nothing tells apart", { tenants: 1 }, 1, 0],
    ["everything, salts among it", everything, 1, 0.7],
    ["everything, half of it another router's", everything, 0.5, 0.7],
    ["everything but salts", { systems: 1, chats: 2, documents: 1 }, 1, 0.95],
  ];
  it.each(cases)("%s: sees what is reusable, and claims little beyond it", async (_, mix, scored, seen) => {
    const sum: Reached = { reusable: 0, seen: 0, overClaimed: 0, requests: 0 };
    for (const seed of [1, 2]) {
      const { reached, indexer } = await runOrphanTraffic({ seed, mix, scored, requests: 200 });
      for (const key of Object.keys(sum) as (keyof Reached)[]) sum[key] += reached[key];
      await indexer.close();
    }
    expect(sum.seen / sum.reusable).toBeGreaterThanOrEqual(seen);
    expect(sum.overClaimed / sum.reusable).toBeLessThanOrEqual(0.002);
  });
});
