/**
 * Canonical CBOR, as Python's `cbor2.dumps(value, canonical=True)` writes it: what vLLM's `sha256_cbor`, `xxhash_cbor`
 * and v0.10's `sha256_cbor_64bit` hash. Heads in their shortest form (RFC 8949 §4.2.1), everything of definite length.
 *
 *     head: major type << 5 | n      n < 24
 *           … | 24 <u8>  … | 25 <u16>  … | 26 <u32>  … | 27 <u64>, big-endian
 *     major type 0 unsigned, 1 negative (-1 - n), 2 bytes, 3 text, 4 array; f6 null; c2/c3 bytes: beyond 64 bits
 *
 * Vectors: test/vectors/serialization.json, legacy.json.
 * @module
 */
import type { BlockFormat, PlainValue } from "./format.js";
import { Scratch } from "./scratch.js";
import type { HashKey } from "./tagged-keys.js";
import { utf8Length, writeUtf8 } from "./utf8.js";

const UNSIGNED = 0x00;
const NEGATIVE = 0x20;
const BYTES = 0x40;
const TEXT = 0x60;
const ARRAY = 0x80;
const TAG = 0xc0;
const NULL = 0xf6;

const LONE_SURROGATE = /\p{Surrogate}/u;

/** Writes one CBOR item at a time. */
export class CborFormat implements BlockFormat {
  readonly #out: Scratch = new Scratch();
  readonly #parentIsInteger: boolean;

  /** @param parentIsInteger - v0.10's 64-bit form: the parent's hash is a big-endian integer, not bytes */
  constructor(parentIsInteger = false) {
    this.#parentIsInteger = parentIsInteger;
  }

  /** Any value; a view, valid until the next call. */
  value(value: PlainValue): Uint8Array {
    this.#out.at = 0;
    this.#save(value);
    return this.#out.written();
  }

  /** The array `[parent, tokens, extra]`. */
  block(
    parent: Uint8Array,
    parentAt: number,
    parentLength: number,
    tokens: Uint32Array,
    start: number,
    count: number,
    extra: readonly HashKey[] | null,
  ): Uint8Array {
    this.#out.at = 0;
    this.#head(ARRAY, 3);
    if (this.#parentIsInteger) this.#unsigned(UNSIGNED, parent, parentAt, parentLength);
    else this.#bytes(parent, parentAt, parentLength);
    this.#tokens(tokens, start, count);
    this.#save(extra);
    return this.#out.written();
  }

  #save(value: PlainValue): void {
    if (value === null) {
      const out = this.#out;
      out.reserve(1)[out.at++] = NULL;
    } else if (typeof value === "string") this.#text(value);
    else if (value instanceof Uint8Array) this.#bytes(value, 0, value.length);
    else if (typeof value === "object") {
      this.#head(ARRAY, value.length);
      for (const item of value) this.#save(item);
    } else this.#integer(value);
  }

  #head(major: number, n: number): void {
    const out = this.#out;
    const bytes = out.reserve(9);
    if (n < 24) bytes[out.at++] = major | n;
    else if (n < 0x100) {
      bytes[out.at++] = major | 24;
      bytes[out.at++] = n;
    } else if (n < 0x10000) {
      bytes[out.at++] = major | 25;
      bytes[out.at++] = n >>> 8;
      bytes[out.at++] = n;
    } else if (n < 0x100000000) {
      bytes[out.at] = major | 26;
      writeU32(bytes, out.at + 1, n);
      out.at += 5;
    } else {
      bytes[out.at] = major | 27;
      writeU32(bytes, out.at + 1, Math.floor(n / 0x100000000));
      writeU32(bytes, out.at + 5, n % 0x100000000);
      out.at += 9;
    }
  }

  #tokens(tokens: Uint32Array, start: number, count: number): void {
    this.#head(ARRAY, count);
    const out = this.#out;
    const bytes = out.reserve(5 * count);
    let at = out.at;
    for (let i = start, end = start + count; i < end; i++) {
      const token = tokens[i]!;
      if (token < 24) bytes[at++] = token;
      else if (token < 0x100) {
        bytes[at] = 0x18;
        bytes[at + 1] = token;
        at += 2;
      } else if (token < 0x10000) {
        bytes[at] = 0x19;
        bytes[at + 1] = token >>> 8;
        bytes[at + 2] = token;
        at += 3;
      } else {
        bytes[at] = 0x1a;
        writeU32(bytes, at + 1, token);
        at += 5;
      }
    }
    out.at = at;
  }

  #integer(value: number | bigint): void {
    const major = value < 0 ? NEGATIVE : UNSIGNED;
    const n = value >= 0 ? value : typeof value === "number" ? -1 - value : -1n - value;
    if (n <= Number.MAX_SAFE_INTEGER) this.#head(major, Number(n));
    else {
      const bytes = bytesOf(BigInt(n));
      this.#unsigned(major, bytes, 0, bytes.length);
    }
  }

  /** The head of a number given as big-endian bytes, or beyond 64 bits its tagged bytes. */
  #unsigned(major: number, number: Uint8Array, from: number, length: number): void {
    const end = from + length;
    let first = from;
    while (first < end && number[first] === 0) first++;
    const size = end - first;
    const out = this.#out;
    const bytes = out.reserve(9);
    if (size > 8) {
      bytes[out.at++] = TAG | (major === NEGATIVE ? 3 : 2);
      this.#bytes(number, first, size);
    } else if (size > 4) {
      bytes[out.at++] = major | 27;
      for (let pad = size; pad < 8; pad++) bytes[out.at++] = 0;
      while (first < end) bytes[out.at++] = number[first++]!;
    } else {
      let n = 0;
      while (first < end) n = n * 256 + number[first++]!;
      this.#head(major, n);
    }
  }

  #text(text: string): void {
    const length = utf8Length(text);
    // cbor2 refuses them too, so no engine has a block with such a key.
    if (length !== text.length && LONE_SURROGATE.test(text))
      throw new RangeError(
        '"extraKeys" and "seed" expected text without lone surrogates: CBOR cannot hold them',
      );
    this.#head(TEXT, length);
    const out = this.#out;
    out.at = writeUtf8(text, out.reserve(length), out.at);
  }

  #bytes(data: Uint8Array, from: number, length: number): void {
    this.#head(BYTES, length);
    const out = this.#out;
    const bytes = out.reserve(length);
    for (let i = 0, at = out.at; i < length; i++) bytes[at + i] = data[from + i]!;
    out.at += length;
  }
}

/** The shortest big-endian bytes of a positive integer. */
function bytesOf(value: bigint): Uint8Array {
  const digits: number[] = [];
  for (let rest = value; rest > 0n; rest >>= 8n) digits.push(Number(rest & 0xffn));
  return Uint8Array.from(digits.reverse());
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
