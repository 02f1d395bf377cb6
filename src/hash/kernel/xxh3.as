// XXH3-128 of the input, seed 0, canonical (big-endian) digest: xxHash 0.8, for inputs of 17 bytes and more. The shorter
// classes are left out: a block with its parent's digest is longer.
import { INPUT, bswap64 } from "./memory";

const P32_1: u64 = 0x9e3779b1;
const P32_2: u64 = 0x85ebca77;
const P32_3: u64 = 0xc2b2ae3d;
const P64_1: u64 = 0x9e3779b185ebca87;
const P64_2: u64 = 0xc2b2ae3d27d4eb4f;
const P64_3: u64 = 0x165667b19e3779f9;
const P64_4: u64 = 0x85ebca77c2b2ae63;
const P64_5: u64 = 0x27d4eb2f165667c5;

const SECRET: usize = memory.data<u8>([
  0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
  0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
  0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
  0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
  0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
  0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
  0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
  0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
  0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
  0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
  0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
  0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
], 16);

let low: u64 = 0;
let high: u64 = 0;

// The two halves of a 128-bit product, xored.
// @ts-ignore: decorator
@inline
function fold(a: u64, b: u64): u64 {
  const al = a & 0xffffffff;
  const ah = a >> 32;
  const bl = b & 0xffffffff;
  const bh = b >> 32;
  const ll = al * bl;
  const hl = ah * bl;
  const cross = (ll >> 32) + (hl & 0xffffffff) + al * bh;
  return (a * b) ^ (ah * bh + (hl >> 32) + (cross >> 32));
}

// @ts-ignore: decorator
@inline
function avalanche(h: u64): u64 {
  h ^= h >> 37;
  h *= 0x165667919e3779f9;
  return h ^ (h >> 32);
}

// @ts-ignore: decorator
@inline
function mix(at: usize, secret: usize): u64 {
  return fold(load<u64>(at) ^ load<u64>(secret), load<u64>(at, 8) ^ load<u64>(secret, 8));
}

function mix32(one: usize, two: usize, secret: usize): void {
  low = (low + mix(one, secret)) ^ (load<u64>(two) + load<u64>(two, 8));
  high = (high + mix(two, secret + 16)) ^ (load<u64>(one) + load<u64>(one, 8));
}

function medium(length: usize): void {
  const end = INPUT + length;
  low = <u64>length * P64_1;
  high = 0;
  if (length <= 128) {
    if (length > 96) mix32(INPUT + 48, end - 64, SECRET + 96);
    if (length > 64) mix32(INPUT + 32, end - 48, SECRET + 64);
    if (length > 32) mix32(INPUT + 16, end - 32, SECRET + 32);
    mix32(INPUT, end - 16, SECRET);
  } else {
    for (let i: usize = 0; i < 128; i += 32) mix32(INPUT + i, INPUT + i + 16, SECRET + i);
    low = avalanche(low);
    high = avalanche(high);
    for (let i: usize = 128; i + 32 <= length; i += 32)
      mix32(INPUT + i, INPUT + i + 16, SECRET + i - 125);
    mix32(end - 16, end - 32, SECRET + 103);
  }
  const mixed = low * P64_1 + high * P64_4 + <u64>length * P64_2;
  low = avalanche(low + high);
  high = 0 - avalanche(mixed);
}

// Two accumulators and the 16 bytes that go into them.
// @ts-ignore: decorator
@inline
function accumulate(acc: v128, at: usize, secret: usize): v128 {
  const data = v128.load(at);
  const keyed = v128.xor(data, v128.load(secret));
  const product = v128.extmul_low<u32>(
    v128.shuffle<u32>(keyed, keyed, 0, 2, 0, 2),
    v128.shuffle<u32>(keyed, keyed, 1, 3, 1, 3),
  );
  return v128.add<u64>(v128.add<u64>(acc, v128.shuffle<u64>(data, data, 1, 0)), product);
}

// @ts-ignore: decorator
@inline
function scramble(acc: v128, secret: usize): v128 {
  return v128.mul<u64>(
    v128.xor(v128.xor(acc, v128.shr<u64>(acc, 47)), v128.load(secret)),
    i64x2.splat(P32_1),
  );
}

// @ts-ignore: decorator
@inline
function merged(start: u64, a: u64, b: u64, c: u64, d: u64): u64 {
  return avalanche(start + a + b + c + d);
}

function long(length: usize): void {
  let v0 = i64x2(P32_3, P64_1);
  let v1 = i64x2(P64_2, P64_3);
  let v2 = i64x2(P64_4, P32_2);
  let v3 = i64x2(P64_5, P32_1);
  // Stripes of 64 bytes, the last one of any length counted from the end; the accumulators are scrambled after sixteen.
  const stripes = (length - 1) >> 6;
  const final = INPUT + length - 64;
  for (let i: usize = 0; i <= stripes; i++) {
    const at = i < stripes ? INPUT + (i << 6) : final;
    const key = i < stripes ? SECRET + ((i & 15) << 3) : SECRET + 121;
    v0 = accumulate(v0, at, key);
    v1 = accumulate(v1, at + 16, key + 16);
    v2 = accumulate(v2, at + 32, key + 32);
    v3 = accumulate(v3, at + 48, key + 48);
    if ((i & 15) == 15 && i < stripes) {
      v0 = scramble(v0, SECRET + 128);
      v1 = scramble(v1, SECRET + 144);
      v2 = scramble(v2, SECRET + 160);
      v3 = scramble(v3, SECRET + 176);
    }
  }
  const a0 = v128.extract_lane<u64>(v0, 0);
  const a1 = v128.extract_lane<u64>(v0, 1);
  const a2 = v128.extract_lane<u64>(v1, 0);
  const a3 = v128.extract_lane<u64>(v1, 1);
  const a4 = v128.extract_lane<u64>(v2, 0);
  const a5 = v128.extract_lane<u64>(v2, 1);
  const a6 = v128.extract_lane<u64>(v3, 0);
  const a7 = v128.extract_lane<u64>(v3, 1);
  const s = SECRET + 11;
  const t = SECRET + 117;
  low = merged(
    <u64>length * P64_1,
    fold(a0 ^ load<u64>(s), a1 ^ load<u64>(s, 8)),
    fold(a2 ^ load<u64>(s, 16), a3 ^ load<u64>(s, 24)),
    fold(a4 ^ load<u64>(s, 32), a5 ^ load<u64>(s, 40)),
    fold(a6 ^ load<u64>(s, 48), a7 ^ load<u64>(s, 56)),
  );
  high = merged(
    ~(<u64>length * P64_2),
    fold(a0 ^ load<u64>(t), a1 ^ load<u64>(t, 8)),
    fold(a2 ^ load<u64>(t, 16), a3 ^ load<u64>(t, 24)),
    fold(a4 ^ load<u64>(t, 32), a5 ^ load<u64>(t, 40)),
    fold(a6 ^ load<u64>(t, 48), a7 ^ load<u64>(t, 56)),
  );
}

/** Digest `length` bytes at INPUT into the 16 bytes at `out`. */
export function xxh3(length: usize, out: usize): void {
  if (length <= 240) medium(length);
  else long(length);
  store<u64>(out, bswap64(high));
  store<u64>(out, bswap64(low), 8);
}
