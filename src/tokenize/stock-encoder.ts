/**
 * The one place that names `@huggingface/tokenizers`, which reads every kind of tokenizer.json.
 *
 * The package's declarations of all but `Tokenizer` are untyped under Node's module resolution, so what is used of them
 * is stated here.
 * @module
 */
import * as huggingface from "@huggingface/tokenizers";

/** Encodes any text, added tokens included. */
export interface StockEncoder {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
}

const { SplitPreTokenizer } = huggingface as unknown as {
  SplitPreTokenizer: new (config: object) => { readonly pattern: RegExp | null };
};

/** @throws Error for a file that it cannot make sense of */
export function createStockEncoder(tokenizerJson: object, tokenizerConfig: object): StockEncoder {
  return new huggingface.Tokenizer(tokenizerJson, tokenizerConfig);
}

/** A `Split`'s pattern, in Oniguruma's syntax, as JavaScript's. @throws Error for one that cannot be translated */
export function compilePattern(pattern: object): RegExp {
  const compiled = new SplitPreTokenizer({ type: "Split", pattern, invert: true }).pattern;
  if (compiled === null) throw new RangeError("the split pattern is neither Regex nor String");
  return compiled;
}
