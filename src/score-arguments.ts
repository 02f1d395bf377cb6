/**
 * What a lookup is called with, checked.
 * @module
 */
import { checkName, typeMistake } from "./errors.js";
import type { TokenIds } from "./types.js";

/** The fields of a {@link ScoreRequest}. */
export const SCORE_OPTIONS: readonly string[] = ["model", "pods", "loraName", "cacheSalt", "multimodal"];

const U32_MAX = 2 ** 32 - 1;

/** @throws TypeError or RangeError; messages never show the ids */
export function checkTokens(tokens: TokenIds): Uint32Array {
  if (tokens instanceof Uint32Array) return tokens;
  if (!Array.isArray(tokens)) throw typeMistake("tokens", "Uint32Array or array of token ids", tokens);
  for (let i = 0; i < tokens.length; i++) {
    const id: unknown = tokens[i];
    if (typeof id !== "number")
      throw new TypeError(`"tokens[${i}]" expected integer 0 … ${U32_MAX}, got ${typeof id}`);
    if (!Number.isInteger(id) || id < 0 || id > U32_MAX)
      throw new RangeError(`"tokens[${i}]" expected integer 0 … ${U32_MAX}, got another number`);
  }
  return Uint32Array.from(tokens as number[]);
}

/** The candidates, each once. @throws TypeError if not an iterable of names, RangeError for an empty one */
export function uniquePods(pods: Iterable<string>): string[] {
  if (
    typeof pods === "string" ||
    typeof (pods as Partial<Iterable<string>> | null)?.[Symbol.iterator] !== "function"
  )
    throw typeMistake("pods", "iterable of pod names", pods);
  return [...new Set(Array.from(pods, (pod) => checkName("pods", pod)))];
}
