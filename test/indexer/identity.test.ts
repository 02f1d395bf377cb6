/** What a block key means: models, adapters, salts and images never share entries; pods may differ in every setting. */
import { describe, expect, it } from "vitest";
import { EngineLink } from "./engine-link.js";
import { blocksOf, chain, exact, frame, indexerOf, stored } from "./frames.js";

const one = chain();
const prompt = [...one.tokens, 1];
const tokens = Array.from({ length: 41 }, (_, i) => i);

describe("models", () => {
  it("two models with equal token ids never share entries", async () => {
    const { indexer } = await indexerOf({ hash: exact(one) });
    indexer.apply(frame([stored(one)], { model: "base", pod: "pod-a" }));
    indexer.apply(frame([stored(one, 0, 2)], { model: "tuned", pod: "pod-b" }));
    expect(indexer.scoreTokens(prompt, { model: "base" }).toJSON()).toEqual({ "pod-a": 6 });
    expect(indexer.scoreTokens(prompt, { model: "tuned" }).toJSON()).toEqual({ "pod-b": 2 });
    indexer.apply(frame([{ type: "AllBlocksCleared" }], { model: "tuned", pod: "pod-b", seq: 1 }));
    expect(indexer.scoreTokens(prompt, { model: "base" }).toJSON()).toEqual({ "pod-a": 6 });
  });

  it("one pod that serves two models keeps them apart", async () => {
    const { indexer } = await indexerOf({ hash: exact(one) });
    indexer.apply(frame([stored(one)], { model: "base" }));
    indexer.apply(frame([stored(one, 0, 1)], { model: "tuned" }));
    expect(indexer.scoreTokens(prompt, { model: "tuned" }).get("pod-a")?.blocks).toBe(1);
    expect(indexer.removePod("pod-a")).toBe(true);
    expect(indexer.pods()).toEqual([]);
  });

  it("aliases mean the base model, in requests and in topics", async () => {
    const models = { "org/base": { aliases: ["base", "base-latest"] } };
    const { indexer } = await indexerOf({ hash: exact(one), models });
    indexer.apply(frame([stored(one, 0, 3)], { model: "base" }));
    indexer.apply(frame([stored(one)], { model: "org/base", pod: "pod-b" }));
    const scores = indexer.scoreTokens(prompt, { model: "base-latest" });
    expect(scores.model).toBe("org/base");
    expect(scores.toJSON()).toEqual({ "pod-b": 6, "pod-a": 3 });
    expect(indexer.pods().map(({ model }) => model)).toEqual(["org/base", "org/base"]);
  });

  it("a model name may hold @ and /", async () => {
    const { indexer } = await indexerOf({ hash: exact(one) });
    indexer.apply(frame([stored(one)], { model: "org/model@v2@fp8" }));
    expect(indexer.scoreTokens(prompt, { model: "org/model@v2@fp8" }).toJSON()).toEqual({ "pod-a": 6 });
  });
});

describe.each([
  ["exact", { mode: "exact", algorithm: "sha256", seed: "0" }],
  ["tokens", { mode: "tokens" }],
] as const)("adapters, salts and images in %s mode", (_mode, hash) => {
  const variants = [
    {},
    { loraName: "sql-lora" },
    { loraName: "chat-lora" },
    { cacheSalt: "tenant-a" },
    { cacheSalt: "tenant-b" },
    { loraName: "sql-lora", cacheSalt: "tenant-a" },
    { multimodal: [{ id: "img-1", offset: 2, length: 8 }] },
    { multimodal: [{ id: "img-2", offset: 2, length: 8 }] },
    { multimodal: [{ id: "img-1", offset: 3, length: 8 }] },
    {
      multimodal: [
        { id: "img-1", offset: 2, length: 3 },
        { id: "img-2", offset: 6, length: 9 },
      ],
    },
  ];

  it("each variant of one prompt matches itself and no other", async () => {
    for (const [number, variant] of variants.entries()) {
      const { indexer } = await indexerOf({ hash, onDiagnostic: null });
      const link = await EngineLink.start({
        algorithm: "sha256",
        seed: "0",
        loras: { "sql-lora": 1, "chat-lora": 2 },
      });
      link.serve({ tokens, ...variant });
      indexer.apply(link.frame()!);
      for (const [other, request] of variants.entries()) {
        const blocks = blocksOf(indexer, tokens, link.pod, request)!;
        expect(blocks, `variant ${number} asked as ${other}`).toBe(link.peek({ tokens, ...request }));
        if (number === other) expect(blocks).toBe(10);
      }
    }
  });

  it("an adapter's own name as the model means the base model with that adapter", async () => {
    const { indexer } = await indexerOf({ hash, models: { base: { loras: ["sql-lora"] } } });
    const link = await EngineLink.start({ algorithm: "sha256", seed: "0", loras: { "sql-lora": 1 } });
    link.serve({ tokens, loraName: "sql-lora" });
    indexer.apply(link.frame()!);
    expect(indexer.scoreTokens(tokens, { model: "sql-lora" }).toJSON()).toEqual({ [link.pod]: 10 });
    expect(indexer.scoreTokens(tokens, { model: "base" }).toJSON()).toBeNull();
  });

  it("an image's blocks are found by bare identifiers on wires of that time", async () => {
    const { indexer } = await indexerOf({ hash });
    const old = chain("sha256/bs16/seed=0/legacy_mm_bare_string");
    const id = "c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeebeef";
    const extra_keys = old.hashes.map((_, block) => (block < 2 ? [id] : null));
    indexer.apply(frame([stored(old, 0, 6, { extra_keys })]));
    const multimodal = [{ id, offset: 3, length: 20 }];
    expect(blocksOf(indexer, [...old.tokens, 1], "pod-a", { multimodal })).toBe(6);
    expect(blocksOf(indexer, [...old.tokens, 1])).toBe(0);
  });
});

describe("pods of one model that differ", () => {
  it("block sizes, algorithms and seeds are each matched at their own in one call", async () => {
    const { indexer } = await indexerOf();
    const pods = [
      { pod: "a", blockSize: 4, algorithm: "sha256", seed: "0" },
      { pod: "b", blockSize: 8, algorithm: "sha256", seed: "0" },
      { pod: "c", blockSize: 16, algorithm: "xxhash_cbor", seed: "42" },
      { pod: "d", blockSize: 1, algorithm: "sglang" },
    ] as const;
    for (const options of pods) {
      const link = await EngineLink.start({ ...options });
      link.serve({ tokens });
      indexer.apply(link.frame()!);
    }
    const scores = indexer.scoreTokens(tokens, { model: "base" });
    expect([...scores].map(({ pod, blocks, tokens, blockSize }) => [pod, blocks, tokens, blockSize])).toEqual(
      [
        ["a", 10, 40, 4],
        ["b", 5, 40, 8],
        ["d", 40, 40, 1],
        ["c", 2, 32, 16],
      ],
    );
  });

  it("a model's own hash and block size go over the general ones", async () => {
    const other = chain("xxhash/bs16/seed=42/none");
    const { indexer, codes } = await indexerOf({
      hash: exact(one),
      blockSize: 64,
      models: { base: { blockSize: 16, hash: exact(other) } },
    });
    indexer.apply(frame([stored(other)]));
    expect(blocksOf(indexer, prompt)).toBe(6);
    expect(codes()).toEqual([]);
  });

  it("tiers have weights: names are normalised, unnamed ones count half", async () => {
    const { indexer } = await indexerOf({ hash: exact(one), tierWeights: { cpu: 0.5, remote: 0.9 } });
    const on = (medium: string, pod: string) => frame([stored(one, 0, 4, { medium })], { pod });
    // A block size is learned from the engine's own tier; where only others speak, from those.
    for (const [medium, pod] of [
      ["CPU_PINNED", "pinned"],
      ["cpu", "cpu"],
      ["DISK", "disk"],
      ["Tape", "tape"],
      ["GPU", "gpu"],
    ] as const)
      indexer.apply(on(medium, pod));
    expect(indexer.scoreTokens(prompt, { model: "base" }).toJSON()).toEqual({
      gpu: 4,
      disk: 4 * 0.6,
      pinned: 2,
      cpu: 2,
      tape: 2,
    });
  });
});
