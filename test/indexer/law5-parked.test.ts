/** Law 5: in tokens mode a store whose parent is unknown is parked, bounded and counted, until the parent is known. */
import { describe, expect, it } from "vitest";
import { blocksOf, chain, frame, indexerOf, removed, stored } from "./frames.js";

const one = chain();
const prompt = [...one.tokens, 1];
const options = { hash: { mode: "tokens" } } as const;

describe("stores out of order in tokens mode", () => {
  it("a child before its parent scores nothing, and all of it once the parent is there", async () => {
    const { indexer, codes } = await indexerOf(options);
    indexer.apply(frame([stored(one, 3, 6)], { seq: 0 }));
    expect(blocksOf(indexer, prompt)).toBe(0);
    expect(indexer.pods()[0]).toMatchObject({ parkedStores: 1 });
    expect(codes()).toEqual(["orphans-parked"]);
    indexer.apply(frame([stored(one, 0, 3)], { seq: 1 }));
    expect(blocksOf(indexer, prompt)).toBe(6);
    expect(indexer.pods()[0]).toMatchObject({ parkedStores: 0 });
    expect(indexer.stats().skips).toEqual({ parked: 1 });
  });

  it("chains of orphans, in the reverse order, and siblings", async () => {
    const { indexer } = await indexerOf(options);
    const branch = { ...one, hashes: one.hashes.map((hash, i) => (i < 3 ? hash : hash ^ 1n)) };
    const branchTokens = one.tokens.map((token, i) => (i < 48 ? token : token + 1));
    const other = { ...branch, tokens: branchTokens };
    for (let block = 5; block >= 1; block--)
      indexer.apply(
        frame([stored(one, block, block + 1), ...(block === 3 ? [stored(other, 3, 5)] : [])], {
          seq: 5 - block,
        }),
      );
    expect(indexer.pods()[0]!.parkedStores).toBe(6);
    indexer.apply(frame([stored(one, 0, 1)], { seq: 5 }));
    expect(blocksOf(indexer, prompt)).toBe(6);
    expect(blocksOf(indexer, [...branchTokens.slice(0, 80), 1])).toBe(5);
  });

  it("an orphan is never taken for a root", async () => {
    const { indexer } = await indexerOf(options);
    indexer.apply(frame([stored(one, 3, 6)]));
    expect(blocksOf(indexer, prompt.slice(48))).toBe(0);
  });

  it("a block removed while parked stays away, with what followed it in its store", async () => {
    const { indexer } = await indexerOf(options);
    indexer.apply(frame([stored(one, 2, 6)], { seq: 0 }));
    indexer.apply(frame([removed([one.hashes[4]!])], { seq: 1 }));
    indexer.apply(frame([stored(one, 0, 2)], { seq: 2 }));
    expect(blocksOf(indexer, prompt)).toBe(4);
  });

  it("two parked copies of a block need two removals", async () => {
    const { indexer } = await indexerOf(options);
    const last = [one.hashes[5]!];
    indexer.apply(frame([stored(one, 3, 6), stored(one, 5, 6)], { seq: 0 }));
    indexer.apply(frame([removed(last)], { seq: 1 }));
    indexer.apply(frame([removed(last)], { seq: 2 }));
    indexer.apply(frame([stored(one, 0, 3)], { seq: 3 }));
    expect(blocksOf(indexer, prompt)).toBe(5);
  });

  it("what is parked counts as memory, and gives it back", async () => {
    const { indexer } = await indexerOf(options);
    indexer.apply(frame([stored(one, 0, 1)], { seq: 0 }));
    const before = indexer.stats().memory.usedBytes;
    indexer.apply(frame([stored(one, 3, 6)], { seq: 1 }));
    expect(indexer.stats().memory.usedBytes).toBeGreaterThan(before);
    indexer.apply(frame([{ type: "AllBlocksCleared" }], { seq: 2 }));
    expect(indexer.stats().memory.usedBytes).toBeLessThanOrEqual(before);
    expect(indexer.pods()[0]!.parkedStores).toBe(0);
  });

  it("a restart forgets what was parked", async () => {
    const { indexer } = await indexerOf(options);
    indexer.apply(frame([stored(one, 3, 6)], { seq: 0 }));
    indexer.apply(frame([stored(one, 0, 3)], { seq: 0, ts: 9000 }));
    expect(blocksOf(indexer, prompt)).toBe(3);
  });

  it("parking is bounded: the oldest are given up, and counted", async () => {
    const { indexer, told } = await indexerOf(options);
    const tokens = Array.from({ length: 16_384 }, (_, i) => i);
    for (let seq = 0; seq < 400; seq++) {
      const event = {
        type: "BlockStored",
        block_hashes: [BigInt(seq + 10)],
        parent_block_hash: BigInt(seq + 5000),
      };
      indexer.apply(
        frame([{ ...event, token_ids: tokens, block_size: tokens.length, lora_id: null, medium: "GPU" }], {
          seq,
        }),
      );
    }
    const { parkedStores } = indexer.pods()[0]!;
    expect(parkedStores).toBeGreaterThan(50);
    expect(parkedStores).toBeLessThan(200);
    expect(indexer.stats().skips["parked-dropped"]).toBe(400 - parkedStores);
    // Told again when it had come to giving them up.
    expect(told.map(({ code, severity }) => [code, severity])).toEqual([
      ["orphans-parked", "warning"],
      ["orphans-parked", "error"],
    ]);
    expect(indexer.diagnose()[0]!.evidence["droppedStores"]).toBe(400 - parkedStores);
  });
});

describe("unknown handles in tokens mode", () => {
  it("a removal of a block never announced is counted and changes nothing", async () => {
    const { indexer } = await indexerOf(options);
    indexer.apply(frame([stored(one, 0, 2), removed([12345n])]));
    expect(indexer.stats().skips).toEqual({ "unknown-handle": 1 });
    expect(blocksOf(indexer, prompt)).toBe(2);
  });

  it("an offload store without tokens places known blocks on its tier, and unknown ones nowhere", async () => {
    const { indexer } = await indexerOf(options);
    indexer.apply(frame([stored(one, 0, 3)], { seq: 0 }));
    const placeholder = { token_ids: [], block_size: 0, parent_block_hash: null, medium: "CPU" };
    indexer.apply(frame([stored(one, 0, 2, placeholder), stored(one, 4, 5, placeholder)], { seq: 1 }));
    indexer.apply(frame([removed(one.hashes.slice(0, 3))], { seq: 2 }));
    const { blocks, byTier } = indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")!;
    expect({ blocks, byTier }).toEqual({ blocks: 2, byTier: { cpu: 2 } });
    expect(indexer.stats().skips).toEqual({ "unknown-handle": 1 });
  });

  it("a removed block's handle is known to its children for 2,048 more removals, and then forgotten", async () => {
    expect([await parkedAfter(2000), await parkedAfter(2100)]).toEqual([0, 1]);
  });
});

/**
 * How many stores wait for their parent when that was removed before so many other blocks were. Far more blocks are held
 * meanwhile than handles are freed, so that nothing else ages these.
 */
async function parkedAfter(removals: number): Promise<number> {
  const { indexer } = await indexerOf(options);
  let seq = 0;
  const apply = (...events: unknown[]): void => indexer.apply(frame(events, { seq: seq++ }));
  const hashes = (from: number, count: number): bigint[] =>
    Array.from({ length: count }, (_, i) => BigInt(from + i));
  const roots = (from: number, count: number): unknown[] =>
    hashes(from, count).map((hash) => {
      const tokens = one.tokens.slice(0, one.blockSize - 1).concat(Number(hash));
      return stored({ hashes: [hash], tokens, blockSize: one.blockSize });
    });
  apply(...roots(1, 4096));
  apply(stored(one, 0, 1), removed([one.hashes[0]!]));
  for (let done = 0; done < removals; done += 100)
    apply(...roots(10_000 + done, 100), removed(hashes(10_000 + done, 100)));
  apply(stored(one, 1, 2));
  return indexer.pods()[0]!.parkedStores;
}
