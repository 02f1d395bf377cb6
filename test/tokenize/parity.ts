/** Our tokenizers held against Hugging Face's own. */
import { createHuggingFaceTokenizer, type HuggingFaceTokenizerOptions } from "kvblock/tokenize";
import { Tokenizer as RustTokenizer } from "tokenizers";
import type { Tokenizer } from "../../src/types.js";
import type { TokenizerModel } from "./models.js";
import { texts } from "./texts.js";

export interface Pair {
  readonly ours: Tokenizer;
  readonly rust: RustTokenizer;
  /** Contents of the added tokens. */
  readonly added: readonly string[];
}

export async function loadPair(model: TokenizerModel, options?: HuggingFaceTokenizerOptions): Promise<Pair> {
  const text = model.json();
  const json = JSON.parse(text) as { added_tokens: { content: string }[] };
  return {
    ours: await createHuggingFaceTokenizer({ tokenizerJson: json }, options),
    rust: RustTokenizer.fromString(text),
    added: json.added_tokens.map(({ content }) => content),
  };
}

/** Texts that must agree. */
export function* comparableTexts(
  model: TokenizerModel,
  pair: Pair,
  seed: number,
  count: number,
): Generator<string> {
  for (const text of texts(seed, count, pair.added)) if (model.differs?.test(text) !== true) yield text;
}

/** Whether both give a text the same ids; one that comes to no tokens is refused by ours. */
export async function agree({ ours, rust }: Pair, text: string, addSpecialTokens: boolean): Promise<boolean> {
  const expected = (await rust.encode(text, null, { addSpecialTokens })).getIds();
  let ids: ArrayLike<number>;
  try {
    ids = await ours.encode(text, { addSpecialTokens });
  } catch {
    return expected.length === 0;
  }
  return ids.length === expected.length && expected.every((id, index) => id === ids[index]);
}

/** The fewest code points of a text that still differ: what to look at. */
export async function shrinkText(pair: Pair, text: string): Promise<string> {
  let points = [...text];
  for (let size = points.length >> 1; size > 0; size >>= 1)
    for (let at = 0; at + size <= points.length; ) {
      const fewer = [...points.slice(0, at), ...points.slice(at + size)];
      if (fewer.length > 0 && !(await agree(pair, fewer.join(""), false))) points = fewer;
      else at += size;
    }
  return points.join("");
}

/** For people: every code point that is no printable ASCII as its number. */
export function showText(text: string): string {
  return text.replace(/[^\x20-\x7e]/gu, (point) => `{${point.codePointAt(0)!.toString(16)}}`);
}
