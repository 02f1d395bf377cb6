/**
 * A request body → the tokens to compute on, by the same code that a router scores with.
 * @module
 */
import type { TokenIds, Tokenizer } from "kvblock";
import { blockExtraKeys } from "kvblock/hash";
import { type ScoreInput, scoreInputFromOpenAI, truncateTokens } from "kvblock/tokenize";
import type { CacheRequest } from "./block-manager.js";
import { badRequest } from "./http.js";
import type { Endpoint } from "./shapes.js";

/**
 * @param json - the body as it came: a chat template prints its numbers back as they were written
 * @param options - `whole`: without the truncation that the body asks for
 * @throws ApiError 400 naming what is wrong with the body
 */
export async function readPrompts(
  tokenizer: Tokenizer,
  endpoint: Endpoint,
  json: string,
  { whole = false }: { whole?: boolean } = {},
): Promise<CacheRequest[]> {
  try {
    const input = scoreInputFromOpenAI(json);
    if ((input.kind === "chat") !== (endpoint === "chat"))
      throw new Error(`the body has no "${endpoint === "chat" ? "messages" : "prompt"}"`);
    const { cacheSalt, readsPrefixCache, truncation } = input;
    // A salt that cannot be hashed is the request's fault, and not found out in the middle of a step.
    blockExtraKeys({ cacheSalt }, 0, 1);
    return (await tokenize(tokenizer, input)).map((all) => {
      const tokens = whole ? all : truncateTokens(all, truncation);
      if (tokens.length === 0) throw new Error("the prompt has no tokens");
      return { tokens, cacheSalt, readsPrefixCache };
    });
  } catch (error) {
    throw badRequest((error as Error).message);
  }
}

async function tokenize(tokenizer: Tokenizer, input: ScoreInput): Promise<TokenIds[]> {
  if (input.kind === "chat") {
    if (tokenizer.encodeChat === undefined) throw new Error("this model has no chat template");
    return [await tokenizer.encodeChat(input.messages, input.options)];
  }
  return Promise.all(
    input.prompts.map((prompt) =>
      typeof prompt === "string" ? tokenizer.encode(prompt, input.options) : prompt,
    ),
  );
}
