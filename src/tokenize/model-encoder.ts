/**
 * Which implementation encodes a model's prompts: our own for byte-level BPE, once it agrees with the general one on a
 * sample; else the general one.
 * @module
 */
import { KvBlockError } from "../errors.js";
import { AddedTokens, isNormalized } from "./added-tokens.js";
import { ByteLevelEncoder } from "./byte-level-encoder.js";
import { readByteLevelModel } from "./byte-level-model.js";
import { type Around, PromptEncoder } from "./prompt-encoder.js";
import { SegmentMemo } from "./segment-memo.js";
import { reducedTokenizerJson, sampleTexts } from "./self-check.js";
import { compilePattern, createStockEncoder, type StockEncoder } from "./stock-encoder.js";
import type { CheckedTokenizer, TokenizerJson } from "./tokenizer-json.js";
import { warmUp } from "./warm-up.js";

/** Encodes prompts of one model; texts are well-formed. */
export interface ModelEncoder {
  encode(text: string, addSpecialTokens: boolean): Uint32Array;
}

export interface ModelEncoderOptions {
  readonly fastPath: boolean;
  readonly memoBytes: number;
}

export interface LoadedEncoder {
  readonly encoder: ModelEncoder;
  /** Why a model that the fast path should serve is not served by it. */
  readonly degraded: string | undefined;
}

/** Settings of tokenizer_config.json that change what the general implementation encodes. */
const CONFIG_SWITCHES: readonly string[] = ["remove_space", "do_lowercase_and_remove_accent"];

/** @throws KvBlockError `ERR_KVBLOCK_TOKENIZE` for a tokenizer that cannot be built */
export function loadEncoder(
  tokenizer: CheckedTokenizer,
  config: Readonly<Record<string, unknown>>,
  options: ModelEncoderOptions,
): LoadedEncoder {
  const { json } = tokenizer;
  const plain = !CONFIG_SWITCHES.some((name) => config[name] === true);
  const model = options.fastPath && plain ? readByteLevelModel(tokenizer) : undefined;
  if (model === undefined) return { encoder: generalEncoder(json, config, options), degraded: undefined };
  const fast = building(() => new ByteLevelEncoder(model, compilePattern));
  warmUp((text) => fast.encode(text));
  const sample = building(() => createStockEncoder(reducedTokenizerJson(json, model), config));
  const encoder = segmentEncoder(json, sample, options, (text) => fast.encode(text));
  const differing = sampleTexts(json.added_tokens).findIndex(
    (text) => !equal(encoder.encode(text, true), stockIds(sample, text, true)),
  );
  if (differing === -1) return { encoder, degraded: undefined };
  return {
    encoder: generalEncoder(json, config, options),
    degraded: `the fast path and @huggingface/tokenizers disagree on sample text ${differing}`,
  };
}

function generalEncoder(
  json: TokenizerJson,
  config: Readonly<Record<string, unknown>>,
  options: ModelEncoderOptions,
): ModelEncoder {
  const stock = building(() => createStockEncoder(json, config));
  // Where the first segment is encoded otherwise than later ones, segments cannot be told apart by their texts.
  if (JSON.stringify(json["pre_tokenizer"]).includes('"prepend_scheme":"first"'))
    return { encode: (text, addSpecialTokens) => stockIds(stock, text, addSpecialTokens) };
  return segmentEncoder(json, stock, options, (text) => stockIds(stock, text, false));
}

function segmentEncoder(
  json: TokenizerJson,
  stock: StockEncoder,
  { memoBytes }: ModelEncoderOptions,
  encodeSegment: (text: string) => Uint32Array,
): ModelEncoder {
  return new PromptEncoder({
    addedTokens: new AddedTokens(json.added_tokens.filter((token) => !isNormalized(token))),
    around: around(stock),
    memo: new SegmentMemo(memoBytes),
    encodeSegment,
  });
}

/** What the post-processor puts around a text, found by letting it. */
function around(stock: StockEncoder): Around {
  const inner = stockIds(stock, "a", false);
  const whole = stockIds(stock, "a", true);
  for (let start = 0; start + inner.length <= whole.length; start++)
    if (equal(inner, whole.subarray(start, start + inner.length)))
      return { before: whole.slice(0, start), after: whole.slice(start + inner.length) };
  throw new KvBlockError(
    "ERR_KVBLOCK_TOKENIZE",
    'tokenizer.json: "post_processor" changes the tokens of the text itself',
  );
}

function stockIds(stock: StockEncoder, text: string, addSpecialTokens: boolean): Uint32Array {
  const { ids } = stock.encode(text, { add_special_tokens: addSpecialTokens });
  // An id the vocabulary lacks comes back as undefined, and would become token 0.
  if (ids.includes(undefined as unknown as number))
    throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", "the tokenizer has no tokens for this text");
  return Uint32Array.from(ids);
}

function building<T>(build: () => T): T {
  try {
    return build();
  } catch (cause) {
    throw new KvBlockError(
      "ERR_KVBLOCK_TOKENIZE",
      `tokenizer.json: the tokenizer it describes cannot be built: ${(cause as Error).message}`,
      { cause },
    );
  }
}

function equal(left: Uint32Array, right: Uint32Array): boolean {
  return left.length === right.length && left.every((id, index) => id === right[index]);
}
