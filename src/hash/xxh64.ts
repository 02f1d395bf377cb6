/**
 * XXH64 with a seed, big-endian digest, by xxhash-wasm.
 * @module
 */
import xxhash from "xxhash-wasm";
import type { Digest } from "./format.js";

/** Compile the WebAssembly module; gives the digest of a 64-bit seed (big-endian bytes), which is synchronous. */
export async function loadXxh64(): Promise<(seed: Uint8Array) => Digest> {
  const { h64Raw } = await xxhash();
  return (seed: Uint8Array): Digest => {
    const view = new DataView(new ArrayBuffer(8));
    const digest = new Uint8Array(view.buffer);
    digest.set(seed);
    const number = view.getBigUint64(0);
    return (input: Uint8Array, out: Uint8Array, at: number): void => {
      view.setBigUint64(0, h64Raw(input, number));
      for (let i = 0; i < 8; i++) out[at + i] = digest[i]!;
    };
  };
}
