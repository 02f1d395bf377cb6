/**
 * gpt-oss's tokenizer.json, made of the o200k ranks that `tiktoken` ships as transformers made it
 * (`convert_slow_tokenizer.py`, `TikTokenConverter`): the package that has it as a file takes 201 MB.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

interface Ranks {
  readonly pat_str: string;
  /** Lines of `! offset token token …` in base64; ids count up from the offset. */
  readonly bpe_ranks: string;
}

/** The named tokens of the harmony format; ids without a name are `<|reserved_<id>|>`. */
const SPECIAL: readonly (readonly [number, string])[] = [
  [199998, "<|startoftext|>"],
  [199999, "<|endoftext|>"],
  [200002, "<|return|>"],
  [200003, "<|constrain|>"],
  [200005, "<|channel|>"],
  [200006, "<|start|>"],
  [200007, "<|end|>"],
  [200008, "<|message|>"],
  [200012, "<|call|>"],
  [200018, "<|endofprompt|>"],
];

export function o200kTokenizerJson(): Record<string, unknown> {
  const path = createRequire(import.meta.url).resolve("tiktoken/encoders/o200k_base.json");
  const { pat_str, bpe_ranks } = JSON.parse(readFileSync(path, "utf8")) as Ranks;
  const ranks = readRanks(bpe_ranks);
  const merges: [left: string, right: string, rank: number][] = [];
  for (const [token, rank] of ranks) {
    const local: [string, string, number][] = [];
    for (let cut = 1; cut < token.length; cut++) {
      const [left, right] = [token.slice(0, cut), token.slice(cut)];
      if (ranks.has(left) && ranks.has(right)) local.push([left, right, rank]);
    }
    local.sort((a, b) => ranks.get(a[0])! - ranks.get(b[0])! || ranks.get(a[1])! - ranks.get(b[1])!);
    for (const merge of local) merges.push(merge);
  }
  merges.sort((a, b) => a[2] - b[2]);
  const added = new Map(SPECIAL);
  for (let id = 200000; id <= 200017; id++) if (!added.has(id)) added.set(id, `<|reserved_${id}|>`);
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const split = { type: "Split", pattern: { Regex: pat_str }, behavior: "Isolated", invert: false };
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [...added].sort(([a], [b]) => a - b).map(([id, content]) => ({ id, content, ...flags })),
    normalizer: null,
    pre_tokenizer: { type: "Sequence", pretokenizers: [split, byteLevel] },
    post_processor: byteLevel,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: true,
      vocab: Object.fromEntries(ranks),
      merges: merges.map(([left, right]) => [left, right]),
    },
  };
}

/** Tokens in the byte-level alphabet (GPT-2's `bytes_to_unicode`) → rank. */
function readRanks(lines: string): Map<string, number> {
  const alphabet: string[] = [];
  let others = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    alphabet.push(String.fromCharCode(printable ? byte : others++));
  }
  const ranks = new Map<string, number>();
  for (const line of lines.split("\n").filter(Boolean)) {
    const [, offset, ...tokens] = line.split(" ");
    for (const [index, token] of tokens.entries()) {
      const bytes = Buffer.from(token, "base64");
      ranks.set(Array.from(bytes, (byte) => alphabet[byte]).join(""), Number(offset) + index);
    }
  }
  return ranks;
}
