/**
 * The shape of a tokenizer.json, checked before anything is made of it: a mistake is told by its field.
 * @module
 */
import { describe, KvBlockError } from "../errors.js";
import type { AddedToken } from "./added-tokens.js";

/** A tokenizer.json whose parts have the types that they should. */
export interface TokenizerJson {
  readonly [field: string]: unknown;
  readonly added_tokens: readonly AddedToken[];
  readonly model: Readonly<Record<string, unknown>>;
}

export interface CheckedTokenizer {
  readonly json: TokenizerJson;
  /** The model's vocabulary; undefined where it is a list of tokens and scores. */
  readonly vocabulary: ReadonlyMap<string, number> | undefined;
}

/** Null and absent say the same. */
const NULLABLE: readonly string[] = ["normalizer", "pre_tokenizer", "post_processor", "decoder"];

/** @throws KvBlockError `ERR_KVBLOCK_TOKENIZE` naming the field */
export function checkTokenizerJson(json: Readonly<Record<string, unknown>>): CheckedTokenizer {
  const { model, added_tokens: addedTokens = [] } = json;
  if (!isRecord(model)) throw wrong("model", "an object", model);
  const { vocab, merges, type } = model;
  if (!isRecord(vocab) && !Array.isArray(vocab)) throw wrong("model.vocab", "an object or a list", vocab);
  if (type === "BPE" && !Array.isArray(merges)) throw wrong("model.merges", "a list", merges);
  if (!Array.isArray(addedTokens)) throw wrong("added_tokens", "a list", addedTokens);
  for (const [index, token] of (addedTokens as unknown[]).entries()) {
    const { id, content } = isRecord(token) ? token : {};
    if (!isId(id)) throw wrong(`added_tokens[${index}].id`, "a token id", id);
    if (typeof content !== "string") throw wrong(`added_tokens[${index}].content`, "a text", content);
  }
  const vocabulary = isRecord(vocab) ? readVocabulary(vocab) : undefined;
  const checked: Record<string, unknown> = {
    ...json,
    added_tokens: withIdsOf(vocabulary, addedTokens as AddedToken[]),
  };
  for (const field of NULLABLE) {
    const value = (checked[field] ??= null);
    if (value !== null && !isRecord(value)) throw wrong(field, "an object or null", value);
  }
  return { json: checked as unknown as TokenizerJson, vocabulary };
}

/** Read once: 150,000 properties take a tenth of a second, and half of that again as entries. */
function readVocabulary(vocab: Readonly<Record<string, unknown>>): Map<string, number> {
  const vocabulary = new Map<string, number>();
  for (const token in vocab) {
    const id = vocab[token];
    if (!isId(id)) throw wrong(`model.vocab[${JSON.stringify(token)}]`, "a token id", id);
    vocabulary.set(token, id as number);
  }
  return vocabulary;
}

/** What the vocabulary has too keeps its id there, as in the official library. */
function withIdsOf(
  vocabulary: ReadonlyMap<string, number> | undefined,
  tokens: readonly AddedToken[],
): AddedToken[] {
  return tokens.map((token) => {
    const id = vocabulary?.get(token.content);
    return id === undefined ? token : { ...token, id };
  });
}

function isId(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0x7fff_ffff;
}

function wrong(field: string, expected: string, got: unknown): KvBlockError {
  return new KvBlockError(
    "ERR_KVBLOCK_TOKENIZE",
    `tokenizer.json: "${field}" expected ${expected}, got ${describe(got)}`,
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
