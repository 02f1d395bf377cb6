// The kernel's memory: two pages, laid out by hand, never grown. src/hash/kernel.ts knows the same numbers.
//
//     0       tokens    8,192 × u32, written by the caller
//     32768   parent    32 bytes: the parent's digest, ending at 32800
//     32800   digests   512 × up to 32 bytes, end to end: a block's parent is what stands before its digest
//     49216   input     one block, serialised; 16-aligned
//     106816  words     SHA-256's message schedule, 64 × u32
//     107520  constants (--memoryBase)
//     109056  tables    of quads.as, 2 × 1,024 bytes
//
// A serialised block has at most 7 bytes a token and 64 others: 57,408 with SHA-256's padding.

export const TOKENS: usize = 0;
export const DIGESTS: usize = 32800;
export const INPUT: usize = 49216;
export const WORDS: usize = 106816;
export const TABLES: usize = 109056;

// @ts-ignore: decorator
@inline
export function bswap32(x: u32): u32 {
  return rotl<u32>(x & 0xff00ff00, 8) | rotr<u32>(x & 0x00ff00ff, 8);
}

// @ts-ignore: decorator
@inline
export function bswap64(x: u64): u64 {
  return ((<u64>bswap32(<u32>x)) << 32) | <u64>bswap32(<u32>(x >> 32));
}
