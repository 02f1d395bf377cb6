/**
 * A sample of texts that the fast path and the general implementation must agree on, before the fast one is used.
 *
 * The general implementation is built of the vocabulary's part that the sample can reach: merges only ever make
 * stretches of the text, so the rest changes nothing, and the check costs a tenth of building it whole.
 * @module
 */
import type { AddedToken } from "./added-tokens.js";
import type { ByteLevelModel } from "./byte-level-model.js";
import { BYTE_CHARACTERS } from "./byte-tokens.js";
import { mergedPair } from "./merge-table.js";

/** Of each kind a little, in code points that Unicode's versions agree on, and composed where it makes a difference. */
export const SAMPLE_TEXTS: readonly string[] = [
  "The quick brown fox's 3 tails weren't 1,234.5 m long; they'll 'VE said: \"I'd go!\"",
  "  leading, trailing  \t\n\r\n\n   indented\n\n\n\tx = y**2 # 100% of <a href='b'>c</a> \u00a0\u3000",
  "for (let i = 0; i < n; i++) { total += HTTPServer_v2.getAll[i] ?? 0x1F; } //----====\\\\",
  "na\u00efve Stra\u00dfe \u0130stanbul A\u030a e\u0301 \ufb01 \u00bd \u2168 \u2026 \u2014 \u201cquoted\u201d \u20ac5",
  "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3002\u6df1\u5ea6\u5b66\u4e60123 \ud55c\uad6d\uc5b4 \u0420\u0443\u0441\u0441\u043a\u0438\u0439",
  "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u05e2\u05d1\u05e8\u05d9\u05ea \u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22",
  "\ud83d\udc4d\ud83c\udffd \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67 \ud83c\udde9\ud83c\uddea \u2764\ufe0f \ufffd\u0000\u001b[0m\u200b\ufeff",
  "aaaaaaaaaaaaaaaaaaaaaaaaa antidisestablishmentarianism AAAAAAAA abcabcabcabc",
];

/** Added tokens put between the texts. */
const MAX_ADDED = 8;

/** The sample: texts, and all of them with the model's first added tokens between. */
export function sampleTexts(addedTokens: readonly AddedToken[]): string[] {
  const plain = addedTokens.filter(
    (token) => token.single_word !== true && token.lstrip !== true && token.rstrip !== true,
  );
  const joined = SAMPLE_TEXTS.flatMap((text, index) => [text, plain[index % MAX_ADDED]?.content ?? ""]).join(
    "",
  );
  return [...SAMPLE_TEXTS, joined];
}

/** The tokenizer.json of the part that the sample can reach. */
export function reducedTokenizerJson(
  tokenizerJson: Readonly<Record<string, unknown>>,
  model: ByteLevelModel,
): Record<string, unknown> {
  const encoder = new TextEncoder();
  const reached = SAMPLE_TEXTS.map((text) => {
    let normalized = text;
    for (const form of model.normalForms) normalized = normalized.normalize(form);
    return Array.from(encoder.encode(normalized), (byte) => BYTE_CHARACTERS[byte]).join("");
  }).join("\n");
  // Most of the vocabulary is told by two characters not to be in it, which is soon looked up.
  const pairs = new Uint8Array(PAIRS);
  for (let i = 0; i < reached.length; i++) pairs[pairAt(reached, i)] = 1;
  const vocabulary = new Map<string, number>();
  for (const [token, id] of model.vocabulary)
    if ((token.length < 2 || pairs[pairAt(token, 0)] === 1) && reached.includes(token))
      vocabulary.set(token, id);
  const merges = model.merges.filter((merge) => {
    const [left, right] = mergedPair(merge);
    return vocabulary.has(left) && vocabulary.has(right) && vocabulary.has(left + right);
  });
  return {
    ...tokenizerJson,
    model: { ...(tokenizerJson["model"] as object), vocab: Object.fromEntries(vocabulary), merges },
  };
}

/** Byte-level characters are below 2^9. */
const CHARACTER_BITS = 9;
const PAIRS = 2 ** (2 * CHARACTER_BITS);

function pairAt(text: string, at: number): number {
  return ((text.charCodeAt(at) << CHARACTER_BITS) | text.charCodeAt(at + 1)) & (PAIRS - 1);
}
