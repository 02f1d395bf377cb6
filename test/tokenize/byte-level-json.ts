/** Small byte-level tokenizer.json files, to vary one part at a time. */

export interface ByteLevelJson {
  /** Pairs in the byte-level alphabet, best first; what they make joins the vocabulary. */
  readonly merges?: readonly (readonly [string, string])[];
  /** Further tokens of the vocabulary. */
  readonly tokens?: readonly string[];
  readonly added?: readonly object[];
  readonly model?: object;
  /** Fields over the file's own. */
  readonly fields?: object;
}

const SPLIT =
  "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

export const BYTE_LEVEL: object = {
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: false,
};

export const split = (Regex: string, more: object = {}): object => ({
  type: "Split",
  pattern: { Regex },
  behavior: "Isolated",
  invert: false,
  ...more,
});

export function byteLevelJson(parts: ByteLevelJson = {}): Record<string, unknown> {
  const { merges = [], tokens = [], added = [], model = {}, fields = {} } = parts;
  const made = merges.map((pair) => pair.join(""));
  const contents = [...new Set([...alphabet(), ...made, ...tokens])];
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: added.map((token, index) => ({
      id: contents.length + index,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
      ...token,
    })),
    normalizer: null,
    pre_tokenizer: { type: "Sequence", pretokenizers: [split(SPLIT), BYTE_LEVEL] },
    post_processor: null,
    decoder: BYTE_LEVEL,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(contents.map((content, id) => [content, id])),
      merges,
      ...model,
    },
    ...fields,
  };
}

/** GPT-2's `bytes_to_unicode`. */
function alphabet(): string[] {
  let others = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(printable ? byte : others++);
  });
}
