/**
 * Which tokenizer a model has, and what it is asked.
 * @module
 */
import type { Diagnostics } from "./diagnostics.js";
import { checkName, checkOptions, KvBlockError, rangeMistake, typeMistake } from "./errors.js";
import type { Models } from "./models.js";
import type { TokenizerSource } from "./options.js";
import type { ChatMessage, ChatOptions, EncodeOptions, TokenIds, Tokenizer } from "./types.js";

/** Models whose tokenizer is kept: requests name models, so their number is not ours. */
const MAX_KEPT = 64;

export const ENCODE_OPTIONS: readonly string[] = ["model", "addSpecialTokens", "signal"];
export const CHAT_OPTIONS: readonly string[] = [
  ...ENCODE_OPTIONS,
  "tools",
  "documents",
  "addGenerationPrompt",
  "continueFinalMessage",
  "chatTemplate",
  "templateArguments",
];

export class Tokenizers {
  readonly #source: TokenizerSource | undefined;
  readonly #models: Models;
  readonly #diagnostics: Diagnostics;
  readonly #found = new Map<string, Promise<Tokenizer | undefined>>();

  constructor(source: TokenizerSource | undefined, models: Models, diagnostics: Diagnostics) {
    this.#source = source;
    this.#models = models;
    this.#diagnostics = diagnostics;
  }

  async encode(prompt: string, request: { model: string } & EncodeOptions): Promise<TokenIds> {
    if (typeof prompt !== "string") throw typeMistake("prompt", "string", prompt);
    if (prompt === "") throw rangeMistake("prompt", "non-empty string", prompt);
    checkOptions("request", request, ENCODE_OPTIONS);
    const { model, ...options } = request;
    options.signal?.throwIfAborted();
    return run(model, await this.#of(model), (tokenizer) => tokenizer.encode(prompt, options));
  }

  async encodeChat(
    messages: readonly ChatMessage[],
    request: { model: string } & ChatOptions,
  ): Promise<TokenIds> {
    if (!Array.isArray(messages)) throw typeMistake("messages", "array of messages", messages);
    if (messages.length === 0) throw rangeMistake("messages", "at least one message", messages);
    checkOptions("request", request, CHAT_OPTIONS);
    const { model, ...options } = request;
    options.signal?.throwIfAborted();
    const tokenizer = await this.#of(model);
    if (tokenizer.encodeChat === undefined)
      throw new KvBlockError(
        "ERR_KVBLOCK_TOKENIZE",
        `The tokenizer of ${JSON.stringify(model)} cannot render chats.`,
      );
    return run(model, tokenizer, () => tokenizer.encodeChat!(messages, options));
  }

  async #of(name: string): Promise<Tokenizer> {
    const { model } = this.#models.resolve(checkName("model", name));
    let found = this.#found.get(model);
    const isNew = found === undefined;
    if (found === undefined) {
      const source = this.#source;
      found = (async () => (typeof source === "function" ? source(model) : own(source, model)))();
      if (this.#found.size >= MAX_KEPT) this.#found.delete(this.#found.keys().next().value!);
      this.#found.set(model, found);
    }
    let tokenizer: Tokenizer | undefined;
    try {
      tokenizer = await found;
    } catch (cause) {
      this.#found.delete(model);
      throw new KvBlockError(
        "ERR_KVBLOCK_TOKENIZE",
        `The tokenizer of ${JSON.stringify(model)} could not be loaded.`,
        { cause },
      );
    }
    if (tokenizer !== undefined) {
      if (isNew) this.#tell(model, tokenizer.degraded);
      return tokenizer;
    }
    this.#found.delete(model);
    this.#diagnostics.raise({
      code: "tokenizer-missing",
      severity: "error",
      message: `There is no tokenizer for the model ${JSON.stringify(model)}, so its prompts cannot be scored as text.`,
      fix: "Give one in the tokenizers option, or score token ids with scoreTokens.",
      model,
      evidence: {},
    });
    throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", `No tokenizer for the model ${JSON.stringify(model)}.`);
  }

  #tell(model: string, degraded: string | undefined): void {
    this.#diagnostics.withdraw("tokenizer-missing", model);
    if (degraded === undefined) this.#diagnostics.withdraw("tokenizer-degraded", model);
    else
      this.#diagnostics.raise({
        code: "tokenizer-degraded",
        severity: "warning",
        message: `The tokenizer of ${JSON.stringify(model)} encodes more slowly than it should: ${degraded}.`,
        fix: "Its tokens are right; report the model, so that it is encoded fast again.",
        model,
        evidence: { reason: degraded },
      });
  }
}

function own(source: Readonly<Record<string, Tokenizer>> | undefined, model: string): Tokenizer | undefined {
  return source !== undefined && Object.hasOwn(source, model) ? source[model] : undefined;
}

/** Refuse an answer without tokens: it would be scored as if nothing had been asked. */
async function run(
  model: string,
  tokenizer: Tokenizer,
  encode: (tokenizer: Tokenizer) => TokenIds | Promise<TokenIds>,
): Promise<TokenIds> {
  let tokens: TokenIds;
  try {
    tokens = await encode(tokenizer);
  } catch (cause) {
    if (
      cause instanceof TypeError ||
      cause instanceof RangeError ||
      (cause as { code?: unknown })?.code !== undefined
    )
      throw cause;
    throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", `The tokenizer of ${JSON.stringify(model)} failed.`, {
      cause,
    });
  }
  if (tokens.length === 0)
    throw new KvBlockError(
      "ERR_KVBLOCK_TOKENIZE",
      `The tokenizer of ${JSON.stringify(model)} returned no tokens for a prompt with text.`,
    );
  return tokens;
}
