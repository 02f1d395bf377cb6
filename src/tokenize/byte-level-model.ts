/**
 * Whether a tokenizer.json is of the byte-level BPE family (Qwen, Llama 3, DeepSeek, gpt-oss, …), and what it then says.
 *
 * Everything that decides tokens is either understood here or makes the answer undefined: then the general
 * implementation encodes.
 * @module
 */
import type { AddedToken } from "./added-tokens.js";
import { BYTE_CHARACTERS } from "./byte-tokens.js";
import { MAX_MERGES } from "./merge.js";
import type { Merge } from "./merge-table.js";
import type { CheckedTokenizer } from "./tokenizer-json.js";

type Json = Readonly<Record<string, unknown>>;

export type NormalForm = "NFC" | "NFD" | "NFKC" | "NFKD";

/** One step of splitting a text into pieces. */
export interface SplitStep {
  /** As tokenizer.json has it. */
  readonly pattern: { readonly Regex: string } | { readonly String: string };
  /** Whether what lies between the matches is a piece too, or dropped. */
  readonly keepsGaps: boolean;
}

export interface ByteLevelModel {
  readonly normalForms: readonly NormalForm[];
  readonly steps: readonly SplitStep[];
  readonly vocabulary: ReadonlyMap<string, number>;
  /** Ids of the 256 bytes. */
  readonly byteIds: Int32Array;
  readonly merges: readonly Merge[];
  /** A piece that is a token is that token, whatever the merges would make of it. */
  readonly ignoreMerges: boolean;
  readonly addedTokens: readonly AddedToken[];
}

/** GPT-2's pattern, which `ByteLevel` splits with unless told not to. */
const GPT2_PATTERN = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

const MODEL_FIELDS = new Set([
  ..."type dropout unk_token continuing_subword_prefix end_of_word_suffix fuse_unk byte_fallback".split(" "),
  ..."ignore_merges vocab merges".split(" "),
]);

/** What the file says, or undefined when any of it is not of this family. */
export function readByteLevelModel({ json, vocabulary }: CheckedTokenizer): ByteLevelModel | undefined {
  const { model, normalizer, pre_tokenizer, added_tokens } = json;
  if (model["type"] !== "BPE" || vocabulary === undefined) return undefined;
  if (Object.keys(model).some((field) => !MODEL_FIELDS.has(field))) return undefined;
  const { merges } = model;
  if (!Array.isArray(merges) || merges.length >= MAX_MERGES) return undefined;
  const plain = !model["dropout"] && !model["continuing_subword_prefix"] && !model["end_of_word_suffix"];
  if (!plain || model["byte_fallback"] === true) return undefined;
  const normalForms = readNormalizer(normalizer);
  const steps = readSteps(pre_tokenizer);
  const byteIds = Int32Array.from(BYTE_CHARACTERS, (character) => vocabulary.get(character) ?? -1);
  if (normalForms === undefined || steps === undefined || byteIds.includes(-1)) return undefined;
  return {
    normalForms,
    steps,
    vocabulary,
    byteIds,
    merges: merges as Merge[],
    ignoreMerges: model["ignore_merges"] === true,
    addedTokens: added_tokens,
  };
}

function readNormalizer(normalizer: unknown): NormalForm[] | undefined {
  if (normalizer === null || normalizer === undefined) return [];
  if (!isJson(normalizer)) return undefined;
  const { type } = normalizer;
  if (type === "NFC" || type === "NFD" || type === "NFKC" || type === "NFKD") return [type];
  if (type !== "Sequence" || !Array.isArray(normalizer["normalizers"])) return undefined;
  return concat((normalizer["normalizers"] as unknown[]).map(readNormalizer));
}

/** The steps, if the last of them goes over to bytes. */
function readSteps(preTokenizer: unknown): SplitStep[] | undefined {
  if (!isJson(preTokenizer)) return undefined;
  const { type, pretokenizers } = preTokenizer;
  const sequence = type === "Sequence" && Array.isArray(pretokenizers) ? pretokenizers : [preTokenizer];
  const [last, ...others] = [...(sequence as unknown[])].reverse();
  if (!isJson(last) || last["type"] !== "ByteLevel" || last["add_prefix_space"] !== false) return undefined;
  const splits = others.reverse().map(readSplit);
  if (last["use_regex"] !== false) splits.push([{ pattern: { Regex: GPT2_PATTERN }, keepsGaps: true }]);
  return concat(splits);
}

function readSplit(step: unknown): SplitStep[] | undefined {
  if (!isJson(step)) return undefined;
  const { type, pattern, behavior, invert } = step;
  // Numeric as Rust has it: the categories Nd, Nl and No.
  if (type === "Digits")
    return [
      { pattern: { Regex: step["individual_digits"] === true ? "\\p{N}" : "\\p{N}+" }, keepsGaps: true },
    ];
  if (type !== "Split" || !isJson(pattern)) return undefined;
  if (typeof pattern["Regex"] !== "string" && typeof pattern["String"] !== "string") return undefined;
  const isolated = behavior === "Isolated" && invert === false;
  // Removing all but the matches leaves the matches.
  const matchesOnly = behavior === "Removed" && invert === true;
  if (!isolated && !matchesOnly) return undefined;
  return [{ pattern: pattern as unknown as SplitStep["pattern"], keepsGaps: isolated }];
}

/** All lists in one, or undefined if one is. */
function concat<T>(lists: readonly (T[] | undefined)[]): T[] | undefined {
  return lists.includes(undefined) ? undefined : (lists as T[][]).flat();
}

function isJson(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
