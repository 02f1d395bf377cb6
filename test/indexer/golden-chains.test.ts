/** Exact mode against chains hashed by Python: what the engine announces is what a lookup computes. */
import type { ScoreRequest } from "kvblock";
import { describe, expect, it } from "vitest";
import { readVectors } from "../hash/vectors.js";
import { blocksOf, chain, exact, frame, indexerOf, stored } from "./frames.js";

const MM_A = "c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeebeef";
const MM_B = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/** What a request says so that its blocks have the vectors' extra keys. */
const REQUESTS: Record<string, Omit<ScoreRequest, "model">> = {
  none: {},
  lora: { loraName: "sql-lora" },
  lora_nonascii: { loraName: "适配器-é-🙂" },
  salt_first_block_only: { cacheSalt: "tenant-A" },
  mm_tuple: { multimodal: [{ id: MM_A, offset: 3, length: 20 }] },
  mm_two_items: {
    multimodal: [
      { id: MM_A, offset: 14, length: 10 },
      { id: MM_B, offset: 25, length: 4 },
    ],
  },
  lora_mm_salt: {
    loraName: "sql-lora",
    cacheSalt: "tenant-A",
    multimodal: [{ id: MM_A, offset: 5, length: 4 }],
  },
};

const CASES = readVectors<{ cases: { id: string; extra: string; block_size: number; tokens: string }[] }>(
  "block_hashes",
).cases.filter(
  ({ extra, block_size }) => extra in REQUESTS && (extra !== "lora_mm_salt" || block_size >= 16),
);

describe("exact mode reproduces Python's chains", () => {
  it("has rows of every kind", () => {
    expect(new Set(CASES.map(({ extra }) => extra))).toEqual(new Set(Object.keys(REQUESTS)));
  });

  it.each(CASES)("$id", async ({ id, extra }) => {
    const one = chain(id);
    const request = REQUESTS[extra]!;
    const { indexer, codes } = await indexerOf({ hash: exact(one) });
    indexer.apply(frame([stored(one, 0, one.hashes.length)]));
    const prompt = [...one.tokens, 7];
    expect(blocksOf(indexer, prompt, "pod-a", request)).toBe(one.hashes.length);
    if (extra !== "none") expect(blocksOf(indexer, prompt)).toBe(0);
    if (extra === "none") expect(codes()).toEqual([]);
  });

  it("whole digests on the wire name the same blocks as their low 64 bits", async () => {
    const one = chain("sha256/bs16/seed=42/none");
    const { indexer } = await indexerOf({ hash: exact(one) });
    indexer.apply(frame([stored(one, 0, 3)]));
    const bytes = { block_hashes: one.digests.slice(3), parent_block_hash: one.digests[2] };
    indexer.apply(frame([stored(one, 3, 6, bytes)], { seq: 1 }));
    indexer.apply(
      frame([{ type: "BlockRemoved", block_hashes: [one.digests[5]], medium: "GPU" }], { seq: 2 }),
    );
    expect(blocksOf(indexer, [...one.tokens, 7])).toBe(5);
  });
});
