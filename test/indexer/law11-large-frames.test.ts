/** Law 11: a large frame is decoded and applied in slices, to the same end as in one go. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { encode } from "@msgpack/msgpack";
import type { KvFrame } from "kvblock";
import { describe, expect, it } from "vitest";
import { blocksOf, chain, exact, frame, indexerOf, removed, stored } from "./frames.js";

const one = chain();
const prompt = [...one.tokens, 1];
const tokens = { mode: "tokens" } as const;

/** Blocks of one token each, so that there are many. */
const blocks = (from: number, count: number, parent: bigint | null): Record<string, unknown> => ({
  type: "BlockStored",
  block_hashes: Array.from({ length: count }, (_, i) => BigInt(from + i + 1) << 20n),
  parent_block_hash: parent,
  token_ids: Array.from({ length: count }, (_, i) => from + i),
  block_size: 1,
  lora_id: null,
  medium: "GPU",
  lora_name: null,
});
const LARGEST_BLOCKS = 1_190_000;
/** One event that fills a frame: hashes of 9 bytes, tokens of 5, one to a block. */
function largest(): KvFrame {
  const hashes = Buffer.alloc(5 + 9 * LARGEST_BLOCKS);
  const ids = Buffer.alloc(5 + 5 * LARGEST_BLOCKS);
  for (const list of [hashes, ids]) {
    list[0] = 0xdd;
    list.writeUInt32BE(LARGEST_BLOCKS, 1);
  }
  for (let i = 0; i < LARGEST_BLOCKS; i++) {
    hashes[5 + 9 * i] = 0xcf;
    hashes.writeUInt32BE(Math.imul(i + 1, 0x9e3779b1) >>> 0, 6 + 9 * i);
    hashes.writeUInt32BE(i + 1, 10 + 9 * i);
    ids[5 + 5 * i] = 0xce;
    ids.writeUInt32BE(i, 6 + 5 * i);
  }
  const part = (value: unknown): Uint8Array => encode(value);
  const event = [
    Buffer.of(0x97),
    part("BlockStored"),
    hashes,
    part(null),
    ids,
    part(1),
    part(null),
    part("GPU"),
  ];
  const payload = Buffer.concat([Buffer.of(0x93), part(1.5), Buffer.of(0x91), ...event, part(0)]);
  return { topic: "kv@pod-a@base", seq: 0n, payload: new Uint8Array(payload), receivedAt: 0 };
}
const handle = (block: number): bigint => BigInt(block + 1) << 20n;

/** Turns of the event loop until the promise settles. */
async function turnsOf(promise: Promise<unknown>): Promise<number> {
  let turns = 0;
  let settled = false;
  const done = promise.finally(() => {
    settled = true;
  });
  while (!settled) {
    await nextTurn();
    turns++;
  }
  await done;
  return turns;
}

const many = (events: number, each = 100): KvFrame =>
  frame(
    Array.from({ length: events }, (_, i) => blocks(i * each, each, i === 0 ? null : handle(i * each - 1))),
  );

describe("a large frame", () => {
  it.each([
    ["many events", many(600)],
    ["one event with 60,000 blocks", frame([blocks(0, 60_000, null)])],
  ])("of %s comes to the same in slices as in one go", async (_kind, large) => {
    const whole = await indexerOf({ hash: tokens });
    whole.indexer.apply(large);
    const sliced = await indexerOf({ hash: tokens });
    // About 500 blocks a stretch, and up to three stretches a slice.
    expect(await turnsOf(sliced.indexer.applyAll([large]))).toBeGreaterThan(12);
    const all = Array.from({ length: 60_001 }, (_, i) => i);
    for (const { indexer, codes } of [whole, sliced]) {
      expect(blocksOf(indexer, all)).toBe(60_000);
      expect(indexer.pods()[0]).toMatchObject({ state: "live", complete: true, heldFrames: 0 });
      expect(codes()).toEqual([]);
    }
    expect(sliced.indexer.stats().events).toEqual(whole.indexer.stats().events);
  });

  it.each([
    ["exact", exact(one)],
    ["tokens", tokens],
    ["auto", { mode: "auto" } as const],
  ] as const)("of 16 MiB in one event changes few blocks in any turn: %s mode", async (mode, hash) => {
    const { indexer } = await indexerOf({ hash });
    const long = largest();
    expect(long.payload.length).toBeGreaterThan(15 * 2 ** 20);
    let settled = false;
    const run = indexer.applyAll([long]).then(() => {
      settled = true;
    });
    let most = 0;
    for (let before = 0; !settled; ) {
      await nextTurn();
      const { admissions } = indexer.stats();
      most = Math.max(most, admissions - before);
      before = admissions;
    }
    await run;
    expect(indexer.stats().admissions).toBe(LARGEST_BLOCKS);
    // Three stretches of five hundred blocks.
    expect(most).toBeLessThanOrEqual(1600);
    expect(indexer.pods()[0]).toMatchObject({ mode: mode === "auto" ? "tokens" : mode, complete: true });
  });

  it("of many below the size that is decoded at once pauses amid a frame, and comes to the same", async () => {
    // 200 frames of 2 ms: slices end within them, and each is decoded into room that those behind it use too.
    const each = 2500;
    const all = Array.from({ length: 200 }, (_, i) =>
      frame([blocks(i * each, each, i === 0 ? null : handle(i * each - 1))], { seq: i }),
    );
    expect(Math.max(...all.map(({ payload }) => payload.length))).toBeLessThan(64 * 1024);
    const whole = await indexerOf({ hash: tokens });
    for (const one of all) whole.indexer.apply(one);
    const sliced = await indexerOf({ hash: tokens });
    let amid = 0;
    let settled = false;
    const run = sliced.indexer.applyAll(all).then(() => {
      settled = true;
    });
    while (!settled) {
      await nextTurn();
      if (sliced.indexer.stats().admissions % each > 0) amid++;
    }
    await run;
    expect(amid).toBeGreaterThan(3);
    for (const { indexer, codes } of [whole, sliced]) {
      expect(
        blocksOf(
          indexer,
          Array.from({ length: 200 * each + 1 }, (_, i) => i),
        ),
      ).toBe(200 * each);
      expect(codes()).toEqual([]);
    }
    expect(sliced.indexer.stats().longestSliceMs).toBeGreaterThan(0);
    expect(whole.indexer.stats().longestSliceMs).toBe(0);
  });

  it("with one long removal is applied in slices", async () => {
    const { indexer } = await indexerOf({ hash: tokens });
    indexer.apply(frame([blocks(0, 60_000, null)], { seq: 0 }));
    const handles = Array.from({ length: 59_990 }, (_, i) => handle(59_999 - i));
    expect(await turnsOf(indexer.applyAll([frame([removed(handles)], { seq: 1 })]))).toBeGreaterThan(12);
    expect(indexer.stats()).toMatchObject({ evictions: 59_990, events: { removed: 1 } });
    expect(
      blocksOf(
        indexer,
        Array.from({ length: 61 }, (_, i) => i),
      ),
    ).toBe(10);
  });

  it("whose hashing has to be found first is held, and then applied in slices", async () => {
    const { indexer } = await indexerOf();
    const children = Array.from({ length: 300 }, (_, i) => blocks(100 + i * 100, 100, handle(i * 100 + 99)));
    const known = stored(one, 0, 6);
    expect(await turnsOf(indexer.applyAll([frame([...children, known])]))).toBeGreaterThan(5);
    expect(indexer.pods()[0]).toMatchObject({ mode: "exact", state: "live", heldFrames: 0 });
    expect(indexer.stats().events.stored).toBe(301);
  });

  it("lets nothing of its publisher overtake it, whichever way it comes", async () => {
    const { indexer } = await indexerOf({ hash: tokens });
    const run = indexer.applyAll([many(600)]);
    while (indexer.pods()[0] === undefined) await nextTurn();
    expect(indexer.pods()[0]).toMatchObject({ state: "catching-up" });
    indexer.apply(frame([removed([handle(50_000)])], { seq: 1 }));
    expect(indexer.stats().events.removed).toBe(0);
    await run;
    await indexer.settled();
    expect(indexer.stats()).toMatchObject({ evictions: 1, events: { removed: 1 } });
    expect(indexer.pods()[0]).toMatchObject({ state: "live", complete: true });
  });

  it("holds no other publisher up, and is given up with its pod", async () => {
    const { indexer } = await indexerOf({ hash: tokens });
    const run = indexer.applyAll([many(600)]);
    while (indexer.pods()[0] === undefined) await nextTurn();
    indexer.apply(frame([stored(one)], { pod: "pod-b" }));
    expect(blocksOf(indexer, prompt, "pod-b")).toBe(6);
    expect(indexer.removePod("pod-a")).toBe(true);
    await run;
    expect(indexer.pods().map(({ pod }) => pod)).toEqual(["pod-b"]);
    expect(indexer.stats().events.stored).toBeLessThan(300);
  });

  it("is applied whole by settled()", async () => {
    const { indexer } = await indexerOf({ hash: tokens });
    void indexer.applyAll([many(600)]);
    await indexer.settled();
    expect(indexer.stats().blocks).toBe(60_000);
  });

  it("keeps where in it something was lost", async () => {
    const { indexer } = await indexerOf({ hash: tokens });
    const bad = { ...blocks(0, 1, null), block_hashes: "none" };
    const events = Array.from({ length: 300 }, (_, i) =>
      blocks(i * 100, 100, i === 0 ? null : handle(i * 100 - 1)),
    );
    await indexer.applyAll([frame([bad, ...events, { type: "AllBlocksCleared" }, stored(one)], { seq: 0 })]);
    expect(indexer.pods()[0]).toMatchObject({ complete: true });
    await indexer.applyAll([frame([...events, { type: "AllBlocksCleared" }, bad, stored(one)], { seq: 1 })]);
    expect(indexer.pods()[0]).toMatchObject({ complete: false });
    expect(blocksOf(indexer, prompt)).toBe(6);
  });
});
