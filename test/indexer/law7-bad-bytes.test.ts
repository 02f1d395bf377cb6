/** Law 7: bad bytes cost an event, never a batch or a stream; what was lost makes history incomplete. */
import { encode } from "@msgpack/msgpack";
import type { KvFrame } from "kvblock";
import { describe, expect, it } from "vitest";
import { seeded } from "../support/random.js";
import { blocksOf, chain, cleared, exact, frame, indexerOf, removed, stored } from "./frames.js";

const one = chain();
const prompt = [...one.tokens, 1];
const hash = exact(one);

const raw = (payload: Uint8Array, seq: number | bigint): KvFrame => ({ ...frame([], { seq }), payload });

describe("bad events", () => {
  it("a bad event's neighbours are applied, and history is incomplete from then on", async () => {
    const { indexer, told } = await indexerOf({ hash });
    const bad = stored(one, 2, 4, { block_hashes: "none" });
    indexer.apply(frame([stored(one, 0, 2), bad, stored(one, 4, 6), removed(["x"] as never)]));
    expect(blocksOf(indexer, prompt)).toBe(6); // blocks 2 and 3 are implied by their child
    expect(indexer.pods()[0]).toMatchObject({
      complete: false,
      state: "partial", // one of them would have removed blocks
      blocks: { gpu: expect.any(Number) },
    });
    expect(indexer.stats()).toMatchObject({
      events: { stored: 2, removed: 0 },
      skips: { "bad-field": 1, "bad-hash": 1 },
    });
    expect(told).toMatchObject([{ code: "events-skipped", severity: "warning", pod: "pod-a", count: 1 }]);
  });

  it.each([
    ["behind a clearing leaves history incomplete", [cleared, stored(one, 0, 2)], true, false],
    ["before a clearing was made up for by it", [cleared], false, true],
  ])("a bad event %s", async (_where, events, badLast, complete) => {
    const { indexer } = await indexerOf({ hash });
    const bad = stored(one, 2, 4, { block_hashes: "none" });
    indexer.apply(frame(badLast ? [...events, bad] : [bad, ...events]));
    expect(indexer.pods()[0]).toMatchObject({ complete });
  });

  it("a batch broken off behind a clearing leaves history incomplete", async () => {
    const { indexer } = await indexerOf({ hash });
    const { payload } = frame([cleared, stored(one, 0, 3)], { seq: 0, rank: null });
    indexer.apply(raw(payload.slice(0, -40), 0));
    expect(indexer.pods()[0]).toMatchObject({ complete: false });
    expect(indexer.stats().events.cleared).toBe(1);
  });

  it("a store that cannot be read makes nothing else suspect", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 0, 2), stored(one, 2, 4, { block_hashes: "none" })]));
    expect(indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")).toMatchObject({
      blocks: 2,
      suspect: 0,
      state: "live",
      complete: false,
    });
  });

  it("an unknown event type is passed over without harm", async () => {
    const { indexer, told } = await indexerOf({ hash });
    indexer.apply(frame([{ type: "BlockInactive", block_hashes: [1] }, stored(one)]));
    expect(indexer.pods()[0]).toMatchObject({ complete: true });
    expect(told).toMatchObject([{ code: "events-skipped", severity: "info" }]);
    expect(blocksOf(indexer, prompt)).toBe(6);
  });

  it("arrays and maps in one batch, as SGLang mixed them, are all applied", async () => {
    const { indexer } = await indexerOf({ hash });
    const { hashes, tokens } = one;
    const array = [
      "BlockStored",
      hashes.slice(0, 2),
      null,
      tokens.slice(0, 32),
      16,
      null,
      "GPU",
      null,
      [null, null],
    ];
    indexer.apply(frame([array, stored(one, 2, 6), ["BlockRemoved", [hashes[5]], "GPU"], ["Unheard", 1]]));
    expect(blocksOf(indexer, prompt)).toBe(5);
  });

  it("a batch broken off in the middle gives what stands before the break", async () => {
    const { indexer, told } = await indexerOf({ hash });
    const { payload } = frame([stored(one, 0, 3), stored(one, 3, 6)]);
    indexer.apply(raw(payload.slice(0, payload.length - 40), 0));
    expect(blocksOf(indexer, prompt)).toBe(3);
    expect(indexer.pods()[0]).toMatchObject({ complete: false });
    expect(told.map(({ code }) => code)).toEqual(["events-skipped"]);
  });
});

describe("bad frames", () => {
  it("a frame that is no batch is the gap that it leaves", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 0, 3)], { seq: 0 }));
    indexer.apply(raw(Uint8Array.of(0xc1), 1));
    expect(indexer.pods()[0]).toMatchObject({ complete: false });
    indexer.apply(frame([stored(one, 3, 6)], { seq: 2 }));
    expect(indexer.pods()[0]).toMatchObject({ state: "partial", lostFrames: 1, restarts: 0 });
    expect(blocksOf(indexer, prompt)).toBe(6);
    expect(codes()).toEqual(["events-skipped", "sequence-gap"]);
  });

  it.each([999_999n, 2n ** 64n - 1n])(
    "garbage numbered %s does not make the stream's next frame an old one",
    async (seq) => {
      const { indexer } = await indexerOf({ hash });
      indexer.apply(frame([stored(one, 0, 3)], { seq: 0 }));
      indexer.apply(raw(encode("hello"), seq));
      indexer.apply(frame([stored(one, 3, 6)], { seq: 1 }));
      expect(blocksOf(indexer, prompt)).toBe(6);
      expect(indexer.pods()[0]).toMatchObject({ restarts: 0, gaps: 0, lateFrames: 0, lastSeq: "1" });
    },
  );

  it("a broken batch of a pod with several ranks is nobody's: no rank's sequence moves", async () => {
    const { indexer } = await indexerOf({ hash });
    for (const rank of [0, 1]) indexer.apply(frame([stored(one)], { rank }));
    const { payload } = frame([stored(one)], { rank: 1, seq: 1 });
    indexer.apply(raw(payload.slice(0, 60), 1));
    for (const rank of [0, 1]) indexer.apply(frame([stored(one, 0, 1)], { rank, seq: rank === 1 ? 2 : 1 }));
    expect(indexer.pods().map(({ dataParallelRank, gaps }) => [dataParallelRank, gaps])).toEqual([
      [0, 0],
      [1, 1],
    ]);
  });

  it("a frame over maxFrameBytes is skipped and told", async () => {
    const { indexer, told } = await indexerOf({ hash, maxFrameBytes: 1024 });
    indexer.apply(frame([stored({ ...one, tokens: one.tokens.map(() => 70_000) })], { seq: 0 }));
    indexer.apply(raw(new Uint8Array(1025), 1));
    expect(indexer.stats()).toMatchObject({ frames: 2, skips: { "frame-too-large": 1 } });
    expect(told.at(-1)).toMatchObject({ code: "frame-rejected", evidence: { bytes: 1025 } });
  });

  it("hundreds of thousands of events in one frame are taken while the hashing is not settled", async () => {
    const { indexer } = await indexerOf();
    indexer.apply(frame(new Array(300_000).fill(cleared)));
    indexer.apply(frame([stored(one)], { seq: 1 }));
    indexer.apply(frame(new Array(300_000).fill(cleared), { seq: 2 }));
    expect(indexer.stats().frames).toBe(3);
  });

  it("no mutation of a payload makes apply or a lookup throw", async () => {
    const random = seeded(7);
    for (const mode of ["auto", "tokens"] as const) {
      const { indexer } = await indexerOf({ hash: { mode }, memoryLimitBytes: 2 ** 20, onDiagnostic: null });
      const batches = [[stored(one)], [stored(one, 0, 3), removed(one.hashes)], [stored(one, 3, 6), cleared]];
      for (let seq = 0; seq < 3000; seq++) {
        const { payload } = frame(batches[seq % 3]!, { seq });
        const bytes = Uint8Array.from(payload);
        for (let n = 1 + Math.floor(random() * 4); n > 0; n--)
          bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
        indexer.apply(raw(bytes, seq));
        if (seq % 50 === 0) indexer.scoreTokens(prompt, { model: "base" });
      }
      expect(Object.keys(indexer.stats().skips).length).toBeGreaterThan(2);
      expect(indexer.stats().memory.usedBytes).toBeLessThanOrEqual(2 ** 20);
    }
  });
});

describe("media with names of their own", () => {
  it.each(["constructor", "__proto__", "toString", "NVMe"])(
    "a tier called %s scores as any other slow tier",
    async (medium) => {
      const { indexer } = await indexerOf({ hash });
      indexer.apply(frame([stored(one, 0, 6, { medium: "GPU" }), stored(one, 0, 2, { medium })]));
      indexer.apply(frame([removed(one.hashes)], { seq: 1 }));
      const score = indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")!;
      expect(score).toMatchObject({ blocks: 2, score: 1 });
      expect(Object.entries(score.byTier)).toEqual([[medium.toLowerCase(), 2]]);
      expect(JSON.parse(JSON.stringify(indexer.pods()))[0].blocks).toEqual(
        JSON.parse(`{"gpu":0,"${medium.toLowerCase()}":2}`),
      );
    },
  );
});
