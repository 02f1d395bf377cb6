/**
 * A `Tokenizer` from a model's `tokenizer.json`, on `@huggingface/tokenizers`, with the model's own chat template.
 *
 * Completions are encoded with the tokenizer's special tokens, chats without (the template writes them), as vLLM's
 * endpoints do by default.
 * @module
 */
import { Tokenizer as Encoder } from "@huggingface/tokenizers";
import { checkName, checkOptions, KvBlockError, typeMistake } from "../errors.js";
import type { ChatMessage, ChatOptions, EncodeOptions, Tokenizer } from "../types.js";
import { ChatRenderer } from "./chat-renderer.js";
import { readTokenizerFiles, type TokenizerFiles, templatesOfConfig } from "./model-files.js";

/** A tokenizer's files as parsed JSON, where no directory holds them. */
export interface HuggingFaceTokenizerSource {
  tokenizerJson: object;
  tokenizerConfig?: object | undefined;
  /** Used in place of the configuration's template. */
  chatTemplate?: string | undefined;
}

/** How templates are rendered. */
export interface HuggingFaceTokenizerOptions {
  /** Clock of templates that print the date (`strftime_now`): the engine's, in its time zone. Default: the host's. */
  now?: (() => Date) | undefined;
}

/**
 * Load a model's tokenizer.
 *
 * @param source - a directory with `tokenizer.json` (and `tokenizer_config.json`, `chat_template.jinja` or
 *   `chat_template.json`), the path of a `tokenizer.json`, or the parsed files
 * @returns a tokenizer that encodes at once, on the calling thread (0.2 to 0.5 million tokens a second)
 * @throws KvBlockError `ERR_KVBLOCK_TOKENIZE` naming the file or field that is missing or broken
 */
export async function createHuggingFaceTokenizer(
  source: string | HuggingFaceTokenizerSource,
  options: HuggingFaceTokenizerOptions = {},
): Promise<Tokenizer> {
  checkOptions("createHuggingFaceTokenizer", options, ["now"]);
  if (options.now !== undefined && typeof options.now !== "function")
    throw typeMistake("now", "function", options.now);
  const files =
    typeof source === "string" ? await readTokenizerFiles(checkName("source", source)) : fromSource(source);
  const renderer = new ChatRenderer(files.templates, specialTokens(files.tokenizerConfig), options.now);
  return new HuggingFaceTokenizer(createEncoder(files), renderer);
}

class HuggingFaceTokenizer implements Tokenizer {
  #encoder: Encoder | undefined;
  readonly #renderer: ChatRenderer;

  constructor(encoder: Encoder, renderer: ChatRenderer) {
    this.#encoder = encoder;
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
    let ids: number[];
    try {
      ids = this.#encoder.encode(text, { add_special_tokens: addSpecialTokens }).ids;
    } catch (cause) {
      throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", "the tokenizer cannot encode this text", { cause });
    }
    // An id the vocabulary lacks comes back as undefined, and would become token 0.
    if (ids.length === 0 || ids.includes(undefined as unknown as number))
      throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", "the tokenizer has no tokens for this text");
    return Uint32Array.from(ids);
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
  return { tokenizerJson, tokenizerConfig, templates };
}

function createEncoder({ tokenizerJson, tokenizerConfig }: TokenizerFiles): Encoder {
  if (!isRecord((tokenizerJson as Record<string, unknown>)["model"]))
    throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", 'tokenizer.json: "model" is missing');
  try {
    return new Encoder(tokenizerJson, tokenizerConfig);
  } catch (cause) {
    throw new KvBlockError(
      "ERR_KVBLOCK_TOKENIZE",
      "tokenizer.json: the tokenizer it describes cannot be built",
      {
        cause,
      },
    );
  }
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
