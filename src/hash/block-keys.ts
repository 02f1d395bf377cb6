/**
 * From block hashes to block keys: the 64 bits that engines announce and the index stores.
 * @module
 */
import { checkOneOf, rangeMistake, typeMistake } from "../errors.js";
import type { HashAlgorithm } from "../types.js";
import { HASH_ALGORITHMS, TRAITS } from "./algorithms.js";

/**
 * The block keys of digests that stand end to end, as {@link BlockHasher.hashTokens} gives them.
 *
 * vLLM announces the last 8 bytes of a digest, SGLang the first 8, both big-endian.
 *
 * @param out - where they are written, and what is returned: as long as they are. Absent: new memory
 * @returns u32 pairs `[hi, lo]`, one pair per digest
 * @throws {TypeError} if `digests` is no Uint8Array or the algorithm is unknown
 * @throws {RangeError} if `digests` is not a whole number of the algorithm's digests, or `out` of another length
 */
export function toBlockKeys(digests: Uint8Array, algorithm: HashAlgorithm, out?: Uint32Array): Uint32Array {
  checkOneOf("algorithm", algorithm, HASH_ALGORITHMS);
  const { digestBytes } = TRAITS[algorithm];
  return readKeys(digests, digestBytes, algorithm === "sglang" ? 0 : digestBytes - 8, out);
}

/** The 8 bytes at `offset` of each digest, big-endian, as u32 pairs `[hi, lo]`. */
export function readKeys(
  digests: Uint8Array,
  digestBytes: number,
  offset: number,
  out?: Uint32Array,
): Uint32Array {
  if (!(digests instanceof Uint8Array)) throw typeMistake("digests", "Uint8Array", digests);
  if (digests.length % digestBytes !== 0)
    throw rangeMistake("digests", `a multiple of ${digestBytes} bytes`, digests);
  const words = (digests.length / digestBytes) * 2;
  if (out !== undefined && !(out instanceof Uint32Array)) throw typeMistake("out", "Uint32Array", out);
  if (out !== undefined && out.length !== words) throw rangeMistake("out", `${words} words`, out);
  const keys = out ?? new Uint32Array(words);
  for (let key = 0, at = offset; key < keys.length; key += 2, at += digestBytes) {
    keys[key] = readU32(digests, at);
    keys[key + 1] = readU32(digests, at + 4);
  }
  return keys;
}

function readU32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}
