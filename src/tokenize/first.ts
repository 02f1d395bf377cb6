/**
 * Several tokenizers of one model as one: the first that has an answer.
 * @module
 */
import { checkOptions, KvBlockError, rangeMistake, typeMistake } from "../errors.js";
import type { ChatMessage, ChatOptions, EncodeOptions, TokenIds, Tokenizer } from "../types.js";

export interface FirstTokenizerOptions {
  /** Told when a tokenizer failed and the next is asked: its error, and its place in the list. */
  onFallback?: ((error: Error, index: number) => void) | undefined;
}

/**
 * A tokenizer that asks each of a list in turn, until one gives tokens: `firstTokenizer([remote, local])`. A caller's own
 * mistake (`TypeError`, `RangeError`) and an aborted signal end it at once. Closing it closes all.
 * @throws TypeError or RangeError unless it is a list of at least one tokenizer
 */
export function firstTokenizer(
  tokenizers: readonly Tokenizer[],
  options: FirstTokenizerOptions = {},
): Tokenizer & Required<Pick<Tokenizer, "encodeChat">> {
  checkOptions("firstTokenizer", options, ["onFallback"]);
  if (!Array.isArray(tokenizers)) throw typeMistake("tokenizers", "array of tokenizers", tokenizers);
  if (tokenizers.length === 0) throw rangeMistake("tokenizers", "at least one tokenizer", tokenizers);
  const { onFallback } = options;
  if (onFallback !== undefined && typeof onFallback !== "function")
    throw typeMistake("onFallback", "function", onFallback);
  return new FirstTokenizer([...(tokenizers as readonly Tokenizer[])], onFallback);
}

class FirstTokenizer implements Tokenizer {
  readonly degraded: string | undefined;
  readonly #tokenizers: readonly Tokenizer[];
  readonly #onFallback: FirstTokenizerOptions["onFallback"];

  constructor(tokenizers: readonly Tokenizer[], onFallback: FirstTokenizerOptions["onFallback"]) {
    this.#tokenizers = tokenizers;
    this.#onFallback = onFallback;
    this.degraded = tokenizers.find(({ degraded }) => degraded !== undefined)?.degraded;
  }

  encode(text: string, options: EncodeOptions = {}): Promise<TokenIds> {
    return this.#first((tokenizer) => tokenizer.encode(text, options), options.signal);
  }

  encodeChat(messages: readonly ChatMessage[], options: ChatOptions = {}): Promise<TokenIds> {
    return this.#first((tokenizer) => {
      if (tokenizer.encodeChat === undefined)
        throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", "this tokenizer has no chat template");
      return tokenizer.encodeChat(messages, options);
    }, options.signal);
  }

  async close(): Promise<void> {
    await Promise.all(this.#tokenizers.map((tokenizer) => tokenizer.close?.()));
  }

  async #first(
    ask: (tokenizer: Tokenizer) => TokenIds | Promise<TokenIds>,
    signal: AbortSignal | undefined,
  ): Promise<TokenIds> {
    const errors: Error[] = [];
    for (const [index, tokenizer] of this.#tokenizers.entries()) {
      try {
        const tokens = await ask(tokenizer);
        if (tokens.length > 0) return tokens;
        throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", "the tokenizer returned no tokens");
      } catch (cause) {
        signal?.throwIfAborted();
        const error = cause instanceof Error ? cause : new Error(String(cause));
        if (error instanceof TypeError || error instanceof RangeError) throw error;
        errors.push(error);
        if (index < this.#tokenizers.length - 1) this.#onFallback?.(error, index);
      }
    }
    if (errors.length === 1) throw errors[0]!;
    throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", `none of ${errors.length} tokenizers has an answer`, {
      cause: new AggregateError(errors),
    });
  }
}
