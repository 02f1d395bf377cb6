/**
 * The chain of `tokens` mode: our own 64-bit hashes over an engine's tokens and extra keys, for engines whose own
 * hashes cannot be reproduced. Never sent anywhere, so its format is free to change.
 *
 *     input = parent (8 bytes) · extra keys · tokens (u32 LE each)          digest = XXH64, seeded by the chain's key
 *     extra keys   00 for none; else 01, their number (u32 LE), and each as
 *                  01 length text · 02 number · 03 length bytes · 04 their number, and each in turn
 *                  (lengths u32 LE, numbers f64 LE, text UTF-8)
 *
 * Every part has a length that its beginning tells, so different blocks have different inputs. The first block's
 * parent is the block size: chains of different block sizes share no key.
 * @module
 */
import type { TokenIds } from "../types.js";
import { readKeys } from "./block-keys.js";
import { HashChain, type HashTokensOptions, type KeyChain } from "./chain.js";
import type { BlockFormat, Digest } from "./format.js";
import { PlainRun } from "./plain-run.js";
import { Scratch } from "./scratch.js";
import type { HashKey } from "./tagged-keys.js";
import { utf8Length, writeUtf8 } from "./utf8.js";

const DIGEST_BYTES = 8;

/** A keyed chain of 64-bit hashes. */
export class TokenChain implements KeyChain {
  readonly blockSize: number;
  readonly hashBlockSize: number;
  readonly digestBytes: number = DIGEST_BYTES;
  readonly #chain: HashChain;
  readonly #run: PlainRun | undefined;

  /** @param key - what `digest` is seeded with */
  constructor(blockSize: number, digest: Digest, key: Uint8Array) {
    this.blockSize = this.hashBlockSize = blockSize;
    const root = new Uint8Array(DIGEST_BYTES);
    new DataView(root.buffer).setBigUint64(0, BigInt(blockSize));
    this.#run = PlainRun.ofTokens(blockSize, DIGEST_BYTES, key);
    this.#chain = new HashChain(blockSize, DIGEST_BYTES, root, new TokenFormat(), digest, this.#run);
  }

  hashTokens(tokens: TokenIds, options?: HashTokensOptions): Uint8Array {
    return this.#chain.hashTokens(tokens, options);
  }

  hashKeys(
    tokens: Uint32Array,
    blocks: number,
    parent: readonly [hi: number, lo: number] | null,
    out: Uint32Array,
    extraKeys?: HashTokensOptions["extraKeys"],
  ): void {
    const hi = parent === null ? 0 : parent[0];
    const lo = parent === null ? this.blockSize : parent[1];
    if (extraKeys === undefined && this.#run !== undefined) {
      this.#run.hashKeys(tokens, blocks, hi, lo, out);
      return;
    }
    const digest = new Uint8Array(DIGEST_BYTES);
    const view = new DataView(digest.buffer);
    view.setUint32(0, hi);
    view.setUint32(4, lo);
    const head = tokens.subarray(0, blocks * this.blockSize);
    out.set(this.toKeys(this.hashTokens(head, { parent: digest, extraKeys })));
  }

  toKeys(digests: Uint8Array, out?: Uint32Array): Uint32Array {
    return readKeys(digests, DIGEST_BYTES, 0, out);
  }
}

/** Writes one block at a time. */
export class TokenFormat implements BlockFormat {
  readonly #out: Scratch = new Scratch();

  block(
    parent: Uint8Array,
    parentAt: number,
    parentLength: number,
    tokens: Uint32Array,
    start: number,
    count: number,
    extra: readonly HashKey[] | null,
  ): Uint8Array {
    const out = this.#out;
    out.at = 0;
    let bytes = out.reserve(parentLength + 1);
    for (let i = 0; i < parentLength; i++) bytes[i] = parent[parentAt + i]!;
    bytes[parentLength] = extra === null ? 0 : 1;
    out.at = parentLength + 1;
    if (extra !== null) this.#extraKeys(extra);
    bytes = out.reserve(4 * count);
    let at = out.at;
    for (let i = start, end = start + count; i < end; i++, at += 4) writeU32(bytes, at, tokens[i]!);
    out.at = at;
    return out.written();
  }

  #extraKeys(extra: readonly HashKey[]): void {
    this.#u32(extra.length);
    for (const key of extra) {
      if (typeof key !== "object" || key instanceof Uint8Array) this.#part(key);
      else {
        this.#byte(4);
        this.#u32(key.length);
        for (const part of key) this.#part(part);
      }
    }
  }

  #part(part: string | number | Uint8Array): void {
    if (typeof part === "string") this.#text(1, part);
    else if (typeof part === "number") {
      this.#byte(2);
      this.#number(part);
    } else {
      this.#byte(3);
      this.#u32(part.length);
      const out = this.#out;
      out.reserve(part.length).set(part, out.at);
      out.at += part.length;
    }
  }

  #byte(value: number): void {
    const out = this.#out;
    out.reserve(1)[out.at++] = value;
  }

  #u32(value: number): void {
    const out = this.#out;
    writeU32(out.reserve(4), out.at, value);
    out.at += 4;
  }

  #number(value: number): void {
    const out = this.#out;
    const bytes = out.reserve(8);
    new DataView(bytes.buffer).setFloat64(out.at, value + 0, true); // + 0: -0 is 0
    out.at += 8;
  }

  #text(tag: number, text: string): void {
    this.#byte(tag);
    const length = utf8Length(text);
    this.#u32(length);
    const out = this.#out;
    out.at = writeUtf8(text, out.reserve(length), out.at);
  }
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}
