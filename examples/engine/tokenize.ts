/**
 * What a request's prompt is in tokens, without computing on it: vLLM's `/tokenize`, `/detokenize` and render endpoints.
 *
 * Source: vLLM `entrypoints/serve/tokenize/protocol.py`, `entrypoints/serve/render/serving.py`.
 * @module
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { badRequest, readJson, sendJson } from "./http.js";
import { resolveModel, type ServedModels } from "./models.js";
import { readPrompts } from "./prompts.js";
import type { Endpoint } from "./shapes.js";
import { decodeTokens, type EngineTokenizer } from "./tokenizer.js";

export interface TokenizeHost extends ServedModels {
  readonly tokenizer: EngineTokenizer;
  readonly maxModelLen: number;
  readonly bodyLimitBytes: number;
}

/** One text or one chat, however long; a prompt of token ids is refused, and truncation is not looked at, as in vLLM. */
export async function tokenize(
  host: TokenizeHost,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { json, fields } = await readJson(request, host.bodyLimitBytes);
  resolveModel(host, fields.model);
  const isChat = "messages" in fields;
  if (!isChat && typeof fields.prompt !== "string") throw badRequest("prompt must be a string.", "prompt");
  const prompts = await readPrompts(host.tokenizer, isChat ? "chat" : "completions", json, { whole: true });
  const tokens = Array.from(prompts[0]!.tokens);
  sendJson(response, 200, {
    count: tokens.length,
    max_model_len: host.maxModelLen,
    tokens,
    token_strs: null,
  });
}

/** What would be generated on: one request for a chat, a list for completions, one for each prompt. */
export async function render(
  host: TokenizeHost,
  endpoint: Endpoint,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { json, fields } = await readJson(request, host.bodyLimitBytes);
  const { model } = resolveModel(host, fields.model);
  const prompts = await readPrompts(host.tokenizer, endpoint, json);
  const rendered = prompts.map(({ tokens, cacheSalt }) => {
    const room = host.maxModelLen - tokens.length;
    const asked = fields.max_completion_tokens ?? fields.max_tokens;
    if (room < 1 || (typeof asked === "number" && asked > room))
      throw badRequest(
        `The prompt has ${tokens.length} tokens: too many for the model's ${host.maxModelLen}.`,
      );
    return {
      request_id: `${endpoint === "chat" ? "chatcmpl" : "cmpl"}-${randomUUID().replaceAll("-", "")}`,
      token_ids: Array.from(tokens),
      features: null,
      sampling_params: { max_tokens: typeof asked === "number" ? asked : room },
      model,
      stream: fields.stream === true,
      stream_options: null,
      cache_salt: cacheSalt ?? null,
      priority: 0,
      kv_transfer_params: null,
    };
  });
  sendJson(response, 200, endpoint === "chat" ? rendered[0] : rendered);
}

export async function detokenize(
  host: TokenizeHost,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { fields } = await readJson(request, host.bodyLimitBytes);
  const { model, tokens } = fields;
  resolveModel(host, model);
  if (!Array.isArray(tokens) || !tokens.every((token) => Number.isInteger(token) && token >= 0))
    throw badRequest("tokens must be a list of token ids.", "tokens");
  sendJson(response, 200, { prompt: decodeTokens(host.tokenizer, tokens) });
}
