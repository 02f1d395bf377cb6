/** A tokenizer of single bytes, which loads at once: tests of threads need no vocabulary. */
import type { HuggingFaceTokenizerSource } from "kvblock/tokenize";

const letters = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i));
/** Byte-level tokenizers spell a space as Ġ and a line end as Ċ. */
const vocab = Object.fromEntries([...letters, "Ġ", "Ċ"].map((letter, id) => [letter, id]));

/** Its template prints each message's content. */
export const TINY: HuggingFaceTokenizerSource = {
  tokenizerJson: {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab, merges: [], unk_token: null },
  },
  chatTemplate: "{% for message in messages %}{{ message.content }}{% endfor %}",
};

/** The tokens of ASCII text. */
export function tiny(text: string): Uint32Array {
  return Uint32Array.from(text, (letter) => vocab[letter === " " ? "Ġ" : letter === "\n" ? "Ċ" : letter]!);
}

/** A template that takes for ever (10^12 turns). */
export const ENDLESS = `${"{% for i in range(10000) %}".repeat(3)}x${"{% endfor %}".repeat(3)}`;
