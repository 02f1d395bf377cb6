/**
 * OpenAI request bodies → what there is to score: prompts or a conversation, with everything that decides the tokens.
 *
 * Source: vLLM `entrypoints/openai/completion/protocol.py` (`CompletionRequest`) and
 * `chat_completion/protocol.py` (`ChatCompletionRequest`, `build_chat_params`); `sampling_params.py` for which
 * requests skip the prefix cache. Fields that change no token, no cache and no hash are not read.
 * @module
 */
import { describe, KvBlockError } from "../errors.js";
import type { ChatMessage, ChatOptions, EncodeOptions, TokenIds } from "../types.js";
import { checkParts } from "./messages.js";
import { parsePythonJson } from "./python-json.js";

/** What completions and chat requests have in common. */
export interface ScoreInputBase {
  /** Absent where the request leaves the choice to the engine. */
  readonly model?: string | undefined;
  readonly cacheSalt?: string | undefined;
  /** How the engine shortens the prompt before it computes; see {@link truncateTokens}. */
  readonly truncation?: Truncation | undefined;
  /** False when the engine computes the whole prompt anew, whatever is cached (prompt log-probabilities). */
  readonly readsPrefixCache: boolean;
}

/** A completions request: each prompt is a sequence of its own. */
export interface PromptsScoreInput extends ScoreInputBase {
  readonly kind: "prompts";
  /** Texts or token ids, at least one. */
  readonly prompts: readonly (string | TokenIds)[];
  readonly options: EncodeOptions;
}

/** A chat request. */
export interface ChatScoreInput extends ScoreInputBase {
  readonly kind: "chat";
  readonly messages: readonly ChatMessage[];
  readonly options: ChatOptions;
}

/** What a request body gives to score, told apart by `kind`. */
export type ScoreInput = PromptsScoreInput | ChatScoreInput;

/** `truncate_prompt_tokens` and `truncation_side`. */
export interface Truncation {
  /** Tokens kept. */
  readonly tokens: number;
  /** `left` keeps the last ones (vLLM's default), `right` the first. */
  readonly side: "left" | "right";
  /**
   * Whether special tokens around the prompt are cut like any other. vLLM does so where a request says the side, either
   * one; where it says nothing, the Hugging Face tokenizer cuts on the left and keeps them (`renderers/params.py`,
   * `get_encode_kwargs` and `_token_truncation`, the same in 0.24 and 0.33).
   */
  readonly cutsSpecialTokens?: true;
}

type Body = Readonly<Record<string, unknown>>;

const U32_MAX = 0xffff_ffff;

/**
 * Read a completions or chat body.
 *
 * @param body - the parsed body, or its JSON as text or UTF-8 bytes. Raw JSON is better where tools are used: engines
 *   print a tool's numbers back, and `JSON.parse` has already made `1.0` a `1` and reordered numeric keys.
 * @throws KvBlockError `ERR_KVBLOCK_INPUT` naming the field: nothing to score, a wrong type, or a part that is no text
 */
export function scoreInputFromOpenAI(body: unknown): ScoreInput {
  const fields = typeof body === "string" || body instanceof Uint8Array ? parseBody(body) : body;
  if (!isBody(fields)) throw wrong("the body", "a JSON object", fields);
  if (given(fields["messages"])) return chatInput(fields);
  if (given(fields["prompt"]) || given(fields["prompt_embeds"])) return promptsInput(fields);
  throw new KvBlockError(
    "ERR_KVBLOCK_INPUT",
    'the body has neither "messages" nor "prompt": nothing to score',
  );
}

/** How many special tokens a tokenizer put around a prompt: Llama 3 one before, BERT one on each side. */
export interface Surroundings {
  readonly before: number;
  readonly after: number;
}

const NONE: Surroundings = { before: 0, after: 0 };

/**
 * The tokens that the engine keeps of a prompt: special tokens around it stay, and count, unless the truncation cuts them
 * too. Token ids that a client sent are cut as they are.
 */
export function truncateTokens(
  tokens: TokenIds,
  truncation: Truncation | undefined,
  surroundings: Surroundings = NONE,
): TokenIds {
  if (truncation === undefined || truncation.tokens >= tokens.length) return tokens;
  const { before, after } = truncation.cutsSpecialTokens ? NONE : surroundings;
  const room = truncation.tokens - before - after;
  if (room < 0)
    throw new KvBlockError(
      "ERR_KVBLOCK_INPUT",
      `"truncate_prompt_tokens" is ${truncation.tokens}, fewer than the tokenizer's ${before + after} special tokens`,
    );
  const end = tokens.length - after;
  const start = truncation.side === "left" ? end - room : before;
  const ids = tokens instanceof Uint32Array ? tokens : Uint32Array.from(tokens);
  const kept = new Uint32Array(truncation.tokens);
  kept.set(ids.subarray(0, before));
  kept.set(ids.subarray(start, start + room), before);
  kept.set(ids.subarray(end), before + room);
  return kept;
}

function promptsInput(body: Body): PromptsScoreInput {
  if (given(body["prompt_embeds"]))
    throw new KvBlockError(
      "ERR_KVBLOCK_INPUT",
      '"prompt_embeds" hold no tokens to score; give the placeholder token ids and their extra keys to scoreTokens',
    );
  const logprobs = body["prompt_logprobs"] ?? (body["echo"] === true ? body["logprobs"] : null);
  return {
    kind: "prompts",
    prompts: readPrompts(body["prompt"]),
    options: { addSpecialTokens: flag(body, "add_special_tokens", true) },
    ...shared(body),
    readsPrefixCache: !given(logprobs),
  };
}

function chatInput(body: Body): ChatScoreInput {
  const messages = body["messages"];
  if (!Array.isArray(messages) || messages.length === 0)
    throw wrong('"messages"', "a non-empty array", messages);
  for (const [index, message] of (messages as unknown[]).entries()) {
    const where = `messages[${index}]`;
    if (!isBody(message) || typeof message["role"] !== "string")
      throw wrong(where, "a message with a role", message);
    checkParts(message["content"], `${where}.content`);
  }
  const tools = list(body, "tools");
  const documents = list(body, "documents");
  const continueFinalMessage = flag(body, "continue_final_message", false);
  const addGenerationPrompt = flag(body, "add_generation_prompt", !continueFinalMessage);
  if (continueFinalMessage && addGenerationPrompt)
    throw wrong('"add_generation_prompt"', 'false with "continue_final_message"', addGenerationPrompt);
  const chatTemplate = text(body, "chat_template");
  // Without prompt_logprobs, "echo" asks for as many as top_logprobs says, and that is 0, not none, when absent.
  const echoed = body["echo"] === true && body["top_logprobs"] !== null;
  return {
    kind: "chat",
    messages: messages as ChatMessage[],
    options: {
      ...(tools && { tools }),
      ...(documents && { documents }),
      // An empty text is no template, as vLLM has it.
      ...(chatTemplate && { chatTemplate }),
      addGenerationPrompt,
      continueFinalMessage,
      addSpecialTokens: flag(body, "add_special_tokens", false),
      templateArguments: templateArguments(body),
    },
    ...shared(body),
    readsPrefixCache: !given(body["prompt_logprobs"]) && !echoed,
  };
}

/** `chat_template_kwargs`, over which the request's own reasoning effort goes. */
function templateArguments(body: Body): Record<string, unknown> {
  const own = body["chat_template_kwargs"];
  if (given(own) && !isBody(own)) throw wrong('"chat_template_kwargs"', "an object", own);
  const effort = text(body, "reasoning_effort");
  if (effort === undefined) return { ...own };
  // Templates with the variable think when an effort is asked for, unless the request says otherwise.
  return { enable_thinking: effort !== "none", ...own, reasoning_effort: effort };
}

function shared(body: Body): Omit<ScoreInputBase, "readsPrefixCache"> {
  const model = text(body, "model");
  const cacheSalt = text(body, "cache_salt");
  const truncation = readTruncation(body);
  return { ...(model && { model }), ...(cacheSalt && { cacheSalt }), ...(truncation && { truncation }) };
}

/** -1 cuts to the context length, which only the engine knows; shorter prompts, the usual ones, it leaves whole. */
function readTruncation(body: Body): Truncation | undefined {
  const tokens = body["truncate_prompt_tokens"];
  if (!given(tokens) || tokens === -1) return undefined;
  if (!Number.isSafeInteger(tokens) || (tokens as number) < 0)
    throw wrong('"truncate_prompt_tokens"', "integer >= -1", tokens);
  const said = text(body, "truncation_side");
  const side = said ?? "left";
  if (side !== "left" && side !== "right") throw wrong('"truncation_side"', '"left" or "right"', side);
  return { tokens: tokens as number, side, ...(said && { cutsSpecialTokens: true as const }) };
}

function readPrompts(prompt: unknown): readonly (string | TokenIds)[] {
  if (typeof prompt === "string" && prompt !== "") return [prompt];
  if (!Array.isArray(prompt) || prompt.length === 0)
    throw wrong('"prompt"', "a non-empty text, texts, token ids, or lists of them", prompt);
  const items = prompt as unknown[];
  if (typeof items[0] === "number") return [tokenIds(items, "prompt")];
  const texts = typeof items[0] === "string";
  return items.map((item, index) => {
    if (!texts) return tokenIds(item, `prompt[${index}]`);
    if (typeof item !== "string" || item === "") throw wrong(`"prompt[${index}]"`, "a non-empty text", item);
    return item;
  });
}

/** Token ids as they are: copied by no one before they are hashed. */
function tokenIds(value: unknown, where: string): readonly number[] {
  if (!Array.isArray(value) || value.length === 0)
    throw wrong(`"${where}"`, "a non-empty list of token ids", value);
  const bad = (value as unknown[]).findIndex(
    (id) => !Number.isInteger(id) || (id as number) < 0 || (id as number) > U32_MAX,
  );
  if (bad !== -1)
    throw new KvBlockError(
      "ERR_KVBLOCK_INPUT",
      `"${where}[${bad}]" is no token id: an integer 0 … ${U32_MAX}`,
    );
  return value as number[];
}

function parseBody(body: string | Uint8Array): unknown {
  try {
    return parsePythonJson(
      typeof body === "string" ? body : new TextDecoder("utf-8", { fatal: true }).decode(body),
    );
  } catch (cause) {
    throw new KvBlockError("ERR_KVBLOCK_INPUT", "the body is not JSON", { cause });
  }
}

function text(body: Body, field: string): string | undefined {
  const value = body[field];
  if (!given(value)) return undefined;
  if (typeof value !== "string") throw wrong(`"${field}"`, "string", value);
  return value;
}

function flag(body: Body, field: string, fallback: boolean): boolean {
  const value = body[field] ?? fallback;
  if (typeof value !== "boolean") throw wrong(`"${field}"`, "boolean", value);
  return value;
}

function list(body: Body, field: string): readonly unknown[] | undefined {
  const value = body[field];
  if (!given(value)) return undefined;
  if (!Array.isArray(value)) throw wrong(`"${field}"`, "an array", value);
  return value;
}

/** Null says the same as absence in these bodies. */
function given(value: unknown): value is NonNullable<unknown> {
  return value !== undefined && value !== null;
}

function isBody(value: unknown): value is Body {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Only the kind of a wrong value is told: it may be the prompt. */
function wrong(field: string, expected: string, got: unknown): KvBlockError {
  const kind = typeof got === "string" ? (got === "" ? "an empty string" : "a string") : describe(got);
  return new KvBlockError("ERR_KVBLOCK_INPUT", `${field} expected ${expected}, got ${kind}`);
}
