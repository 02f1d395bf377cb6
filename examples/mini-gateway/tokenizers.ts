/**
 * The models' tokenizers: files that worker threads load, engines that are asked, or both in the config's order.
 * @module
 */
import type { Tokenizer } from "kvblock";
import type { WorkerPool } from "kvblock/pool";
import { createRemoteTokenizer, firstTokenizer } from "kvblock/tokenize";
import type { GatewayConfig } from "./config.js";
import { type Log, messageOf } from "./log.js";

/** @throws Error that names the config's field, for files that are not there or no tokenizer */
export async function loadTokenizers(
  { models, tokenizerTimeoutMs }: GatewayConfig,
  pool: WorkerPool,
  log: Log,
): Promise<Record<string, Tokenizer>> {
  const load = (source: string, model: string): Tokenizer | Promise<Tokenizer> =>
    isUrl(source)
      ? createRemoteTokenizer({ url: source, model, timeoutMs: tokenizerTimeoutMs })
      : pool.tokenizer(source);
  const tokenizers: Record<string, Tokenizer> = {};
  for (const [name, { tokenizer: sources }] of Object.entries(models)) {
    if (sources.length === 0) continue;
    try {
      const all = await Promise.all(sources.map((source) => load(source, name)));
      tokenizers[name] = firstTokenizer(all, {
        onFallback: (error, i) =>
          log("WARN", "Tokenizer failed, asking the next", {
            model: name,
            tokenizer: sources[i],
            error: messageOf(error),
          }),
      });
    } catch (cause) {
      throw new Error(`models[${JSON.stringify(name)}].tokenizer: ${messageOf(cause)}`);
    }
  }
  return tokenizers;
}

/** Whether a model's files are loaded, and so threads worth having. */
export function loadsFiles({ models }: GatewayConfig): boolean {
  return Object.values(models).some(({ tokenizer }) => tokenizer.some((source) => !isUrl(source)));
}

function isUrl(source: string): boolean {
  return /^https?:/.test(source);
}
