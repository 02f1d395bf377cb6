/**
 * A `Tokenizer` from a model's `tokenizer.json`, with the model's own chat template.
 *
 * Completions are encoded with the tokenizer's special tokens, chats without (the template writes them), as vLLM's
 * endpoints do by default.
 * @module
 */
import { checkInteger, checkName, checkOptions, KvBlockError, typeMistake } from "../errors.js";
import type { ChatMessage, ChatOptions, EncodeOptions, Tokenizer } from "../types.js";
import { ChatRenderer } from "./chat-renderer.js";
import { type LoadedEncoder, loadEncoder, type ModelEncoder } from "./model-encoder.js";
import { readTokenizerFiles, type TokenizerFiles, templatesOfConfig } from "./model-files.js";
import { checkTokenizerJson } from "./tokenizer-json.js";

/** A tokenizer's files as parsed JSON, where no directory holds them. */
export interface HuggingFaceTokenizerSource {
  tokenizerJson: object;
  tokenizerConfig?: object | undefined;
  /** Used in place of the configuration's template. */
  chatTemplate?: string | undefined;
}

/** How a tokenizer renders and encodes. */
export interface HuggingFaceTokenizerOptions {
  /** Clock of templates that print the date (`strftime_now`): the engine's, in its time zone. Default: the host's. */
  now?: (() => Date) | undefined;
  /** Bytes of segments of prompts that are remembered with their tokens. Default 32 MiB; 0 remembers none. */
  memoBytes?: number | undefined;
  /** Whether byte-level BPE models are encoded by our own, faster implementation. Default true. */
  fastPath?: boolean | undefined;
}

const DEFAULT_MEMO_BYTES = 32 * 2 ** 20;

/**
 * Load a model's tokenizer.
 *
 * @param source - a directory with `tokenizer.json` (and `tokenizer_config.json`, `chat_template.jinja` or
 *   `chat_template.json`), the path of a `tokenizer.json`, or the parsed files
 * @returns a tokenizer that encodes at once, on the calling thread; its `degraded` says why a model that should be
 *   encoded fast is not
 * @throws KvBlockError `ERR_KVBLOCK_TOKENIZE` naming the file or field that is missing or broken
 */
export async function createHuggingFaceTokenizer(
  source: string | HuggingFaceTokenizerSource,
  options: HuggingFaceTokenizerOptions = {},
): Promise<Tokenizer> {
  checkOptions("createHuggingFaceTokenizer", options, ["now", "memoBytes", "fastPath"]);
  const { now, memoBytes = DEFAULT_MEMO_BYTES, fastPath = true } = options;
  if (now !== undefined && typeof now !== "function") throw typeMistake("now", "function", now);
  checkInteger("memoBytes", memoBytes, 0);
  if (typeof fastPath !== "boolean") throw typeMistake("fastPath", "boolean", fastPath);
  const files =
    typeof source === "string" ? await readTokenizerFiles(checkName("source", source)) : fromSource(source);
  const { tokenizerConfig } = files;
  const renderer = new ChatRenderer(files, specialTokens(tokenizerConfig), now);
  const tokenizer = checkTokenizerJson(files.tokenizerJson as Record<string, unknown>);
  return new HuggingFaceTokenizer(loadEncoder(tokenizer, tokenizerConfig, { memoBytes, fastPath }), renderer);
}

class HuggingFaceTokenizer implements Tokenizer {
  readonly degraded: string | undefined;
  #encoder: ModelEncoder | undefined;
  readonly #renderer: ChatRenderer;

  constructor({ encoder, degraded }: LoadedEncoder, renderer: ChatRenderer) {
    this.#encoder = encoder;
    this.degraded = degraded;
    this.#renderer = renderer;
  }

  encode(text: string, options: EncodeOptions = {}): Uint32Array {
    checkOptions("encode", options, ["addSpecialTokens", "signal"]);
    options.signal?.throwIfAborted();
    return this.#encode(checkName("text", text), options.addSpecialTokens ?? true);
  }

  encodeChat(messages: readonly ChatMessage[], options: ChatOptions = {}): Uint32Array {
    const text = this.#renderer.render(messages, options);
    return this.#encode(text, options.addSpecialTokens ?? false);
  }

  close(): void {
    this.#encoder = undefined;
  }

  #encode(text: string, addSpecialTokens: boolean): Uint32Array {
    if (this.#encoder === undefined) throw new KvBlockError("ERR_KVBLOCK_CLOSED", "the tokenizer is closed");
    let ids: Uint32Array;
    try {
      // A lone surrogate is U+FFFD, as it is to the official library's own binding.
      ids = this.#encoder.encode(text.toWellFormed(), addSpecialTokens);
    } catch (cause) {
      if (cause instanceof KvBlockError) throw cause;
      throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", "the tokenizer cannot encode this text", { cause });
    }
    if (ids.length === 0)
      throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", "the tokenizer has no tokens for this text");
    return ids;
  }
}

function fromSource(source: HuggingFaceTokenizerSource): TokenizerFiles {
  checkOptions("source", source, ["tokenizerJson", "tokenizerConfig", "chatTemplate"]);
  const { tokenizerJson, tokenizerConfig = {}, chatTemplate } = source;
  if (!isRecord(tokenizerJson))
    throw typeMistake("tokenizerJson", "the content of a tokenizer.json", tokenizerJson);
  if (!isRecord(tokenizerConfig))
    throw typeMistake("tokenizerConfig", "the content of a tokenizer_config.json", tokenizerConfig);
  if (chatTemplate !== undefined) checkName("chatTemplate", chatTemplate);
  const templates =
    chatTemplate === undefined ? templatesOfConfig(tokenizerConfig) : new Map([["default", chatTemplate]]);
  const templatesFrom = chatTemplate === undefined ? 'tokenizerConfig: "chat_template"' : "chatTemplate";
  return { tokenizerJson, tokenizerConfig, templates, templatesFrom };
}

/** `bos_token`, `eos_token` and kin, which transformers gives to every template (`special_tokens_map`). */
function specialTokens(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const tokens: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(config)) {
    if (name === "additional_special_tokens" && Array.isArray(value)) tokens[name] = value.map(tokenText);
    else if (name.endsWith("_token")) {
      const text = tokenText(value);
      if (typeof text === "string") tokens[name] = text;
    }
  }
  return tokens;
}

/** A token is a text, or an added token's description. */
function tokenText(value: unknown): unknown {
  return isRecord(value) ? value["content"] : value;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
