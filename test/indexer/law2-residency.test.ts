/**
 * Law 2, where the events alone mislead: engines that announce blocks again when they reuse them, removals that say how
 * many copies are left, and tiers that store and never remove.
 */
import type { Indexer } from "kvblock";
import { describe, expect, it } from "vitest";
import type { CacheRequest } from "../../examples/engine/block-manager.js";
import { seeded } from "../support/random.js";
import { EngineLink, type LinkOptions } from "./engine-link.js";
import {
  blocksOf,
  chain,
  cleared,
  exact,
  type FrameOf,
  frame,
  indexerOf,
  removed,
  stored,
} from "./frames.js";

const hash = { mode: "exact", algorithm: "sha256_cbor", seed: "0" } as const;
const link = (options: LinkOptions = {}): Promise<EngineLink> => EngineLink.start({ seed: "0", ...options });

/** A conversation's turns share all that went before; there are more of them than the engine has room for. */
function conversations(seed: number, reportsReuse: boolean): () => CacheRequest {
  const random = seeded(seed);
  const upTo = (n: number): number => Math.floor(random() * (n + 1));
  return () => {
    const talk = upTo(30);
    const tokens = Array.from({ length: 5 + 4 * upTo(10) }, (_, i) => 1000 * talk + i);
    return { tokens, reportsReuse };
  };
}

/** Serve requests; gives by how many blocks the indexer claims too much and too little of what it does not call suspect. */
function serve(indexer: Indexer, engine: EngineLink, requests: number, next: () => CacheRequest) {
  let over = 0;
  let under = 0;
  let suspect = 0;
  for (let i = 0; i < requests; i++) {
    const request = next();
    const scores = indexer.scoreTokens(request.tokens, { model: engine.model });
    const predicted = scores.get(engine.pod);
    if (predicted !== undefined) {
      const surplus = predicted.blocks - engine.peek(request);
      over += Math.max(0, surplus - predicted.suspect);
      under += Math.max(0, -surplus);
      suspect += predicted.suspect;
    }
    engine.serve(request);
    const sent = engine.frame();
    if (sent !== undefined) indexer.apply(sent);
  }
  return { over, under, suspect };
}

describe("an engine that announces blocks again when it reuses them", () => {
  it.each(["exact", "tokens"])(
    "%s mode: is noticed, counted no more, and right from then on",
    async (mode) => {
      const { indexer, codes } = await indexerOf({ hash: mode === "exact" ? hash : { mode: "tokens" } });
      const engine = await link({ numBlocks: 100 });
      const next = conversations(1, true);
      let before = serve(indexer, engine, 20, next);
      for (let i = 0; i < 100 && !codes().includes("duplicates-switched"); i++) {
        const { over } = serve(indexer, engine, 20, next);
        before = { ...before, over: before.over + over };
      }
      expect(before.over).toBeGreaterThan(50);
      expect(indexer.diagnose().find(({ code }) => code === "duplicates-switched")).toMatchObject({
        pod: engine.pod,
        model: engine.model,
        severity: "warning",
        evidence: { learnedCapacity: expect.any(Number), countedCopies: expect.any(Number) },
      });
      // What was counted before is doubtful until the engine has turned its cache over.
      expect(serve(indexer, engine, 100, next)).toMatchObject({ over: 0 });
      serve(indexer, engine, 300, next);
      const after = serve(indexer, engine, 500, next);
      expect(after).toEqual({ over: 0, under: 0, suspect: 0 });
      expect(codes().filter((code) => code === "duplicates-switched")).toHaveLength(1);
    },
  );

  it("is found soon: before it has filled its cache four times", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    const engine = await link({ numBlocks: 3000 });
    const random = seeded(3);
    let computed = 0;
    // Each of many prompts is asked for twice: as many blocks are reused as computed.
    for (let talk = 0; !codes().includes("duplicates-switched") && computed < 6 * 3000; talk++) {
      const length = 5 + 4 * Math.floor(random() * 30);
      const tokens = Array.from({ length }, (_, i) => 1000 * talk + i);
      for (const _ of [1, 2]) {
        computed += Math.floor(length / 4) - engine.peek({ tokens });
        engine.serve({ tokens, reportsReuse: true });
        indexer.apply(engine.frame()!);
      }
    }
    expect(codes()).toContain("duplicates-switched");
    expect(computed).toBeLessThan(4 * 3000);
  });

  it("starts to be counted again as another process", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    const engine = await link({ numBlocks: 100 });
    const next = conversations(2, true);
    for (let i = 0; i < 100 && !codes().includes("duplicates-switched"); i++)
      serve(indexer, engine, 20, next);
    engine.restart();
    engine.serve(next());
    indexer.apply(engine.frame()!);
    expect(serve(indexer, engine, 300, conversations(3, false))).toEqual({ over: 0, under: 0, suspect: 0 });
    expect(indexer.diagnose().map(({ code }) => code)).toEqual(["engine-restarted"]);
    for (let i = 0; i < 100; i++) serve(indexer, engine, 20, next);
    expect(codes().filter((code) => code === "duplicates-switched")).toHaveLength(2);
  });

  it('is nothing to tell where duplicates is "set"', async () => {
    const { indexer, codes } = await indexerOf({ hash, models: { base: { duplicates: "set" } } });
    const engine = await link({ numBlocks: 100 });
    expect(serve(indexer, engine, 1500, conversations(4, true))).toEqual({ over: 0, under: 0, suspect: 0 });
    expect(codes()).toEqual([]);
  });
});

describe("real copies are counted on", () => {
  it("where one prompt of whole blocks fills the cache with copies of its last", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    const engine = await link({ numBlocks: 4000 });
    const tokens = Array.from({ length: 40 }, (_, i) => i);
    expect(serve(indexer, engine, 9000, () => ({ tokens }))).toEqual({ over: 0, under: 0, suspect: 0 });
    const longer = { tokens: [...tokens, 1, 2, 3] };
    expect(blocksOf(indexer, longer.tokens, engine.pod)).toBe(engine.peek(longer));
    expect(codes()).toEqual([]);
    expect(indexer.stats().duplicates).toBeGreaterThan(8000);
    expect(indexer.stats().saturated).toBe(0);
  });

  it("where prompts are computed anew, as for prompt logprobs", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    const engine = await link({ numBlocks: 1000 });
    const next = conversations(5, false);
    const anew = (): CacheRequest => ({ ...next(), readsPrefixCache: false });
    for (let i = 0; i < 10; i++) {
      serve(indexer, engine, 100, next);
      for (let j = 0; j < 200; j++) {
        engine.serve(anew());
        indexer.apply(engine.frame()!);
      }
    }
    expect(serve(indexer, engine, 200, next)).toEqual({ over: 0, under: 0, suspect: 0 });
    expect(codes()).toEqual([]);
  });

  it("where short prompts came first, whose last blocks have no hash", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    const engine = await link({ numBlocks: 6000 });
    let n = 0;
    // One full block and one that is not, each: half of the cache when the first is evicted.
    serve(indexer, engine, 7000, () => ({ tokens: [n++, 1, 2, 3, 4] }));
    const tokens = Array.from({ length: 40 }, (_, i) => i);
    expect(serve(indexer, engine, 8000, () => ({ tokens }))).toEqual({ over: 0, under: 0, suspect: 0 });
    expect(codes()).toEqual([]);
  });

  it("after clears and lost frames, however often", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    const engine = await link({ numBlocks: 1500 });
    const next = conversations(6, false);
    const aligned = (): CacheRequest => {
      const { tokens } = next();
      return { tokens: Array.from(tokens).slice(0, 4 * Math.floor(tokens.length / 4)) };
    };
    for (let i = 0; i < 10; i++) {
      serve(indexer, engine, 500, aligned);
      engine.cache.reset();
      serve(indexer, engine, 500, aligned);
      // Frames with nothing but removals are among those lost.
      for (let lost = 0; lost < 200; lost++) {
        engine.serve(aligned());
        engine.frame();
      }
    }
    expect(codes().filter((code) => code !== "sequence-gap")).toEqual([]);
  });

  it("where groups of another kind take most of the pool at first", async () => {
    const { indexer, codes } = await indexerOf({ hash: exact(chain()) });
    const feed = feedOf(indexer);
    const window = { group_idx: 1, kv_cache_spec_kind: "sliding_window" };
    // 6,000 blocks, of which 5,000 a window group's; the first that is evicted is of the full-attention group.
    feed(storedKeys(0, 1000), storedKeys(10_000, 15_000, window), removed([0n]));
    for (let i = 0; i < 5; i++) {
      feed(removed(keys(10_000 + 1000 * i, 11_000 + 1000 * i), { group_idx: 1 }));
      feed(storedKeys(1, 1000));
    }
    expect(codes()).toEqual([]);
    for (let i = 0; i < 9; i++) feed(storedKeys(1, 1000));
    expect(codes()).toEqual(["duplicates-switched"]);
  });
});

describe.each(["exact", "tokens"])("%s mode: a removal that says how many copies are left", (mode) => {
  const one = chain();
  const longer = [...one.tokens, 1];
  const options = { hash: mode === "exact" ? exact(one) : ({ mode: "tokens" } as const) };
  const last = one.hashes.at(-1)!;
  const left = (...counts: number[]): object => removed([last], { remaining_copy_counts: counts });

  it("ends the block when none is, whatever was counted", async () => {
    const { indexer } = await indexerOf(options);
    indexer.apply(frame([stored(one), stored(one), stored(one), left(0)]));
    expect(blocksOf(indexer, longer)).toBe(one.hashes.length - 1);
    expect(indexer.stats().evictions).toBe(1);
  });

  it("leaves it with just so many, whatever was counted", async () => {
    const { indexer } = await indexerOf(options);
    indexer.apply(frame([stored(one), left(2), removed([last])]));
    expect(blocksOf(indexer, longer)).toBe(one.hashes.length);
    indexer.apply(frame([removed([last])], { seq: 1 }));
    expect(blocksOf(indexer, longer)).toBe(one.hashes.length - 1);
  });

  it("block by block, also in a frame that is applied in slices", async () => {
    const { indexer } = await indexerOf(options);
    const others = keys(1000, 9000);
    const block_hashes = [...others, ...one.hashes];
    const remaining_copy_counts = block_hashes.map((_, i) => (i < 8003 ? 1 : 0));
    await indexer.applyAll([
      frame([stored(one), stored(one)]),
      frame([removed(block_hashes, { remaining_copy_counts })], { seq: 1 }),
    ]);
    expect(blocksOf(indexer, longer)).toBe(3);
  });

  it("keeps the engine from being taken for one that announces blocks again", async () => {
    const { indexer, codes } = await indexerOf({ ...options, models: {} });
    indexer.apply(frame([stored(one), left(0)]));
    for (let seq = 1; seq < 1000; seq++) indexer.apply(frame([stored(one)], { seq }));
    expect(codes()).toEqual([]);
    indexer.apply(frame([removed(one.hashes, { remaining_copy_counts: [0, 0, 0, 0, 0, 0] })], { seq: 1000 }));
    expect(blocksOf(indexer, longer)).toBe(0);
  });

  it("says of a block that is suspect, or was never announced, that it is there", async () => {
    const { indexer } = await indexerOf(options);
    indexer.apply(frame([stored(one)]));
    indexer.apply(frame([removed(one.hashes, { remaining_copy_counts: [1, 1, 1, 1, 1, 1] })], { seq: 5 }));
    const score = indexer.scoreTokens(longer, { model: "base" }).get("pod-a");
    expect(score).toMatchObject({ blocks: 6, suspect: 0, state: "partial" });
    if (mode !== "exact") return;
    const late = await indexerOf(options);
    const most = removed(one.hashes, { remaining_copy_counts: [1, 1, 1, 1, 0, 1] });
    late.indexer.apply(frame([storedKeys(0, 1), most], { seq: 5 }));
    expect(blocksOf(late.indexer, longer)).toBe(4);
  });
});

/** Hashes of blocks that are nobody's prompt. */
function keys(from: number, to: number): bigint[] {
  return Array.from({ length: to - from }, (_, i) => BigInt(from + i));
}

function storedKeys(from: number, to: number, overrides: Record<string, unknown> = {}): object {
  return {
    type: "BlockStored",
    block_hashes: keys(from, to),
    parent_block_hash: 2n ** 60n,
    token_ids: new Array<number>(16 * (to - from)).fill(1),
    block_size: 16,
    lora_id: null,
    medium: "GPU",
    lora_name: null,
    group_idx: 0,
    ...overrides,
  };
}

/** Frames of one pod, numbered. */
function feedOf(indexer: Indexer, of: FrameOf = {}): (...events: object[]) => void {
  let seq = 0;
  return (...events) => indexer.apply(frame(events, { ...of, seq: seq++ }));
}

describe("a tier that stores and never removes (LMCache#5076)", () => {
  const one = chain();
  const longer = [...one.tokens, 1];
  const ALL = one.hashes.length;

  /** An engine of 500 blocks that offloads all it computes: so many blocks have gone through it. */
  function churn(feed: (...events: object[]) => void, medium: string, from: number, to: number): void {
    for (let at = from; at < to; at += 100) {
      feed(storedKeys(at, at + 100), storedKeys(at, at + 100, { medium }));
      if (at >= 400) feed(removed(keys(at - 400, at - 300), { group_idx: 0 }));
    }
  }

  async function offloading(medium = "CPU") {
    const { indexer, codes } = await indexerOf({ hash: exact(one) });
    const feed = feedOf(indexer);
    feed(stored(one, 0, ALL, { medium, group_idx: 0 }));
    feed(stored(one, 0, 2, { group_idx: 0 }));
    return {
      indexer,
      codes,
      feed,
      score: () => indexer.scoreTokens(longer, { model: "base" }).get("pod-a")!,
    };
  }

  it("counts for nothing once it has stored far more than it can hold, and says so", async () => {
    const { indexer, codes, feed, score } = await offloading();
    churn(feed, "CPU", 1000, 1000 + 10 * 400);
    expect(score()).toMatchObject({ blocks: ALL, byTier: { gpu: 2, cpu: ALL - 2 } });
    expect(codes()).toEqual([]);
    churn(feed, "CPU", 5000, 5000 + 12 * 400);
    expect(score()).toMatchObject({ blocks: 2, byTier: { gpu: 2 } });
    expect(codes()).toEqual(["tier-never-removes"]);
    expect(indexer.diagnose()[0]).toMatchObject({
      pod: "pod-a",
      severity: "warning",
      message: expect.stringContaining("cpu"),
      evidence: { tiers: ["cpu"], storedBlocks: expect.any(Number), learnedCapacity: expect.any(Number) },
    });
    expect(indexer.explain(longer, { model: "base" }).pods[0]!.end).toEqual({
      reason: "tier-doubted",
      block: 2,
      tier: "cpu",
    });
    // What it stores from now on does not count either, and what other pods store there does.
    feed(stored(one, 2, ALL, { medium: "CPU", group_idx: 0 }));
    feedOf(indexer, { pod: "pod-b" })(stored(one, 0, ALL, { medium: "CPU" }));
    expect([blocksOf(indexer, longer), blocksOf(indexer, longer, "pod-b")]).toEqual([2, ALL]);
    // In whichever group.
    feed(stored(one, 2, ALL, { medium: "CPU", group_idx: 1 }));
    expect(blocksOf(indexer, longer)).toBe(2);
  });

  it("counts again from its first removal on, and is not doubted any more", async () => {
    const { indexer, codes, feed, score } = await offloading();
    churn(feed, "CPU", 1000, 10_000);
    expect(score().blocks).toBe(2);
    feed(removed(keys(1000, 1001), { medium: "CPU", group_idx: 0 }));
    expect(score()).toMatchObject({ blocks: ALL, byTier: { gpu: 2, cpu: ALL - 2 } });
    expect(indexer.diagnose()).toEqual([]);
    churn(feed, "CPU", 10_000, 30_000);
    expect(score().blocks).toBe(ALL);
    expect(codes()).toEqual(["tier-never-removes"]);
  });

  it("is not found where it removes now and then", async () => {
    const { codes, feed, score } = await offloading();
    feed(removed(keys(50, 51), { medium: "CPU", group_idx: 0 }));
    churn(feed, "CPU", 1000, 20_000);
    expect(score().blocks).toBe(ALL);
    expect(codes()).toEqual([]);
  });

  it("is believed for longer where it is a disk or a store", async () => {
    const { codes, feed, score } = await offloading("STORAGE");
    churn(feed, "STORAGE", 1000, 1000 + 100 * 400);
    expect(score().blocks).toBe(ALL);
    expect(codes()).toEqual([]);
    churn(feed, "STORAGE", 50_000, 50_000 + 240 * 400);
    expect(score().blocks).toBe(2);
    expect(codes()).toEqual(["tier-never-removes"]);
  });

  it("is not judged before the engine itself was seen to evict: how much that holds is not known", async () => {
    const { codes, feed, score } = await offloading();
    for (let at = 1000; at < 20_000; at += 100)
      feed(storedKeys(at, at + 100), storedKeys(at, at + 100, { medium: "CPU" }));
    expect(score().blocks).toBe(ALL);
    expect(codes()).toEqual([]);
  });

  it("ends with the process, and not with a clear of the engine's tier", async () => {
    const { indexer, feed, score } = await offloading();
    churn(feed, "CPU", 1000, 10_000);
    feed(cleared);
    expect(score().blocks).toBe(0);
    indexer.apply(frame([stored(one, 0, ALL, { medium: "CPU" })], { seq: 0, ts: 9e6 }));
    expect(score().blocks).toBe(ALL);
    expect(indexer.diagnose().map(({ code }) => code)).toEqual(["engine-restarted"]);
  });
});

describe("storage that several pods share", () => {
  it.each(["REMOTE", "STORAGE", "OBJ", "EXTERNAL"])(
    "%s counts for the pod that announced it",
    async (medium) => {
      const one = chain();
      const { indexer } = await indexerOf({ hash: exact(one) });
      indexer.apply(frame([stored(one, 0, 2)], { pod: "pod-b" }));
      indexer.apply(frame([stored(one, 0, 6, { medium, locality: "REMOTE" })], { pod: "pod-a" }));
      const scores = indexer.scoreTokens([...one.tokens, 1], { model: "base" });
      expect(scores.get("pod-a")).toMatchObject({ blocks: 6, byTier: { storage: 6 } });
      expect(scores.get("pod-b")).toMatchObject({ blocks: 2, byTier: { gpu: 2 } });
      indexer.apply(frame([removed(one.hashes, { medium })], { pod: "pod-b", seq: 1 }));
      expect(blocksOf(indexer, [...one.tokens, 1], "pod-a")).toBe(6);
    },
  );
});
