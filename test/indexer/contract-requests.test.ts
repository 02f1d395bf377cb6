/** The contract: what of a request no engine could have hashed is refused, by name and with the reason. */
import { Indexer } from "kvblock";
import { describe, expect, it } from "vitest";
import { blocksOf, chain, exact, frame, indexerOf, stored } from "./frames.js";

const one = chain();
const prompt = [...one.tokens, 1];
const LONE = "tenant-\ud800";

describe.each([
  ["no pod known", undefined],
  ["a pod in exact mode, CBOR", exact(one)],
  ["a pod in exact mode, pickle", exact(chain("sha256/bs16/seed=0/none"))],
  ["a pod in tokens mode", { mode: "tokens" } as const],
])("with %s, scoreTokens", (_, hash) => {
  async function indexer(): Promise<Indexer> {
    const made = await indexerOf(hash === undefined ? {} : { hash });
    if (hash !== undefined) made.indexer.apply(frame([stored(one)]));
    return made.indexer;
  }

  it.each([
    ["cacheSalt", { cacheSalt: LONE }],
    ["loraName", { loraName: LONE }],
    ["multimodal[1].id", { multimodal: [image(0, 1), { ...image(5, 1), id: LONE }] }],
  ])("refuses a lone surrogate in %s, and says why", async (name, request) => {
    const scoring = await indexer();
    const call = (): unknown => scoring.scoreTokens(prompt, { model: "base", ...request });
    expect(call).toThrow(RangeError);
    expect(call).toThrow(
      `"${name}" expected text that UTF-8 can encode, as vLLM must to hash it, got a lone surrogate at index 7`,
    );
    // A salt is a secret.
    expect(call).toThrow(/^(?!.*tenant)/);
  });

  it.each([
    [0, [image(0, 98)], "at most 97 (the prompt's tokens), got 98"],
    [0, [image(97, 1)], "at most 97 (the prompt's tokens), got 98"],
    [1, [image(0, 50), image(90, 10)], "at most 97 (the prompt's tokens), got 100"],
    [0, [image(500, 3), image(600, 3)], "at most 97 (the prompt's tokens), got 503"],
  ])("refuses multimodal[%i] that reaches beyond the prompt: %j", async (i, multimodal, message) => {
    const scoring = await indexer();
    const call = (): unknown => scoring.scoreTokens(prompt, { model: "base", multimodal });
    expect(call).toThrow(RangeError);
    expect(call).toThrow(`"multimodal[${i}]" expected an end (offset + length) of ${message}`);
  });

  it("takes items up to the prompt's last token, and whole surrogate pairs", async () => {
    const scoring = await indexer();
    const multimodal = [image(0, 10), image(10, 87)];
    const request = { model: "base", multimodal, cacheSalt: "tenant-\ud83d\ude00", loraName: "ü" };
    expect(scoring.scoreTokens(prompt, request).best).toBeUndefined();
  });
});

it("a refused request counts as no lookup, and the next one is answered", async () => {
  const { indexer } = await indexerOf({ hash: exact(one) });
  indexer.apply(frame([stored(one)]));
  expect(() => indexer.scoreTokens(prompt, { model: "base", cacheSalt: LONE })).toThrow();
  expect(() => indexer.scoreTokens(prompt, { model: "base", multimodal: [image(0, 98)] })).toThrow();
  expect(indexer.stats().lookups).toBe(0);
  expect(blocksOf(indexer, prompt)).toBe(6);
});

it("scorePrompt rejects as scoreTokens throws", async () => {
  const tokenizers = { base: { encode: () => [1, 2, 3] } };
  const indexer = await Indexer.create({ tokenizers, onDiagnostic: null });
  await expect(indexer.scorePrompt("abc", { model: "base", cacheSalt: LONE })).rejects.toThrow(/"cacheSalt"/);
  await expect(indexer.scorePrompt("abc", { model: "base", multimodal: [image(2, 2)] })).rejects.toThrow(
    /"multimodal\[0\]"/,
  );
});

function image(offset: number, length: number): { id: string; offset: number; length: number } {
  return { id: "image", offset, length };
}
