/**
 * A prompt with images: the caller expands the placeholders as the model's processor does, and names where they stand;
 * from there to the engine's hashes and a score. The hashes themselves are held against Python's in test/indexer.
 */
import { Indexer } from "kvblock";
import { blockExtraKeys } from "kvblock/hash";
import { storedFrame } from "kvblock/testing";
import { createHuggingFaceTokenizer } from "kvblock/tokenize";
import { describe, expect, it } from "vitest";
import { QWEN3 } from "./qwen3.js";

const BLOCK_SIZE = 16;
/** What the model's processor makes of an image of some size. */
const IMAGE_TOKENS = 64;
const [CAT, DOG] = ["a1".repeat(32), "b2".repeat(32)];

async function prompt(images: readonly string[]): Promise<{
  tokens: Uint32Array;
  multimodal: { id: string; offset: number; length: number }[];
}> {
  const tokenizer = await createHuggingFaceTokenizer(QWEN3);
  const parts = images.map(() => `<|vision_start|>${"<|image_pad|>".repeat(IMAGE_TOKENS)}<|vision_end|>`);
  const text = `<|im_start|>user\n${parts.join(" and ")} What is it?${" Look closely.".repeat(20)}<|im_end|>\n`;
  const tokens = Uint32Array.from(await tokenizer.encode(text, {}));
  const [pad] = await tokenizer.encode("<|image_pad|>", {});
  const multimodal: { id: string; offset: number; length: number }[] = [];
  for (
    let at = tokens.indexOf(pad!), image = 0;
    at !== -1;
    at = tokens.indexOf(pad!, at + IMAGE_TOKENS), image++
  )
    multimodal.push({ id: images[image]!, offset: at, length: IMAGE_TOKENS });
  return { tokens, multimodal };
}

describe("images in a prompt", () => {
  it("decide the blocks that hold them and all after, through to the score", async () => {
    const seen = await prompt([CAT, DOG]);
    expect(seen.multimodal).toEqual([
      { id: CAT, offset: 4, length: IMAGE_TOKENS },
      { id: DOG, offset: 72, length: IMAGE_TOKENS },
    ]);
    const hash = { algorithm: "sha256_cbor", seed: "0" } as const;
    await using indexer = await Indexer.create({ hash: { mode: "exact", ...hash }, onDiagnostic: null });
    const { tokens, multimodal } = seen;
    const extraKeys = blockExtraKeys({ multimodal }, tokens.length, BLOCK_SIZE);
    const chained = { hash: hash.algorithm, seed: hash.seed, extraKeys };
    indexer.apply(storedFrame({ pod: "pod-a", model: "m", tokens, blockSize: BLOCK_SIZE, ...chained }));
    const score = (p: Awaited<ReturnType<typeof prompt>>, items = p.multimodal): number =>
      indexer.scoreTokens(p.tokens, { model: "m", multimodal: items }).best?.blocks ?? 0;
    expect(score(seen)).toBe(Math.floor((seen.tokens.length - 1) / BLOCK_SIZE));
    // The second image begins in block 4; the first in block 0.
    expect(score(await prompt([CAT, CAT]))).toBe(4);
    expect(score(await prompt([DOG, DOG]))).toBe(0);
    expect(score(seen, [])).toBe(0);
  });
});
