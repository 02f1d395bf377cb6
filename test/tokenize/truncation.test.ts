/** `truncate_prompt_tokens` as Hugging Face's own tokenizers cut, special tokens and all. */
import { createHuggingFaceTokenizer, truncateTokens } from "kvblock/tokenize";
import { Tokenizer as RustTokenizer } from "tokenizers";
import { describe, expect, it } from "vitest";
import { byteLevelJson } from "./byte-level-json.js";

const special = (content: string): object => ({ content });
const item = (id: string): object => ({ SpecialToken: { id, type_id: 0 } });
const named = (id: string, number: number): object => ({ id, ids: [number], tokens: [id] });

/** Two special tokens before a prompt, one behind it. */
const json = byteLevelJson({
  added: [special("<s>"), special("<t>"), special("</s>")],
  fields: {
    post_processor: {
      type: "TemplateProcessing",
      single: [item("<s>"), item("<t>"), { Sequence: { id: "A", type_id: 0 } }, item("</s>")],
      pair: [],
      special_tokens: { "<s>": named("<s>", 256), "<t>": named("<t>", 257), "</s>": named("</s>", 258) },
    },
  },
});

describe("a prompt with special tokens around it", () => {
  it.each(["left", "right"] as const)("is cut on the %s within them", async (side) => {
    const tokenizer = await createHuggingFaceTokenizer({ tokenizerJson: json });
    const whole = await tokenizer.encode("abcdefgh", {});
    expect(whole).toHaveLength(11);
    for (let tokens = 4; tokens <= 12; tokens++) {
      const rust = RustTokenizer.fromString(JSON.stringify(json));
      rust.setTruncation(tokens, { direction: side });
      const expected = (await rust.encode("abcdefgh")).getIds();
      expect([...truncateTokens(whole, { tokens, side }, { before: 2, after: 1 })]).toEqual(expected);
    }
  });

  it("is cut as it stands where the request says so", () => {
    const cut = (side: "left" | "right"): number[] => [
      ...truncateTokens(
        [1, 2, 3, 4, 5],
        { tokens: 2, side, cutsSpecialTokens: true },
        { before: 2, after: 1 },
      ),
    ];
    expect(cut("left")).toEqual([4, 5]);
    expect(cut("right")).toEqual([1, 2]);
  });

  it("has no room for fewer than those", () => {
    const act = (): unknown =>
      truncateTokens([1, 2, 3, 4, 5], { tokens: 2, side: "left" }, { before: 2, after: 1 });
    expect(act).toThrow(expect.objectContaining({ code: "ERR_KVBLOCK_INPUT" }));
  });
});
