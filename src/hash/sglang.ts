/**
 * SGLang's page hash: SHA-256 over the previous page's digest and the page's tokens, each as u32 little-endian. The
 * first page has nothing before it; with a cache salt (SGLang from PR 30827) its chain starts at
 * SHA-256("sglang-cache-salt-v1\0" + salt).
 * Source: SGLang `python/sglang/srt/mem_cache`. Vectors: test/vectors/sglang.json.
 * @module
 */
import { rangeMistake } from "../errors.js";
import type { BlockFormat } from "./format.js";
import { Scratch } from "./scratch.js";
import { SHA256_BYTES, sha256 } from "./sha256.js";
import type { HashKey } from "./tagged-keys.js";

const SALT_PREFIX = "sglang-cache-salt-v1\0";

/** Writes one page's hash input at a time. */
export class SglangFormat implements BlockFormat {
  readonly #out: Scratch = new Scratch();

  /** @throws {RangeError} for extra keys other than one salt on the first page: SGLang hashes nothing else */
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
    const bytes = out.reserve(SHA256_BYTES + 4 * count);
    let at = 0;
    if (extra !== null) {
      const salt = extra[0];
      if (parentLength !== 0 || extra.length !== 1 || typeof salt !== "string")
        throw rangeMistake("extraKeys", 'one cache salt on the first block, or none, for "sglang"', extra);
      sha256(new TextEncoder().encode(SALT_PREFIX + salt), bytes, 0);
      at = SHA256_BYTES;
    }
    for (let i = 0; i < parentLength; i++) bytes[at++] = parent[parentAt + i]!;
    for (let i = start, end = start + count; i < end; i++) {
      const token = tokens[i]!;
      bytes[at] = token;
      bytes[at + 1] = token >>> 8;
      bytes[at + 2] = token >>> 16;
      bytes[at + 3] = token >>> 24;
      at += 4;
    }
    out.at = at;
    const written = out.written();
    out.at = 0;
    return written;
  }
}
