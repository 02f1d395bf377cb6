/**
 * The models' tokenizers, from the files that the config names.
 * @module
 */
import type { Tokenizer } from "kvblock";
import { createHuggingFaceTokenizer } from "kvblock/tokenize";
import type { GatewayConfig } from "./config.js";
import { messageOf } from "./log.js";

/** @throws Error that names the config's field, for files that are not there or no tokenizer */
export async function loadTokenizers({ models }: GatewayConfig): Promise<Record<string, Tokenizer>> {
  const tokenizers: Record<string, Tokenizer> = {};
  for (const [name, { tokenizer }] of Object.entries(models)) {
    if (tokenizer === undefined) continue;
    try {
      tokenizers[name] = await createHuggingFaceTokenizer(tokenizer);
    } catch (cause) {
      throw new Error(`models[${JSON.stringify(name)}].tokenizer: ${messageOf(cause)}`);
    }
  }
  return tokenizers;
}
