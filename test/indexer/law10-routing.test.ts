/** Law 10: lookups that can never match are told, with the pod or model, the evidence and the fix. */
import { describe, expect, it } from "vitest";
import { blocksOf, chain, exact, frame, indexerOf, stored } from "./frames.js";

const one = chain();
const prompt = [...one.tokens, 1];
const hash = exact(one);

describe("no-events", () => {
  it("is told after half a minute of lookups without a frame, counted after that, withdrawn when one comes", async () => {
    let now = 0;
    const { indexer, told } = await indexerOf({ clock: () => now });
    indexer.scoreTokens(prompt, { model: "base" });
    now = 29_999;
    indexer.scoreTokens(prompt, { model: "base" });
    expect(told).toEqual([]);
    now = 60_000;
    for (let i = 0; i < 3; i++) indexer.scoreTokens(prompt, { model: "base" });
    expect(told).toMatchObject([{ code: "no-events", severity: "error", evidence: { silentSeconds: 60 } }]);
    expect(told[0]!.fix).toContain("--kv-events-config");
    expect(indexer.diagnose()).toMatchObject([{ code: "no-events", count: 3 }]);
    indexer.apply(frame([stored(one)]));
    expect(indexer.diagnose().map(({ code }) => code)).not.toContain("no-events");
  });
});

describe("topic-unusable", () => {
  it.each(["", "kv", "kv@", "kv@pod", "kv@@model", "events@pod@model"])(
    "topic %j names no pod and model",
    async (topic) => {
      const { indexer, told } = await indexerOf();
      indexer.apply({ ...frame([stored(one)]), topic, source: "tcp://10.0.0.1:5557" });
      expect(told).toMatchObject([
        { code: "topic-unusable", severity: "error", evidence: { topic, source: "tcp://10.0.0.1:5557" } },
      ]);
      expect(indexer.stats()).toMatchObject({ admissions: 0, skips: { "topic-unusable": 1 } });
      expect(indexer.pods()).toEqual([]);
    },
  );

  it("the frame's own pod and model make up for the topic", async () => {
    const { indexer, told } = await indexerOf({ hash });
    indexer.apply({ ...frame([stored(one)]), topic: "", pod: "pod-a", model: "base" });
    expect(blocksOf(indexer, prompt)).toBe(6);
    expect(told).toEqual([]);
  });
});

describe("model-never-announced", () => {
  it.each([
    ["Qwen/Qwen3-32B-FP8", "Qwen/Qwen3-32B"],
    ["qwen/qwen3-32b", "Qwen/Qwen3-32B"],
  ])("a lookup for %s names the near miss", async (asked, announced) => {
    const { indexer, told } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)], { model: announced }));
    indexer.scoreTokens(prompt, { model: asked });
    expect(told).toMatchObject([
      {
        code: "model-never-announced",
        model: asked,
        evidence: { announced: [announced], nearest: announced },
      },
    ]);
    expect(told[0]!.fix).toContain(JSON.stringify(announced));
  });

  it("names what is announced where nothing is near, and ends when the model is announced", async () => {
    const { indexer, told } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)], { model: "llama" }));
    indexer.scoreTokens(prompt, { model: "a-quite-different-name" });
    expect(told).toMatchObject([{ evidence: { announced: ["llama"], nearest: null } }]);
    indexer.apply(frame([stored(one)], { model: "a-quite-different-name" }));
    expect(indexer.diagnose()).toEqual([]);
  });
});

describe("pods-unknown", () => {
  it.each([
    ["10.0.0.1:8000", "10.0.0.1"],
    ["10.0.0.1", "10.0.0.1:8000"],
  ])("%s passed where %s announces: with or without the port", async (passed, announced) => {
    const { indexer, told } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)], { pod: announced }));
    indexer.scoreTokens(prompt, { model: "base", pods: [passed, "10.9.9.9"] });
    expect(told).toMatchObject([
      {
        code: "pods-unknown",
        model: "base",
        evidence: { candidates: [passed, "10.9.9.9"], known: [announced] },
      },
    ]);
    expect(told[0]!.fix).toContain(JSON.stringify(announced));
    expect(told[0]!.fix).toContain("port");
  });

  it("is not told while any candidate is known", async () => {
    const { indexer, told } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)]));
    indexer.scoreTokens([1, 2], { model: "base", pods: ["pod-a", "pod-z"] });
    expect(told).toEqual([]);
  });

  it("ends when one of them announces itself", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)]));
    indexer.scoreTokens(prompt, { model: "base", pods: ["pod-z"] });
    expect(indexer.diagnose()).toHaveLength(1);
    indexer.apply(frame([stored(one)], { pod: "pod-z" }));
    expect(indexer.diagnose()).toEqual([]);
  });
});

describe("extra keys that no lookup names", () => {
  it("salt-not-passed: salted prompts are stored, no lookup names a salt", async () => {
    const { indexer, told } = await indexerOf({ hash });
    const salted = chain("sha256_cbor/bs16/seed=0/salt_first_block_only");
    const extra_keys = salted.hashes.map((_, block) => (block === 0 ? ["tenant-A"] : null));
    indexer.apply(frame([stored(salted, 0, 6, { extra_keys })]));
    expect(told).toEqual([]);
    expect(blocksOf(indexer, prompt)).toBe(0);
    expect(told).toMatchObject([{ code: "salt-not-passed", model: "base", evidence: { saltedStores: 1 } }]);
    expect(JSON.stringify(told)).not.toContain("tenant-A");
    expect(blocksOf(indexer, prompt, "pod-a", { cacheSalt: "tenant-A" })).toBe(6);
    expect(indexer.diagnose()).toEqual([]);
  });

  it("lora-not-passed: adapters' blocks are stored, no lookup names an adapter", async () => {
    const { indexer, told } = await indexerOf({ hash });
    const lora = chain("sha256_cbor/bs16/seed=0/lora");
    const keys = { lora_id: 1, lora_name: "sql-lora", extra_keys: lora.hashes.map(() => ["sql-lora"]) };
    indexer.apply(frame([stored(lora, 0, 6, keys)]));
    expect(blocksOf(indexer, prompt)).toBe(0);
    expect(told).toMatchObject([{ code: "lora-not-passed", evidence: { loraStores: 1 } }]);
    expect(blocksOf(indexer, prompt, "pod-a", { loraName: "sql-lora" })).toBe(6);
    expect(indexer.diagnose()).toEqual([]);
  });

  it("neither is told where plain lookups match", async () => {
    const { indexer, told } = await indexerOf({ hash });
    const lora = chain("sha256_cbor/bs16/seed=0/lora");
    indexer.apply(frame([stored(one), stored(lora, 0, 6, { lora_name: "sql-lora" })]));
    expect(blocksOf(indexer, prompt)).toBe(6);
    expect(told).toEqual([]);
  });
});
