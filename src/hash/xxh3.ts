/**
 * XXH3-128 with seed 0, canonical (big-endian) digest, by hash-wasm.
 * @module
 */
import { createXXHash128 } from "hash-wasm";
import type { Digest } from "./format.js";

/** Compile the WebAssembly module; the digest itself is then synchronous. */
export async function loadXxh3(): Promise<Digest> {
  const hasher = await createXXHash128(0, 0);
  return (input: Uint8Array, out: Uint8Array, at: number): void => {
    out.set(hasher.init().update(input).digest("binary"), at);
  };
}
