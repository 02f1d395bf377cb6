/**
 * `kvblock/tiktoken`: a `Tokenizer` for OpenAI's encodings, on the optional peer `tiktoken`.
 *
 * `o200k_harmony` is gpt-oss's: `o200k_base` with the special tokens of the harmony format (openai/tiktoken,
 * `tiktoken_ext/openai_public.py`). No chat templates: gpt-oss chats are built by harmony, not by a template, so score
 * those by their token ids.
 * @module
 */
import { checkName, checkOneOf, checkOptions, KvBlockError } from "./errors.js";
import type { EncodeOptions, Tokenizer } from "./types.js";

/** Encodings of the peer, and the ones made here, as extra special tokens over one of the peer's. */
const ENCODINGS = {
  gpt2: "gpt2",
  r50k_base: "r50k_base",
  p50k_base: "p50k_base",
  p50k_edit: "p50k_edit",
  cl100k_base: "cl100k_base",
  o200k_base: "o200k_base",
  o200k_harmony: "o200k_base",
} as const;

/** The harmony format's named special tokens; the ids between and after are `<|reserved_<id>|>`. */
const HARMONY_TOKENS: Readonly<Record<string, number>> = {
  "<|startoftext|>": 199_998,
  "<|return|>": 200_002,
  "<|constrain|>": 200_003,
  "<|channel|>": 200_005,
  "<|start|>": 200_006,
  "<|end|>": 200_007,
  "<|message|>": 200_008,
  "<|call|>": 200_012,
};

/** The reserved tokens end here; `<|endoftext|>` (199999) and `<|endofprompt|>` (200018) are the base's own. */
const HARMONY_LAST = 201_087;

/**
 * Load an encoding.
 *
 * Special tokens in a text become their ids, as engines parse them; none are added.
 *
 * @param encoding - `o200k_harmony` (gpt-oss), `o200k_base`, `cl100k_base`, …
 * @throws KvBlockError `ERR_KVBLOCK_TOKENIZE` when `tiktoken` is not installed or cannot be loaded
 */
export async function createTiktokenTokenizer(encoding: string): Promise<Tokenizer> {
  const known = Object.keys(ENCODINGS) as (keyof typeof ENCODINGS)[];
  const name = checkOneOf("encoding", encoding, known);
  const { get_encoding } = await import("tiktoken").catch((cause: unknown) => {
    throw new KvBlockError(
      "ERR_KVBLOCK_TOKENIZE",
      "the optional package tiktoken cannot be loaded: npm i tiktoken",
      { cause },
    );
  });
  return new TiktokenTokenizer(
    get_encoding(ENCODINGS[name], name === "o200k_harmony" ? harmonyTokens() : undefined),
  );
}

/** What is used of the peer's encoder; its memory is not the garbage collector's. */
interface Encoder {
  encode(text: string, allowedSpecial: "all"): Uint32Array;
  free(): void;
}

class TiktokenTokenizer implements Tokenizer {
  #encoder: Encoder | undefined;

  constructor(encoder: Encoder) {
    this.#encoder = encoder;
  }

  encode(text: string, options: EncodeOptions = {}): Uint32Array {
    checkOptions("encode", options, ["addSpecialTokens", "signal"]);
    options.signal?.throwIfAborted();
    checkName("text", text);
    if (this.#encoder === undefined) throw new KvBlockError("ERR_KVBLOCK_CLOSED", "the tokenizer is closed");
    return this.#encoder.encode(text, "all");
  }

  close(): void {
    this.#encoder?.free();
    this.#encoder = undefined;
  }
}

function harmonyTokens(): Record<string, number> {
  const tokens: Record<string, number> = { ...HARMONY_TOKENS };
  const named = new Set(Object.values(HARMONY_TOKENS));
  for (let id = 200_000; id <= HARMONY_LAST; id++) if (!named.has(id)) tokens[`<|reserved_${id}|>`] = id;
  return tokens;
}
