// Token ids as CBOR and pickle have them, four at a time and without a branch.
//
// Both write a number as a head, which tells its width, and as many bytes as it needs. Two tokens take ten bytes at most, so
// a shuffle of one vector makes them: its source is the two tokens and the heads, and which shuffle it is a table tells by
// six bits: of each of the two tokens whether it is more than 23, than 255 and than 65,535.
//
//     source   0 … 3 and 4 … 7  the tokens, little-endian; 8, 9, 10  the heads of one, two and four bytes
//     entry    0 … 14  the source of each byte, 128 for none; 15  how many bytes there are
import { TABLES } from "./memory";

const CBOR: usize = TABLES;
const PICKLE: usize = TABLES + 1024;

/** Fill the tables. */
export function fillTables(): void {
  for (let bits: u32 = 0; bits < 64; bits++)
    for (let isPickle: usize = 0; isPickle < 2; isPickle++) {
      const entry = TABLES + (isPickle << 10) + (bits << 4);
      let at: usize = 0;
      for (let t: u32 = 0; t < 2; t++) {
        const width = (bits >> (4 + t)) & 1 ? 4 : (bits >> (2 + t)) & 1 ? 2 : isPickle || (bits >> t) & 1 ? 1 : 0;
        if (width > 0) store<u8>(entry + at++, 8 + (width >> 1));
        for (let i = 0; i < max(width, 1); i++)
          store<u8>(entry + at++, 4 * t + (isPickle ? i : max(width, 1) - 1 - i));
      }
      store<u8>(entry + 15, <u8>at);
      for (; at < 15; at++) store<u8>(entry + at, 128);
    }
}

// @ts-ignore: decorator
@inline
function moreThan(tokens: v128, limit: i32): v128 {
  // Unsigned: both are moved by 2^31.
  return v128.gt<i32>(v128.xor(tokens, i32x4.splat(i32.MIN_VALUE)), i32x4.splat(i32.MIN_VALUE + limit));
}

// @ts-ignore: decorator
@inline
function quad(table: usize, heads: v128, at: usize, tokens: v128): usize {
  const bytes = v128.narrow<i16>(
    v128.narrow<i32>(moreThan(tokens, 23), moreThan(tokens, 0xff)),
    v128.narrow<i32>(moreThan(tokens, 0xffff), i32x4.splat(0)),
  );
  const bits = v128.bitmask<i8>(
    v128.shuffle<u8>(bytes, bytes, 0, 1, 4, 5, 8, 9, 12, 12, 2, 3, 6, 7, 10, 11, 12, 12),
  );
  const first = table + ((bits & 63) << 4);
  const second = table + (bits >> 8 << 4);
  v128.store(at, v128.swizzle(v128.shuffle<u64>(tokens, heads, 0, 2), v128.load(first)));
  at += load<u8>(first, 15);
  v128.store(at, v128.swizzle(v128.shuffle<u64>(tokens, heads, 1, 2), v128.load(second)));
  return at + load<u8>(second, 15);
}

/** Write four tokens as CBOR; gives where the next byte goes. */
// @ts-ignore: decorator
@inline
export function cborQuad(at: usize, tokens: v128): usize {
  return quad(CBOR, i32x4(0x1a1918, 0, 0, 0), at, tokens);
}

/** Write four tokens below 2^31 as pickle. */
// @ts-ignore: decorator
@inline
export function pickleQuad(at: usize, tokens: v128): usize {
  return quad(PICKLE, i32x4(0x4a4d4b, 0, 0, 0), at, tokens);
}
