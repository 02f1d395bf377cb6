/**
 * What worker threads are asked to do, and the tokenizers that they load for it.
 * @module
 */
import { KvBlockError } from "./errors.js";
import type { HashPlan } from "./hash-plan.js";
import { createTiktokenTokenizer } from "./tiktoken.js";
import {
  createHuggingFaceTokenizer,
  type HuggingFaceTokenizerOptions,
  type HuggingFaceTokenizerSource,
} from "./tokenize/index.js";
import type { ChatMessage, ChatOptions, EncodeOptions, Tokenizer } from "./types.js";

/**
 * A tokenizer that every thread loads for itself: a model's directory or `tokenizer.json`, its parsed files, or the name
 * of an OpenAI encoding.
 */
export type WorkerTokenizerSource = string | HuggingFaceTokenizerSource | { encoding: string };

/** Of a model's tokenizer, as {@link createHuggingFaceTokenizer} has them, but for the clock, which stays here. */
export type LoadOptions = Omit<HuggingFaceTokenizerOptions, "now">;

/** Tokenizers are named by numbers, the pool's. */
export type WorkerTask =
  | {
      /** Gives the tokenizer's `degraded`. */
      readonly do: "load";
      readonly tokenizer: number;
      readonly source: WorkerTokenizerSource;
      readonly options: LoadOptions;
    }
  | {
      readonly do: "encode";
      readonly tokenizer: number;
      readonly text: string;
      readonly options: EncodeOptions;
    }
  | {
      readonly do: "encodeChat";
      readonly tokenizer: number;
      readonly messages: readonly ChatMessage[];
      readonly options: ChatOptions;
      /** What templates print as the date: milliseconds since the epoch, of the pool's clock. */
      readonly now: number;
    }
  | { readonly do: "hash"; readonly tokens: Uint32Array; readonly plan: HashPlan };

/** @throws KvBlockError `ERR_KVBLOCK_TOKENIZE` for a tokenizer without templates, and what it throws itself */
export function encodeChat(
  tokenizer: Tokenizer,
  messages: readonly ChatMessage[],
  options: ChatOptions,
): ReturnType<NonNullable<Tokenizer["encodeChat"]>> {
  if (tokenizer.encodeChat === undefined)
    throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", "this tokenizer has no chat template");
  return tokenizer.encodeChat(messages, options);
}

/** @throws KvBlockError `ERR_KVBLOCK_TOKENIZE` as the loader of the source does */
export function loadTokenizer(
  source: WorkerTokenizerSource,
  options: HuggingFaceTokenizerOptions,
): Promise<Tokenizer> {
  if (typeof source === "object" && source !== null && "encoding" in source)
    return createTiktokenTokenizer(source.encoding);
  return createHuggingFaceTokenizer(source, options);
}
