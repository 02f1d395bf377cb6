/**
 * The kernel: blocks without extra keys, serialised and digested in WebAssembly, a whole run of them to a call. Its source
 * is kernel/*.as; what it computes is what the formats and digests beside it compute, and tests hold it to that.
 * @module
 */
import { KERNEL_BYTES } from "./kernel-bytes.js";

// The memory's layout, as kernel/memory.as says it.
/** The most tokens of a run. */
export const RUN_TOKENS = 8192;
/** The most blocks of a run. */
export const RUN_BLOCKS = 512;
/** Where a run's digests begin; its first parent, a digest, ends here. */
export const DIGESTS_AT = 32800;
/** Where {@link Kernel.write} writes. */
export const INPUT_AT = 49216;

/** An instance. One serves the whole process: nothing that stays in it matters to the next call. */
export interface Kernel {
  /** A run's tokens. */
  readonly tokens: Uint32Array;
  /** All of its memory. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Hash a run: kind by number (kernel/kernel.as), blocks, tokens in each, and XXH64's seed in halves. */
  run(kind: number, blocks: number, blockSize: number, seedLow: number, seedHigh: number): void;
  /** Serialise one block, its tokens at the byte `tokensAt` and its parent before `digestAt`; gives the length. */
  write(kind: number, tokensAt: number, blockSize: number, digestAt: number): number;
}

// Neither TypeScript's library for Node nor Node's own types declare it.
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (
    module: object,
  ) => { readonly exports: Pick<Kernel, "run" | "write"> & { readonly memory: { buffer: ArrayBuffer } } };
};

let kernel: Kernel | null | undefined;

/** The kernel, compiled on the first call; null where there is no WebAssembly, or none with SIMD. */
export function loadKernel(): Kernel | null {
  if (kernel !== undefined) return kernel;
  try {
    const module = new WebAssembly.Module(Buffer.from(KERNEL_BYTES, "base64"));
    const { memory, run, write } = new WebAssembly.Instance(module).exports;
    const { buffer } = memory;
    const tokens = new Uint32Array(buffer, 0, RUN_TOKENS);
    kernel = { tokens, bytes: new Uint8Array(buffer), view: new DataView(buffer), run, write };
  } catch {
    kernel = null;
  }
  return kernel;
}
