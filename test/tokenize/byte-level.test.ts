/** Our own byte-level BPE against Hugging Face's Rust implementation, one part of a tokenizer.json at a time. */
import fc from "fast-check";
import { createHuggingFaceTokenizer } from "kvblock/tokenize";
import { Tokenizer as RustTokenizer } from "tokenizers";
import { describe, expect, it } from "vitest";
import { readByteLevelModel } from "../../src/tokenize/byte-level-model.js";
import { mergeBytes } from "../../src/tokenize/merge.js";
import { MergeTable } from "../../src/tokenize/merge-table.js";
import { TokenSink } from "../../src/tokenize/token-sink.js";
import { checkTokenizerJson } from "../../src/tokenize/tokenizer-json.js";
import { BYTE_LEVEL, type ByteLevelJson, byteLevelJson, split } from "./byte-level-json.js";

async function both(json: Record<string, unknown>, text: string): Promise<[number[], number[]]> {
  const ours = await createHuggingFaceTokenizer({ tokenizerJson: json }, { memoBytes: 0 });
  expect(ours.degraded).toBeUndefined();
  const rust = RustTokenizer.fromString(JSON.stringify(json));
  return [[...(await ours.encode(text, {}))], (await rust.encode(text)).getIds()];
}

/** Merges that build on each other, over few letters so that texts meet them. */
const merges = fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 40 }).map((picks) => {
  const tokens = ["a", "b", "c", "Ã", "©"];
  const made: [string, string][] = [];
  for (const [left, right] of picks) {
    const pair: [string, string] = [tokens[left % tokens.length]!, tokens[right % tokens.length]!];
    if (made.some((known) => known.join(" ") === pair.join(" "))) continue;
    made.push(pair);
    if (!tokens.includes(pair.join(""))) tokens.push(pair.join(""));
  }
  return made;
});

describe("merging", () => {
  it("is the Rust tokenizers' for any merges", async () => {
    await fc.assert(
      fc.asyncProperty(
        merges,
        fc.boolean(),
        fc.array(fc.constantFrom("a", "b", "c", "é"), { minLength: 1, maxLength: 60 }),
        async (pairs, ignoreMerges, letters) => {
          const json = byteLevelJson({ merges: pairs, model: { ignore_merges: ignoreMerges } });
          const [ours, rust] = await both(json, letters.join(""));
          expect(ours).toEqual(rust);
        },
      ),
      { numRuns: 150 },
    );
  });

  it("of long pieces by a heap is what scanning comes to", () => {
    fc.assert(
      fc.property(
        merges,
        fc.array(fc.constantFrom(97, 98, 99), { minLength: 129, maxLength: 400 }),
        (pairs, letters) => {
          const model = readByteLevelModel(checkTokenizerJson(byteLevelJson({ merges: pairs })))!;
          const table = new MergeTable(model.vocabulary, model.byteIds, model.merges);
          const sink = new TokenSink();
          mergeBytes(table, Uint8Array.from(letters), letters.length, sink);
          expect([...sink.take()]).toEqual(
            naive(
              letters.map((byte) => String.fromCharCode(byte)),
              pairs,
              model.vocabulary,
            ),
          );
        },
      ),
    );
  });
});

/** One merge at a time, the first listed first, the leftmost first. */
function naive(
  letters: string[],
  pairs: readonly (readonly [string, string])[],
  vocabulary: ReadonlyMap<string, number>,
): number[] {
  const ranks = new Map(pairs.map((pair, rank) => [pair.join(" "), rank]));
  const symbols = [...letters];
  for (;;) {
    let best = -1;
    let lowest = Number.POSITIVE_INFINITY;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const rank = ranks.get(`${symbols[i]} ${symbols[i + 1]}`);
      if (rank !== undefined && rank < lowest) [best, lowest] = [i, rank];
    }
    if (best === -1) return symbols.map((symbol) => vocabulary.get(symbol)!);
    symbols.splice(best, 2, symbols[best]! + symbols[best + 1]!);
  }
}

const TOKEN = { content: "<x>" };
const TEXTS = [
  "a<x>b",
  "a <x> b",
  "  <x>\t\n<x>  b",
  "<x>",
  " <x>",
  "a_<x>",
  "1<x>é",
  "<x><x>",
  "<<x>>",
  "a\u00a0<x>\u3000b",
  "<x",
  "ab<x>cd <x> ef",
];

describe("added tokens", () => {
  it.each<[string, readonly object[]]>([
    ["as they are", [TOKEN]],
    ["that take the space before", [{ ...TOKEN, lstrip: true }]],
    ["that take the space after", [{ ...TOKEN, rstrip: true }]],
    ["that take both", [{ ...TOKEN, lstrip: true, rstrip: true }]],
    ["that are words", [{ ...TOKEN, single_word: true }]],
    ["that are words and take space", [{ ...TOKEN, single_word: true, lstrip: true, rstrip: true }]],
    ["in normalized text", [{ ...TOKEN, normalized: true, special: false }]],
    ["of which one begins another", [TOKEN, { content: "<x><" }, { content: "<" }, { content: "b" }]],
    [
      "of both kinds",
      [TOKEN, { content: "a", normalized: true, special: false }, { content: "b", rstrip: true }],
    ],
    ["beyond the basic plane", [{ content: "👍" }, { content: "<👍🏽>" }]],
    ["with the pattern's own signs", [{ content: "(.*)+?[^a]$|\\d{2}" }, TOKEN]],
  ])("%s are found as the Rust tokenizers find them", async (_, added) => {
    const json = byteLevelJson({ added, merges: [["a", "b"]] });
    for (const text of [...TEXTS, "👍🏽<👍🏽>👍", "(.*)+?[^a]$|\\d{2}<x>"]) {
      const [ours, rust] = await both(json, text);
      expect(ours, text).toEqual(rust);
    }
  });

  it("are looked for after normalizing where they say so", async () => {
    const added = [{ content: "é!", normalized: true, special: false }, { content: "e\u0301?" }];
    const json = byteLevelJson({ added, fields: { normalizer: { type: "NFC" } } });
    for (const text of ["é!", "e\u0301!", "é?", "e\u0301?", "xe\u0301!e\u0301?y"]) {
      const [ours, rust] = await both(json, text);
      expect(ours, text).toEqual(rust);
    }
  });
});

const GPT2 = { ...BYTE_LEVEL, use_regex: true };

describe("the parts of a tokenizer.json", () => {
  it.each<[string, ByteLevelJson]>([
    ["GPT-2's own pattern", { fields: { pre_tokenizer: GPT2 } }],
    [
      "digits one by one",
      { fields: { pre_tokenizer: sequence({ type: "Digits", individual_digits: true }, GPT2) } },
    ],
    [
      "digits together",
      { fields: { pre_tokenizer: sequence({ type: "Digits", individual_digits: false }, GPT2) } },
    ],
    [
      "three patterns in turn",
      {
        fields: {
          pre_tokenizer: sequence(split("\\p{N}{1,3}"), split("[一-龥]+"), split("\\p{L}+"), BYTE_LEVEL),
        },
      },
    ],
    [
      "a pattern that removes what it does not match",
      {
        fields: {
          pre_tokenizer: sequence(split("\\p{L}+", { behavior: "Removed", invert: true }), BYTE_LEVEL),
        },
      },
    ],
    [
      "a plain text to split at",
      { fields: { pre_tokenizer: sequence({ ...split(""), pattern: { String: "." } }, BYTE_LEVEL) } },
    ],
    ["no pattern at all", { fields: { pre_tokenizer: BYTE_LEVEL } }],
    [
      "several normal forms",
      { fields: { normalizer: { type: "Sequence", normalizers: [{ type: "NFKD" }, { type: "NFC" }] } } },
    ],
    ["merges as texts", { model: { merges: ["a b", "ab c"] }, tokens: ["ab", "abc"] }],
    ["tokens that no merge makes", { model: { ignore_merges: true }, tokens: ["abc", "Ġthe", "ĠÃ©"] }],
    ["an unknown token that is never needed", { model: { unk_token: "<unk>", fuse_unk: true } }],
  ])("%s: as the Rust tokenizers have it", async (_, parts) => {
    const json = byteLevelJson({
      merges: [
        ["a", "b"],
        ["ab", "c"],
        ["Ġ", "t"],
        ["Ã", "©"],
      ],
      ...parts,
    });
    expect(readByteLevelModel(checkTokenizerJson(json))).toBeDefined();
    for (const text of [
      "abc the é 123 4567. 二三x\n\n",
      "  ab\tｆｕｌｌ ﬁ e\u0301 ١٢٣ Ⅷ½",
      "a.b..c",
      "it's we'LL",
      "abc",
    ]) {
      const [ours, rust] = await both(json, text);
      expect(ours, text).toEqual(rust);
    }
  });

  it.each<[string, ByteLevelJson]>([
    ["another model", { model: { type: "WordPiece" } }],
    ["dropout", { model: { dropout: 0.1 } }],
    ["a prefix of continuing pieces", { model: { continuing_subword_prefix: "##" } }],
    ["a suffix of words", { model: { end_of_word_suffix: "</w>" } }],
    ["byte fallback", { model: { byte_fallback: true } }],
    ["an unheard-of field of the model", { model: { surprise: 1 } }],
    ["a vocabulary without all bytes", { model: { vocab: { a: 0 } } }],
    ["another normalizer", { fields: { normalizer: { type: "Lowercase" } } }],
    ["another pre-tokenizer", { fields: { pre_tokenizer: { type: "Whitespace" } } }],
    [
      "another one before the bytes",
      { fields: { pre_tokenizer: sequence({ type: "Whitespace" }, BYTE_LEVEL) } },
    ],
    ["one behind the bytes", { fields: { pre_tokenizer: sequence(BYTE_LEVEL, split("a")) } }],
    ["a prefix space", { fields: { pre_tokenizer: { ...BYTE_LEVEL, add_prefix_space: true } } }],
    [
      "another way to split",
      { fields: { pre_tokenizer: sequence(split("a", { behavior: "MergedWithNext" }), BYTE_LEVEL) } },
    ],
    ["no pre-tokenizer", { fields: { pre_tokenizer: null } }],
  ])("%s is left to the general implementation", (_, parts) => {
    expect(readByteLevelModel(checkTokenizerJson(byteLevelJson(parts)))).toBeUndefined();
  });
});

function sequence(...pretokenizers: object[]): object {
  return { type: "Sequence", pretokenizers };
}
