/**
 * The ids of Hugging Face's own tokenizers, for every kind of model. More texts: `npm run soak:tokenize`.
 */
import { describe, expect, it } from "vitest";
import { MODELS } from "./models.js";
import { agree, comparableTexts, loadPair, showText } from "./parity.js";

const TEXTS = 300;
/** Models of hundreds of megabytes once loaded, twice each, on a machine that runs the other tests beside. */
const TIMEOUT_MS = 180_000;

describe.each(MODELS)("$name", (model) => {
  it(
    `gives ${TEXTS} texts of all kinds the ids of the Rust tokenizers, new and known`,
    async () => {
      const pair = await loadPair(model);
      expect(pair.ours.degraded).toBeUndefined();
      for (let pass = 0; pass < 2; pass++)
        for (const text of comparableTexts(model, pair, 192, TEXTS))
          for (const addSpecialTokens of [true, false])
            expect(await agree(pair, text, addSpecialTokens), showText(text)).toBe(true);
    },
    TIMEOUT_MS,
  );
});

describe("a word of a megabyte", () => {
  // Own merges above a number of bytes take another way; so do prompts beyond a buffer.
  it.each(MODELS.filter(({ name }) => ["qwen3", "deepseek_v3"].includes(name)))(
    "has the same ids in $name",
    async (model) => {
      const pair = await loadPair(model);
      const word = Array.from({ length: 2 ** 20 }, (_, i) => "abcdefgh"[(i * i + (i >> 3)) % 8]).join("");
      expect(await agree(pair, word, false)).toBe(true);
      expect(await agree(pair, "long ".repeat(200_000), false)).toBe(true);
    },
    TIMEOUT_MS,
  );
});
