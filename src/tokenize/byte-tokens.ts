/**
 * The byte-level alphabet, and a vocabulary as bytes.
 *
 * In a byte-level tokenizer.json each byte of a token is one printable character (GPT-2's `bytes_to_unicode`): the
 * printable bytes of Latin-1 stand for themselves, the other 68 for U+0100 and on.
 * @module
 */

/** Character of each byte. */
export const BYTE_CHARACTERS: readonly string[] = byteCharacters();

const BYTE_OF: ReadonlyMap<string, number> = new Map(
  BYTE_CHARACTERS.map((character, byte) => [character, byte]),
);

function byteCharacters(): string[] {
  const characters: string[] = [];
  let others = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    characters.push(String.fromCharCode(printable ? byte : others++));
  }
  return characters;
}

/** Tokens by their bytes, for models that take a piece which is a token as it is (`ignore_merges`). */
export class ByteTokens {
  readonly #bytes: Uint8Array;
  /** Where each token's bytes begin; one more for the end of the last. */
  readonly #starts: Uint32Array;
  readonly #ids: Uint32Array;
  /** Open addressing: the token's number, -1 in an empty slot. */
  readonly #slots: Int32Array;
  readonly #mask: number;

  constructor(vocabulary: ReadonlyMap<string, number>) {
    let characters = 0;
    for (const token of vocabulary.keys()) characters += token.length;
    this.#bytes = new Uint8Array(characters);
    this.#starts = new Uint32Array(vocabulary.size + 1);
    this.#ids = new Uint32Array(vocabulary.size);
    const capacity = 2 ** Math.ceil(Math.log2(vocabulary.size * 1.6 + 1));
    this.#mask = capacity - 1;
    this.#slots = new Int32Array(capacity).fill(-1);
    let count = 0;
    for (const [token, id] of vocabulary) if (this.#add(token, id, count)) count++;
  }

  /** Id of the token that the first `length` bytes are, or -1. */
  find(bytes: Uint8Array, length: number): number {
    for (let at = hash(bytes, 0, length) & this.#mask; ; at = (at + 1) & this.#mask) {
      const token = this.#slots[at]!;
      if (token === -1) return -1;
      if (this.#equals(token, bytes, length)) return this.#ids[token]!;
    }
  }

  /** False for what is not written in the byte-level alphabet, so that no piece can be it. */
  #add(token: string, id: number, number: number): boolean {
    const start = this.#starts[number]!;
    for (let i = 0; i < token.length; i++) {
      const byte = BYTE_OF.get(token[i]!);
      if (byte === undefined) return false;
      this.#bytes[start + i] = byte;
    }
    this.#ids[number] = id;
    this.#starts[number + 1] = start + token.length;
    let at = hash(this.#bytes, start, start + token.length) & this.#mask;
    while (this.#slots[at] !== -1) at = (at + 1) & this.#mask;
    this.#slots[at] = number;
    return true;
  }

  #equals(token: number, bytes: Uint8Array, length: number): boolean {
    const start = this.#starts[token]!;
    if (this.#starts[token + 1]! - start !== length) return false;
    for (let i = 0; i < length; i++) if (this.#bytes[start + i] !== bytes[i]) return false;
    return true;
  }
}

function hash(bytes: Uint8Array, start: number, end: number): number {
  let mixed = 0;
  for (let i = start; i < end; i++) mixed = Math.imul(mixed ^ bytes[i]!, 0x9e37_79b1);
  return mixed ^ (mixed >>> 15);
}
