/** Frames that wait for a publisher's hashing: applied in the order of happening, gaps and losses included, in slices. */
import { encode } from "@msgpack/msgpack";
import { describe, expect, it, vi } from "vitest";
import { HashProber } from "../../src/identity.js";
import { blocksOf, chain, cleared, frame, indexerOf, removed, stored } from "./frames.js";

const one = chain();
const prompt = [...one.tokens, 1];
const child = (from: number, to: number) => stored(one, from, to);
const status = (indexer: Awaited<ReturnType<typeof indexerOf>>["indexer"]) => indexer.pods()[0]!;

describe("what was lost while frames were held", () => {
  it("a gap makes what was held before it suspect", async () => {
    const { indexer, codes } = await indexerOf();
    indexer.apply(frame([child(2, 4)], { seq: 0 }));
    indexer.apply(frame([child(4, 6)], { seq: 3 }));
    expect(status(indexer)).toMatchObject({ state: "catching-up", heldFrames: 2, gaps: 1 });
    indexer.apply(frame([stored(one, 0, 2)], { seq: 4 }));
    expect(status(indexer)).toMatchObject({ mode: "exact", state: "partial", complete: false });
    expect(indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")).toMatchObject({
      blocks: 6,
      // Of the two, one is the parent of what was stored after the gap.
      suspect: 1,
    });
    expect(codes()).toEqual(["sequence-gap"]);
  });

  it("a clearing that was held before a gap does not make up for it", async () => {
    const { indexer } = await indexerOf();
    indexer.apply(frame([cleared, child(2, 4)], { seq: 0 }));
    indexer.apply(frame([child(4, 6)], { seq: 3 }));
    indexer.apply(frame([stored(one, 0, 2)], { seq: 4 }));
    expect(status(indexer)).toMatchObject({ state: "partial", complete: false });
    expect(indexer.diagnose().map(({ code }) => code)).toEqual(["sequence-gap"]);
  });

  it("a clearing that was held after a gap does", async () => {
    const { indexer } = await indexerOf();
    indexer.apply(frame([child(2, 4)], { seq: 0 }));
    indexer.apply(frame([child(4, 6)], { seq: 3 }));
    indexer.apply(frame([cleared, stored(one, 0, 2)], { seq: 4 }));
    expect(status(indexer)).toMatchObject({ state: "live", complete: true });
    expect(blocksOf(indexer, prompt)).toBe(2);
    expect(indexer.diagnose()).toEqual([]);
  });

  it("nor does a clearing make up for a bad event behind it", async () => {
    const { indexer } = await indexerOf();
    indexer.apply(frame([cleared, child(2, 4), stored(one, 4, 6, { block_hashes: "none" })], { seq: 0 }));
    indexer.apply(frame([stored(one, 0, 2)], { seq: 1 }));
    expect(status(indexer)).toMatchObject({ state: "live", complete: false });
  });
});

describe("many held frames", () => {
  /** Children of parents never heard of, with plenty of tokens: nothing to tell the hashing by. */
  const strangers = (seq: number) => {
    const tokens = Array.from({ length: 16 * 256 }, (_, i) => 10_000 + i);
    const hashes = Array.from({ length: 256 }, (_, i) => BigInt(1000 * seq + i));
    return frame([stored({ hashes, tokens, blockSize: 16 }, 1)], { seq });
  };

  it("count towards the memory limit as long as they are held", async () => {
    const { indexer } = await indexerOf();
    const before = indexer.stats().memory.usedBytes;
    let bytes = 0;
    for (let seq = 0; seq < 20; seq++) {
      const held = strangers(seq);
      indexer.apply(held);
      bytes += held.payload.length;
    }
    const held = indexer.stats().memory.usedBytes - before;
    expect(held).toBeGreaterThan(bytes);
    // Beside the bytes, each announced key is kept.
    expect(held).toBeLessThan(bytes + 20 * (512 + 256 * 64));
    indexer.removePod("pod-a");
    expect(indexer.stats().memory.usedBytes).toBe(before);
  });

  it("are applied a slice at a time, and what comes meanwhile waits for its turn", async () => {
    const { indexer } = await indexerOf();
    indexer.apply(frame([stored(one, 1, 4)], { seq: 0 }));
    for (let seq = 1; seq <= 40; seq++) indexer.apply(strangers(seq));
    indexer.apply(frame([stored(one, 4, 6)], { seq: 41 }));
    // A prompt whose later blocks were announced: its keys settle the mode.
    expect(blocksOf(indexer, prompt)).toBeDefined();
    expect(status(indexer)).toMatchObject({ mode: "exact", state: "catching-up" });
    const { heldFrames } = status(indexer);
    expect(heldFrames).toBeGreaterThan(10);
    indexer.apply(frame([removed(one.hashes.slice(5)), stored(one, 0, 1)], { seq: 42 }));
    expect(status(indexer).heldFrames).toBeLessThan(heldFrames);
    await indexer.settled();
    expect(status(indexer)).toMatchObject({ state: "live", heldFrames: 0, complete: true });
    expect(indexer.stats().events).toMatchObject({ stored: 43, removed: 1 });
    expect(blocksOf(indexer, prompt)).toBe(5);
  });

  it("are given up with the pod", async () => {
    const { indexer } = await indexerOf();
    indexer.apply(frame([stored(one, 1, 4)], { seq: 0 }));
    for (let seq = 1; seq <= 40; seq++) indexer.apply(strangers(seq));
    blocksOf(indexer, prompt);
    indexer.removePod("pod-a");
    await indexer.settled();
    expect(indexer.pods()).toEqual([]);
    // The table keeps the size that the first slice gave it.
    const empty = (await indexerOf()).indexer.stats().memory.usedBytes;
    expect(indexer.stats().memory.usedBytes).toBeLessThan(empty + 65_536);
  });

  it("one frame with thousands of first blocks costs a few probes", async () => {
    const probe = vi.spyOn(HashProber.prototype, "probe");
    try {
      const { indexer } = await indexerOf();
      const roots = Array.from({ length: 5000 }, (_, i) =>
        stored({ ...one, hashes: [BigInt(i + 1) * 0x9e3779b97f4a7c1n] }, 0, 1, {
          extra_keys: [[`salt ${i}`]],
        }),
      );
      indexer.apply(frame(roots, { seq: 0 }));
      expect(probe).toHaveBeenCalledTimes(8);
      expect(status(indexer).mode).toBe("undecided");
    } finally {
      probe.mockRestore();
    }
  });

  it("keeps nothing of the caller's payload: the buffer may be used again", async () => {
    const { indexer } = await indexerOf();
    const first = frame([child(2, 4)], { seq: 0 });
    indexer.apply(first);
    first.payload.set(encode([0, [], 0]));
    first.payload.fill(0xc1, 16);
    indexer.apply(frame([stored(one, 0, 2)], { seq: 1 }));
    expect(blocksOf(indexer, prompt)).toBe(4);
  });
});
