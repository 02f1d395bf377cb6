/**
 * A `Tokenizer` that asks the engine: vLLM's `/tokenize`, or its render endpoints.
 *
 * Source: vLLM `entrypoints/serve/tokenize/protocol.py` (`TokenizeCompletionRequest`, `TokenizeChatRequest`,
 * `TokenizeResponse`), `entrypoints/serve/render/serving.py`, `entrypoints/serve/disagg/protocol.py` (`GenerateRequest`).
 * @module
 */
import {
  checkInteger,
  checkName,
  checkOneOf,
  checkOptions,
  KvBlockError,
  rangeMistake,
  typeMistake,
} from "../errors.js";
import type { ChatMessage, ChatOptions, EncodeOptions, Tokenizer } from "../types.js";
import { BoundedCache } from "./bounded-cache.js";
import { CHAT_OPTIONS } from "./chat-renderer.js";
import { formatPythonJson } from "./python-json-writer.js";
import { askJson, type Fetch } from "./remote-call.js";
import { Turns } from "./turns.js";

export interface RemoteTokenizerOptions {
  /** The engine's base URL: `http://10.0.0.7:8000`. */
  url: string | URL;
  /** The model to name. Absent: the engine's own. */
  model?: string | undefined;
  /**
   * `tokenize` (default): `/tokenize`, which every vLLM has. `render`: `/v1/completions/render` and
   * `/v1/chat/completions/render` of newer ones and of `vllm launch render`, which prepare a request as serving it would.
   */
  endpoint?: "tokenize" | "render" | undefined;
  /** Sent with each request: `{ authorization: "Bearer …" }`. */
  headers?: Readonly<Record<string, string>> | undefined;
  /** Milliseconds for an answer, the wait for a turn included. Default 2000. */
  timeoutMs?: number | undefined;
  /** Requests under way at once. Default 16. */
  maxConcurrent?: number | undefined;
  /** Requests that may wait for their turn; a further one is `ERR_KVBLOCK_BUSY`. Default 256. */
  maxQueued?: number | undefined;
  /** Bound of the answers that are kept, with what was asked. Default 16 MiB; 0: none. */
  cacheBytes?: number | undefined;
  /** In place of the host's `fetch`, for connections of one's own. */
  fetch?: Fetch | undefined;
}

const OPTIONS = [
  "url",
  "model",
  "endpoint",
  "headers",
  "timeoutMs",
  "maxConcurrent",
  "maxQueued",
  "cacheBytes",
  "fetch",
];
const PATHS = {
  tokenize: { prompt: "tokenize", chat: "tokenize" },
  render: { prompt: "v1/completions/render", chat: "v1/chat/completions/render" },
} as const;
/** Of a kept answer, about. */
const ENTRY_BYTES = 200;
const U32_MAX = 2 ** 32 - 1;

/**
 * A tokenizer that asks an engine over HTTP. Its calls reject with `ERR_KVBLOCK_REMOTE` (no answer, or one without
 * tokens), `ERR_KVBLOCK_TIMEOUT`, `ERR_KVBLOCK_BUSY`, `ERR_KVBLOCK_CLOSED`, and the signal's reason.
 * @throws TypeError or RangeError for the first option that is not what it should be
 */
export function createRemoteTokenizer(
  options: RemoteTokenizerOptions,
): Tokenizer & Required<Pick<Tokenizer, "encodeChat">> {
  checkOptions("createRemoteTokenizer", options, OPTIONS);
  const { url, model, endpoint = "tokenize", headers = {}, timeoutMs = 2000 } = options;
  const { maxConcurrent = 16, maxQueued = 256, cacheBytes = 16 * 2 ** 20 } = options;
  if (model !== undefined) checkName("model", model);
  checkOneOf("endpoint", endpoint, ["tokenize", "render"]);
  if (typeof headers !== "object" || headers === null) throw typeMistake("headers", "record", headers);
  checkInteger("timeoutMs", timeoutMs, 1, 2 ** 31 - 1);
  checkInteger("maxConcurrent", maxConcurrent, 1);
  checkInteger("maxQueued", maxQueued, 0);
  checkInteger("cacheBytes", cacheBytes, 0);
  if (options.fetch !== undefined && typeof options.fetch !== "function")
    throw typeMistake("fetch", "function", options.fetch);
  return new RemoteTokenizer({
    base: baseUrl(url),
    model,
    endpoint,
    headers,
    timeoutMs,
    ask: options.fetch,
    turns: new Turns(maxConcurrent, maxQueued),
    answers:
      cacheBytes === 0
        ? undefined
        : new BoundedCache<string, Uint32Array>({
            maxBytes: cacheBytes,
            bytesOf: (tokens, key) => ENTRY_BYTES + 2 * key.length + tokens.byteLength,
          }),
  });
}

interface Settings {
  readonly base: URL;
  readonly model: string | undefined;
  readonly endpoint: "tokenize" | "render";
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly ask: Fetch | undefined;
  readonly turns: Turns;
  /** By path and body. */
  readonly answers: BoundedCache<string, Uint32Array> | undefined;
}

class RemoteTokenizer implements Tokenizer {
  readonly #settings: Settings;
  readonly #closed = new AbortController();

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  async encode(text: string, options: EncodeOptions = {}): Promise<Uint32Array> {
    checkOptions("encode", options, ["addSpecialTokens", "signal"]);
    checkName("text", text);
    const { model, endpoint } = this.#settings;
    const fields = { model, prompt: text, add_special_tokens: options.addSpecialTokens ?? true };
    return this.#ask(PATHS[endpoint].prompt, fields, options.signal);
  }

  async encodeChat(messages: readonly ChatMessage[], options: ChatOptions = {}): Promise<Uint32Array> {
    if (!Array.isArray(messages) || messages.length === 0)
      throw typeMistake("messages", "a non-empty array of messages", messages);
    checkOptions("encodeChat", options, CHAT_OPTIONS);
    const { model, endpoint } = this.#settings;
    const { continueFinalMessage = false, addGenerationPrompt = !continueFinalMessage } = options;
    const { documents, templateArguments, tools } = options;
    const kwargs = { ...templateArguments, ...(documents && { documents }) };
    const fields = {
      model,
      messages,
      add_generation_prompt: addGenerationPrompt,
      continue_final_message: continueFinalMessage,
      add_special_tokens: options.addSpecialTokens ?? false,
      chat_template: options.chatTemplate,
      // /tokenize has no documents; as a variable of the template they are the same.
      chat_template_kwargs: Object.keys(kwargs).length === 0 ? undefined : kwargs,
      tools: tools ?? undefined,
    };
    return this.#ask(PATHS[endpoint].chat, fields, options.signal);
  }

  close(): void {
    this.#closed.abort(new KvBlockError("ERR_KVBLOCK_CLOSED", "the tokenizer is closed"));
  }

  async #ask(path: string, fields: object, signal: AbortSignal | undefined): Promise<Uint32Array> {
    const { base, endpoint, headers, timeoutMs, ask, turns, answers } = this.#settings;
    this.#closed.signal.throwIfAborted();
    signal?.throwIfAborted();
    // A rendered request would generate to the model's length, and be refused where the prompt leaves no room.
    const body = formatPythonJson(endpoint === "render" ? { ...fields, max_tokens: 1 } : fields);
    const key = `${path} ${body}`;
    const known = answers?.get(key);
    if (known !== undefined) return known;
    const timeout = AbortSignal.timeout(timeoutMs);
    const any = AbortSignal.any([timeout, this.#closed.signal, ...(signal === undefined ? [] : [signal])]);
    const url = new URL(path, base);
    try {
      const tokens = tokensOf(await turns.run(() => askJson(url, body, headers, any, ask), any), url);
      answers?.set(key, tokens);
      return tokens;
    } catch (error) {
      if (any.reason !== timeout.reason || !timeout.aborted) throw error;
      const message = `${url.origin}${url.pathname} took more than ${timeoutMs} ms`;
      throw new KvBlockError("ERR_KVBLOCK_TIMEOUT", message, { cause: error });
    }
  }
}

/** `tokens` of `/tokenize`, `token_ids` of a rendered chat, or those of the one rendered prompt. */
function tokensOf(answer: unknown, url: URL): Uint32Array {
  const only = Array.isArray(answer) && answer.length === 1 ? (answer as unknown[])[0] : answer;
  const { tokens, token_ids: rendered = tokens } = (only ?? {}) as { tokens?: unknown; token_ids?: unknown };
  const ids = Array.isArray(rendered) ? (rendered as unknown[]) : [];
  const isId = (id: unknown): boolean =>
    Number.isInteger(id) && (id as number) >= 0 && (id as number) <= U32_MAX;
  if (ids.length === 0 || !ids.every(isId))
    throw new KvBlockError("ERR_KVBLOCK_REMOTE", `${url.origin}${url.pathname} answered without token ids`);
  return Uint32Array.from(ids as number[]);
}

/** Paths are below it, whether or not it ends in a slash. */
function baseUrl(url: unknown): URL {
  if (typeof url !== "string" && !(url instanceof URL)) throw typeMistake("url", "URL or string", url);
  const text = String(url);
  if (!URL.canParse(text) || !/^https?:/.test(text)) throw rangeMistake("url", "http or https URL", url);
  const base = new URL(text);
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  return base;
}
