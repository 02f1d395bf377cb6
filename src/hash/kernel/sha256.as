// SHA-256 of the input (FIPS 180-4). Measured (Node 20, x64), for each step of the way: the message schedule in SIMD, four
// words at a time, between the rounds that do not need them yet; rounds written out, so that no value moves from one of the
// eight variables to the next; a ^ b kept from the round before, for the majority.
import { INPUT, WORDS, bswap32 } from "./memory";

const K: usize = memory.data<u32>([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
], 16);

// @ts-ignore: decorator
@inline
function words(at: usize): v128 {
  return v128.shuffle<u8>(v128.load(at), i8x16.splat(0), 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
}

// @ts-ignore: decorator
@inline
function sigma0(x: v128): v128 {
  return v128.xor(
    v128.xor(
      v128.or(v128.shr<u32>(x, 7), v128.shl<u32>(x, 25)),
      v128.or(v128.shr<u32>(x, 18), v128.shl<u32>(x, 14)),
    ),
    v128.shr<u32>(x, 3),
  );
}

// σ1 of two words, each standing twice in a 64-bit lane, so that a shift of the lane rotates the word.
// @ts-ignore: decorator
@inline
function sigma1(x: v128): v128 {
  return v128.xor(v128.xor(v128.shr<u64>(x, 17), v128.shr<u64>(x, 19)), v128.shr<u32>(x, 10));
}

// The next four words, of the sixteen before them.
// @ts-ignore: decorator
@inline
function schedule(a: v128, b: v128, c: v128, d: v128): v128 {
  const zero = i8x16.splat(0);
  let x = v128.add<u32>(
    v128.add<u32>(a, sigma0(v128.shuffle<u32>(a, b, 1, 2, 3, 4))),
    v128.shuffle<u32>(c, d, 1, 2, 3, 4),
  );
  x = v128.add<u32>(x, v128.shuffle<u32>(sigma1(v128.shuffle<u32>(d, d, 2, 2, 3, 3)), zero, 0, 2, 4, 4));
  return v128.add<u32>(x, v128.shuffle<u32>(sigma1(v128.shuffle<u32>(x, x, 0, 0, 1, 1)), zero, 4, 4, 0, 2));
}

// h + W + K + choice + Σ1
// @ts-ignore: decorator
@inline
function one(h: u32, at: usize, e: u32, f: u32, g: u32): u32 {
  return h + load<u32>(at) + (((f ^ g) & e) ^ g) + (rotr<u32>(e, 6) ^ rotr<u32>(e, 11) ^ rotr<u32>(e, 25));
}

// Σ0 + majority, with ab = a ^ b and bc = b ^ c
// @ts-ignore: decorator
@inline
function two(a: u32, b: u32, ab: u32, bc: u32): u32 {
  return (rotr<u32>(a, 2) ^ rotr<u32>(a, 13) ^ rotr<u32>(a, 22)) + ((ab & bc) ^ b);
}

/** Digest `length` bytes at INPUT, which it pads in place, into `out`: all 32 bytes or only the last 8. */
export function sha256(length: usize, out: usize, whole: bool): void {
  const end = INPUT + length;
  const last = INPUT + ((length + 8) & ~63); // the block that ends with the length
  for (let at = end; at < last + 64; at += 16) v128.store(at, i8x16.splat(0));
  store<u8>(end, 0x80);
  store<u64>(last + 56, ((<u64>bswap32(<u32>length << 3)) << 32));

  let h0: u32 = 0x6a09e667;
  let h1: u32 = 0xbb67ae85;
  let h2: u32 = 0x3c6ef372;
  let h3: u32 = 0xa54ff53a;
  let h4: u32 = 0x510e527f;
  let h5: u32 = 0x9b05688c;
  let h6: u32 = 0x1f83d9ab;
  let h7: u32 = 0x5be0cd19;
  for (let block = INPUT; block <= last; block += 64) {
    let w0 = words(block);
    let w1 = words(block + 16);
    let w2 = words(block + 32);
    let w3 = words(block + 48);
    let a = h0;
    let b = h1;
    let c = h2;
    let d = h3;
    let e = h4;
    let f = h5;
    let g = h6;
    let h = h7;
    let x = b ^ c;
    let y: u32;
    v128.store(WORDS, v128.add<u32>(w0, v128.load(K)));
    v128.store(WORDS + 16, v128.add<u32>(w1, v128.load(K + 16)));
    v128.store(WORDS + 32, v128.add<u32>(w2, v128.load(K + 32)));
    v128.store(WORDS + 48, v128.add<u32>(w3, v128.load(K + 48)));
    let at = WORDS;
    for (; at < WORDS + 192; at += 64) {
      w0 = schedule(w0, w1, w2, w3);
      v128.store(at + 64, v128.add<u32>(w0, v128.load(at - WORDS + K + 64)));
      h = one(h, at, e, f, g); d += h; y = a ^ b; h += two(a, b, y, x);
      g = one(g, at + 4, d, e, f); c += g; x = h ^ a; g += two(h, a, x, y);
      f = one(f, at + 8, c, d, e); b += f; y = g ^ h; f += two(g, h, y, x);
      e = one(e, at + 12, b, c, d); a += e; x = f ^ g; e += two(f, g, x, y);
      w1 = schedule(w1, w2, w3, w0);
      v128.store(at + 80, v128.add<u32>(w1, v128.load(at - WORDS + K + 80)));
      d = one(d, at + 16, a, b, c); h += d; y = e ^ f; d += two(e, f, y, x);
      c = one(c, at + 20, h, a, b); g += c; x = d ^ e; c += two(d, e, x, y);
      b = one(b, at + 24, g, h, a); f += b; y = c ^ d; b += two(c, d, y, x);
      a = one(a, at + 28, f, g, h); e += a; x = b ^ c; a += two(b, c, x, y);
      w2 = schedule(w2, w3, w0, w1);
      v128.store(at + 96, v128.add<u32>(w2, v128.load(at - WORDS + K + 96)));
      h = one(h, at + 32, e, f, g); d += h; y = a ^ b; h += two(a, b, y, x);
      g = one(g, at + 36, d, e, f); c += g; x = h ^ a; g += two(h, a, x, y);
      f = one(f, at + 40, c, d, e); b += f; y = g ^ h; f += two(g, h, y, x);
      e = one(e, at + 44, b, c, d); a += e; x = f ^ g; e += two(f, g, x, y);
      w3 = schedule(w3, w0, w1, w2);
      v128.store(at + 112, v128.add<u32>(w3, v128.load(at - WORDS + K + 112)));
      d = one(d, at + 48, a, b, c); h += d; y = e ^ f; d += two(e, f, y, x);
      c = one(c, at + 52, h, a, b); g += c; x = d ^ e; c += two(d, e, x, y);
      b = one(b, at + 56, g, h, a); f += b; y = c ^ d; b += two(c, d, y, x);
      a = one(a, at + 60, f, g, h); e += a; x = b ^ c; a += two(b, c, x, y);
    }
    h = one(h, at, e, f, g); d += h; y = a ^ b; h += two(a, b, y, x);
    g = one(g, at + 4, d, e, f); c += g; x = h ^ a; g += two(h, a, x, y);
    f = one(f, at + 8, c, d, e); b += f; y = g ^ h; f += two(g, h, y, x);
    e = one(e, at + 12, b, c, d); a += e; x = f ^ g; e += two(f, g, x, y);
    d = one(d, at + 16, a, b, c); h += d; y = e ^ f; d += two(e, f, y, x);
    c = one(c, at + 20, h, a, b); g += c; x = d ^ e; c += two(d, e, x, y);
    b = one(b, at + 24, g, h, a); f += b; y = c ^ d; b += two(c, d, y, x);
    a = one(a, at + 28, f, g, h); e += a; x = b ^ c; a += two(b, c, x, y);
    h = one(h, at + 32, e, f, g); d += h; y = a ^ b; h += two(a, b, y, x);
    g = one(g, at + 36, d, e, f); c += g; x = h ^ a; g += two(h, a, x, y);
    f = one(f, at + 40, c, d, e); b += f; y = g ^ h; f += two(g, h, y, x);
    e = one(e, at + 44, b, c, d); a += e; x = f ^ g; e += two(f, g, x, y);
    d = one(d, at + 48, a, b, c); h += d; y = e ^ f; d += two(e, f, y, x);
    c = one(c, at + 52, h, a, b); g += c; x = d ^ e; c += two(d, e, x, y);
    b = one(b, at + 56, g, h, a); f += b; y = c ^ d; b += two(c, d, y, x);
    a = one(a, at + 60, f, g, h); e += a; x = b ^ c; a += two(b, c, x, y);
    h0 += a;
    h1 += b;
    h2 += c;
    h3 += d;
    h4 += e;
    h5 += f;
    h6 += g;
    h7 += h;
  }
  if (whole) {
    store<u32>(out, bswap32(h0));
    store<u32>(out + 4, bswap32(h1));
    store<u32>(out + 8, bswap32(h2));
    store<u32>(out + 12, bswap32(h3));
    store<u32>(out + 16, bswap32(h4));
    store<u32>(out + 20, bswap32(h5));
    out += 24;
  }
  store<u32>(out, bswap32(h6));
  store<u32>(out + 4, bswap32(h7));
}
