/**
 * What a lookup is called with, checked.
 * @module
 */
import { checkName, rangeMistake, typeMistake } from "./errors.js";
import { blockExtraKeys } from "./hash/index.js";
import type { HashedPrompt } from "./hash-plan.js";
import type { KeyedRequest } from "./query-keys.js";
import type { ScoreRequest, TokenIds } from "./types.js";

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

/** @throws TypeError if it is no prompt with keys; messages never show the ids */
export function checkHashed(prompt: HashedPrompt): void {
  if (typeof prompt !== "object" || prompt === null || !(prompt.tokens instanceof Uint32Array))
    throw typeMistake("prompt", "a hashed prompt", prompt);
  if (!Array.isArray(prompt.lists))
    throw typeMistake("prompt.lists", "an array of lists of keys", prompt.lists);
  for (const [i, { keys }] of prompt.lists.entries())
    if (!(keys instanceof Uint32Array) || keys.length % 2 !== 0)
      throw typeMistake(`prompt.lists[${i}].keys`, "Uint32Array of pairs", keys);
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

/**
 * What of a request is hashed beside its tokens, with its defaults. Checked whether or not a pod is known that it would
 * be looked up on.
 * @throws TypeError, or RangeError for what no engine can have hashed: text without UTF-8, an item beyond the prompt
 */
export function checkExtras(
  { cacheSalt = "", multimodal = [] }: ScoreRequest,
  loraName: string | undefined,
  promptTokens: number,
): KeyedRequest {
  if (!Array.isArray(multimodal))
    throw typeMistake("multimodal", "array of { id, offset, length }", multimodal);
  if (loraName !== undefined) checkName("loraName", loraName);
  if (loraName !== undefined || cacheSalt !== "" || multimodal.length > 0)
    blockExtraKeys({ loraName, cacheSalt, multimodal }, 0, 1);
  // Its placeholders are the prompt's own tokens: an item that ends later was counted on other tokens than these, and
  // would be looked up under keys that no engine has.
  for (const [i, { offset, length }] of multimodal.entries())
    if (offset + length > promptTokens)
      throw rangeMistake(
        `multimodal[${i}]`,
        `an end (offset + length) of at most ${promptTokens} (the prompt's tokens)`,
        offset + length,
      );
  return { loraName, cacheSalt, multimodal };
}
