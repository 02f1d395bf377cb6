/** A truncated completion of a model with special tokens around prompts: the gateway looks for what vLLM keeps. */
import { Indexer } from "kvblock";
import { storedFrame } from "kvblock/testing";
import { createHuggingFaceTokenizer } from "kvblock/tokenize";
import { expect, it } from "vitest";
import type { Pod } from "../../examples/mini-gateway/pods.js";
import { readInput, score } from "../../examples/mini-gateway/scoring.js";
import { byteLevelJson } from "../tokenize/byte-level-json.js";

const model = "llama";
const [BOS, EOS] = [256, 257];
const item = (id: string): object => ({ SpecialToken: { id, type_id: 0 } });
const tokenizerJson = byteLevelJson({
  added: [{ content: "<s>" }, { content: "</s>" }],
  fields: {
    post_processor: {
      type: "TemplateProcessing",
      single: [item("<s>"), { Sequence: { id: "A", type_id: 0 } }, item("</s>")],
      pair: [],
      special_tokens: {
        "<s>": { id: "<s>", ids: [BOS], tokens: ["<s>"] },
        "</s>": { id: "</s>", ids: [EOS], tokens: ["</s>"] },
      },
    },
  },
});

it.each([
  ["special tokens kept, where no side is said", {}, (ids: number[]) => [BOS, ...ids.slice(-6), EOS]],
  [
    "the first tokens, where right is said",
    { truncation_side: "right" },
    (ids: number[]) => [BOS, ...ids.slice(0, 7)],
  ],
  [
    "the last tokens, where left is said",
    { truncation_side: "left" },
    (ids: number[]) => [...ids.slice(-7), EOS],
  ],
  ["none to keep", { add_special_tokens: false }, (ids: number[]) => ids.slice(-8)],
])("%s", async (_, fields, kept) => {
  const tokenizer = await createHuggingFaceTokenizer({ tokenizerJson });
  const indexer = await Indexer.create({
    hash: { mode: "exact", algorithm: "sha256_cbor", seed: "0" },
    tokenizers: { [model]: tokenizer },
  });
  const prompt = "the quick brown fox";
  const ids = Array.from(await tokenizer.encode(prompt, { addSpecialTokens: false }));
  const tokens = kept(ids);
  expect(tokens).toHaveLength(8);
  indexer.apply(storedFrame({ pod: "pod", model, tokens, blockSize: 4, seed: "0", seq: 0 }));
  await indexer.settled();
  const body = Buffer.from(JSON.stringify({ model, prompt, truncate_prompt_tokens: 8, ...fields }));
  const pod = { name: "pod" } as Pod;
  const input = readInput(body);
  const scoring = await score(indexer, { input, model, pods: [pod], limitMs: 10_000 });
  // Of eight tokens the first block: the engine computes the last token anew.
  expect(scoring!.scores).toEqual({ pod: 1 });
  await indexer.close();
});
