/**
 * The engine's tokenizer: text and chats to tokens through kvblock, tokens back to text from the same tokenizer.json.
 * @module
 */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Tokenizer } from "kvblock";
import { createHuggingFaceTokenizer } from "kvblock/tokenize";

/** Both directions: an engine also writes text. */
export interface EngineTokenizer extends Tokenizer {
  /** The bytes that a token stands for; a character may be spread over several tokens. Empty for a special token. */
  tokenBytes(token: number): Uint8Array;
  /** Whether the token is one of the model's marks (end of turn, …) rather than text. */
  isSpecial(token: number): boolean;
}

interface TokenizerJson {
  readonly added_tokens?: readonly {
    readonly id: number;
    readonly content: string;
    readonly special: boolean;
  }[];
  readonly decoder?: { readonly type: string } | null;
  readonly model: { readonly vocab: Readonly<Record<string, number>> };
}

/** @param source - a model's directory, or the path of its tokenizer.json; of the byte-level family (Qwen, Llama 3, …) */
export async function loadTokenizer(source: string): Promise<EngineTokenizer> {
  const path = (await stat(source)).isDirectory() ? join(source, "tokenizer.json") : source;
  const json = JSON.parse(await readFile(path, "utf8")) as TokenizerJson;
  if (json.decoder?.type !== "ByteLevel")
    throw new Error(`${path}: this engine writes text with byte-level tokenizers only`);
  const tokenizer = await createHuggingFaceTokenizer(source);
  return Object.assign(tokenizer, byteLevelDecoder(json));
}

/** Text of tokens, special ones left out. */
export function decodeTokens(tokenizer: EngineTokenizer, tokens: Iterable<number>): string {
  const decoder = new TextDecoder();
  let text = "";
  for (const token of tokens) text += decoder.decode(tokenizer.tokenBytes(token), { stream: true });
  return text + decoder.decode();
}

/**
 * Byte-level tokenizers spell each byte as one printable character: the printable ones of Latin-1 as themselves, the
 * other 68 as U+0100 onwards (GPT-2's table).
 */
function byteLevelDecoder(json: TokenizerJson): Pick<EngineTokenizer, "tokenBytes" | "isSpecial"> {
  const byteOf = new Map<string, number>();
  for (let byte = 0, others = 0; byte < 256; byte++) {
    const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    byteOf.set(String.fromCharCode(printable ? byte : 0x100 + others++), byte);
  }
  const spelling: (string | undefined)[] = [];
  for (const [token, id] of Object.entries(json.model.vocab)) spelling[id] = token;
  const added = new Map((json.added_tokens ?? []).map((token) => [token.id, token]));
  const encoder = new TextEncoder();
  return {
    isSpecial: (token) => added.get(token)?.special === true,
    tokenBytes(token) {
      const own = added.get(token);
      if (own !== undefined) return encoder.encode(own.special ? "" : own.content);
      return Uint8Array.from(spelling[token] ?? "", (character) => byteOf.get(character)!);
    },
  };
}
