// Blocks without extra keys, serialised at INPUT: what src/hash/{pickle,cbor,sglang,token-chain}.ts write for them. Each
// takes where the parent's digest stands, its length, the tokens and their number, and gives the length of what it wrote.
//
// Tokens are written four at a time (quads.as), or one by one, eight bytes with their head; the next store overwrites what
// was too much. Their width is chosen without branches, which random tokens would make the processor mispredict.
import { INPUT, bswap32, bswap64 } from "./memory";
import { cborQuad, pickleQuad } from "./quads";

// @ts-ignore: decorator
@inline
function copyParent(to: usize, parent: usize, size: usize): usize {
  for (let i: usize = 0; i < size; i += 8) store<u64>(to + i, load<u64>(parent + i));
  return to + size;
}

/** The pickle of (parent, tokens, None), in one frame: blocks are too small to fill it. */
export function pickle(parent: usize, size: usize, token: usize, count: usize): usize {
  store<u16>(INPUT, 0x0580);
  store<u8>(INPUT + 2, 0x95);
  store<u16>(INPUT + 11, 0x43 | (<u16>size << 8));
  let at = copyParent(INPUT + 13, parent, size);
  store<u16>(at, 0x2894); // MEMOIZE, MARK
  at += count > 3 ? 2 : 1;
  for (const end = token + (count << 2); token < end; token += 4) {
    if (token + 16 <= end) {
      const four = v128.load(token);
      if (v128.bitmask<i32>(four) == 0) {
        at = pickleQuad(at, four);
        token += 12;
        continue;
      }
    }
    const n = <u64>load<u32>(token);
    if (n < 0x80000000) {
      const wide = n > 0xffff;
      const mid = n > 0xff;
      store<u64>(at, (n << 8) | select<u64>(0x4a, select<u64>(0x4d, 0x4b, mid), wide));
      at += select<usize>(5, select<usize>(3, 2, mid), wide);
    } else {
      store<u64>(at, (n << 16) | 0x058a);
      at += 7;
    }
  }
  // TUPLE1, TUPLE2, TUPLE3 or TUPLE; then MEMOIZE, NONE, TUPLE3, MEMOIZE, STOP.
  const tuple: u64 = count > 3 ? 0x74 : 0x84 + count;
  store<u64>(at, tuple | 0x2e94874e9400);
  at += 6;
  store<u64>(INPUT + 3, <u64>(at - INPUT - 11));
  return at - INPUT;
}

// @ts-ignore: decorator
@inline
function arrayHead(at: usize, count: usize): usize {
  if (count < 24) {
    store<u8>(at, 0x80 | count);
    return at + 1;
  }
  if (count < 256) {
    store<u16>(at, 0x98 | (count << 8));
    return at + 2;
  }
  store<u32>(at, 0x99 | (bswap32(<u32>count) >> 8));
  return at + 3;
}

// Arrays of tokens, then null.
function cborRest(at: usize, token: usize, count: usize): usize {
  at = arrayHead(at, count);
  const end = token + (count << 2);
  for (; token + 16 <= end; token += 16) at = cborQuad(at, v128.load(token));
  for (; token < end; token += 4) {
    const n = load<u32>(token);
    const wide = n > 0xffff;
    const mid = n > 0xff;
    const small = n > 23;
    // Bytes after the head, and the head: 18, 19, 1a, or the number itself.
    const bytes = select<u32>(4, select<u32>(2, <u32>small, mid), wide);
    const head = select<u32>(0x18 + (bytes >> 1), n, small);
    store<u64>(at, (((<u64>bswap32(n) << (<u64>bytes << 3)) >> 32) << 8) | <u64>head);
    at += 1 + bytes;
  }
  store<u8>(at, 0xf6);
  return at + 1 - INPUT;
}

/** Canonical CBOR of [parent, tokens, null]. */
export function cbor(parent: usize, size: usize, token: usize, count: usize): usize {
  let at: usize;
  if (size < 24) {
    store<u16>(INPUT, 0x4083 | (<u16>size << 8));
    at = INPUT + 2;
  } else {
    store<u32>(INPUT, 0x5883 | (<u32>size << 16));
    at = INPUT + 3;
  }
  return cborRest(copyParent(at, parent, size), token, count);
}

/** The same with the parent as an integer of at most 64 bits. */
export function cborInteger(parent: usize, token: usize, count: usize): usize {
  const n = bswap64(load<u64>(parent));
  let at = INPUT + 1;
  store<u8>(INPUT, 0x83);
  if (n > 0xffffffff) {
    store<u8>(at, 0x1b);
    store<u64>(at + 1, bswap64(n));
    at += 9;
  } else if (n > 0xffff) {
    store<u8>(at, 0x1a);
    store<u32>(at + 1, bswap32(<u32>n));
    at += 5;
  } else if (n > 0xff) {
    store<u32>(at, 0x19 | (bswap32(<u32>n) >> 8));
    at += 3;
  } else if (n > 23) {
    store<u16>(at, 0x18 | (<u16>n << 8));
    at += 2;
  } else {
    store<u8>(at, <u8>n);
    at += 1;
  }
  return cborRest(at, token, count);
}

// @ts-ignore: decorator
@inline
function raw(at: usize, token: usize, count: usize): usize {
  const end = at + (count << 2);
  for (; at < end; at += 16, token += 16) v128.store(at, v128.load(token));
  return end - INPUT;
}

/** SGLang's: parent, tokens. */
export function sglang(parent: usize, size: usize, token: usize, count: usize): usize {
  return raw(copyParent(INPUT, parent, size), token, count);
}

/** tokens mode's: parent, 00, tokens. */
export function tokenChain(parent: usize, token: usize, count: usize): usize {
  store<u64>(INPUT, load<u64>(parent));
  store<u8>(INPUT + 8, 0);
  return raw(INPUT + 9, token, count);
}
