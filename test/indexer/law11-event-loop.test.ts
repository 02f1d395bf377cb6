/** Law 11: the event loop belongs to the host: ingest works in slices. */
import type { KvFrame } from "kvblock";
import { describe, expect, it } from "vitest";
import { frame, indexerOf } from "./frames.js";

const BLOCKS = 50;
const FRAMES = 2000;

/** 10^5 blocks in all, each frame 50 of them. */
function* frames(): Generator<KvFrame> {
  for (let seq = 0; seq < FRAMES; seq++) {
    const block_hashes = Array.from({ length: BLOCKS }, (_, i) => BigInt(seq * BLOCKS + i + 1) << 20n);
    const token_ids = Array.from({ length: BLOCKS }, (_, i) => seq * BLOCKS + i);
    const event = { type: "BlockStored", block_hashes, parent_block_hash: null, token_ids, block_size: 1 };
    yield frame([{ ...event, lora_id: null, medium: "GPU", lora_name: null }], { seq });
  }
}

/** Counts the turns that timers get, and the longest wait between two. */
function watchTimers(): { stop: () => { turns: number } } {
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  return {
    stop: () => {
      clearInterval(timer);
      return { turns };
    },
  };
}

const all = Array.from(frames());

describe("ingest", () => {
  it.each(["an array", "an always ready async source"])("applyAll of %s lets timers fire", async (kind) => {
    const { indexer } = await indexerOf({ hash: { mode: "tokens" } });
    async function* ready(): AsyncGenerator<KvFrame> {
      yield* all;
    }
    const watch = watchTimers();
    await indexer.applyAll(kind === "an array" ? all : ready());
    expect(watch.stop().turns).toBeGreaterThan(3);
    expect(indexer.stats()).toMatchObject({ frames: FRAMES, blocks: FRAMES * BLOCKS });
  });

  it("a subscription to an always ready source lets timers fire, and settled() waits for it", async () => {
    const { indexer } = await indexerOf({ hash: { mode: "tokens" } });
    async function* ready(): AsyncGenerator<KvFrame> {
      yield* all;
    }
    const watch = watchTimers();
    const subscription = await indexer.subscribe({ source: ready() });
    await indexer.settled();
    await subscription.ended;
    expect(watch.stop().turns).toBeGreaterThan(3);
    expect(indexer.stats().frames).toBe(FRAMES);
  });

  it("one frame's effect is visible to the next lookup, without waiting", async () => {
    const { indexer } = await indexerOf({ hash: { mode: "tokens" } });
    for (const one of all.slice(0, 10)) {
      const before = indexer.stats().blocks;
      indexer.apply(one);
      expect(indexer.stats().blocks).toBe(before + BLOCKS);
    }
  });

  it("a lookup stays short while many pods catch up: evidence is looked for a little at a time", async () => {
    const { indexer } = await indexerOf();
    // Late joined pods of random seeds, whose stores all have parents: nothing settles them.
    const tokens = Array.from({ length: 64 }, (_, i) => i);
    for (let pod = 0; pod < 40; pod++)
      for (let seq = 0; seq < 25; seq++) {
        const block_hashes = Array.from({ length: 4 }, (_, i) => BigInt(pod * 1000 + seq * 4 + i + 1) << 33n);
        const event = { type: "BlockStored", block_hashes, parent_block_hash: 99n << 40n, token_ids: tokens };
        indexer.apply(
          frame([{ ...event, block_size: 16, lora_id: null, medium: "GPU" }], {
            pod: `pod-${pod}`,
            seq: 100 + seq,
          }),
        );
      }
    const prompt = Array.from({ length: 4000 }, (_, i) => i % 1000);
    const times = Array.from({ length: 60 }, () => {
      const start = performance.now();
      indexer.scoreTokens(prompt, { model: "base" });
      return performance.now() - start;
    }).sort((a, b) => a - b);
    expect(indexer.pods().every(({ state }) => state === "catching-up")).toBe(true);
    expect(times[30]).toBeLessThan(20);
  });
});
