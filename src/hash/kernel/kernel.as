// The kernel: hashes a run of blocks without extra keys, each digest the parent of the next. Written in AssemblyScript,
// compiled by `npm run build:kernel` into ../kernel-bytes.ts; called by ../kernel.ts alone.
import { cbor, cborInteger, pickle, sglang, tokenChain } from "./formats";
import { DIGESTS, TOKENS } from "./memory";
import { fillTables } from "./quads";
import { sha256 } from "./sha256";
import { xxh3 } from "./xxh3";
import { xxh64 } from "./xxh64";

const PICKLE_SHA256: i32 = 0;
const CBOR_SHA256: i32 = 1;
const PICKLE_XXH3: i32 = 2;
const CBOR_XXH3: i32 = 3;
const CBOR_INTEGER_SHA256: i32 = 4;
const SGLANG_SHA256: i32 = 5;
const TOKENS_XXH64: i32 = 6;

fillTables();

/** Serialise one block at INPUT, its tokens from `token` on, its parent's digest before `out`; gives the length. */
export function write(kind: i32, token: usize, count: usize, out: usize): usize {
  if (kind == PICKLE_SHA256) return pickle(out - 32, 32, token, count);
  if (kind == CBOR_SHA256) return cbor(out - 32, 32, token, count);
  if (kind == PICKLE_XXH3) return pickle(out - 16, 16, token, count);
  if (kind == CBOR_XXH3) return cbor(out - 16, 16, token, count);
  if (kind == CBOR_INTEGER_SHA256) return cborInteger(out - 8, token, count);
  if (kind == SGLANG_SHA256) return sglang(out - 32, 32, token, count);
  return tokenChain(out - 8, token, count);
}

/**
 * Hash `blocks` blocks of `count` tokens each. The first one's parent, a digest, ends where the digests begin.
 * The seed, two halves of 64 bits, is XXH64's.
 */
export function run(kind: i32, blocks: i32, count: usize, seedLow: u32, seedHigh: u32): void {
  const seed = ((<u64>seedHigh) << 32) | <u64>seedLow;
  const bytes = count << 2;
  let token = TOKENS;
  let out = DIGESTS;
  for (; blocks > 0; blocks--, token += bytes) {
    const length = write(kind, token, count, out);
    if (kind == PICKLE_XXH3 || kind == CBOR_XXH3) {
      xxh3(length, out);
      out += 16;
    } else if (kind == TOKENS_XXH64) {
      xxh64(length, out, seed);
      out += 8;
    } else {
      const whole = kind != CBOR_INTEGER_SHA256;
      sha256(length, out, whole);
      out += whole ? 32 : 8;
    }
  }
}
