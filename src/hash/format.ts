/**
 * What a hash algorithm is made of: a format that serialises one block, and a digest over those bytes.
 * @module
 */
import type { HashKey } from "./tagged-keys.js";

/** A value of the kind that Python serialises here: None, int, str, bytes, tuple. */
export type PlainValue = null | number | bigint | string | Uint8Array | readonly PlainValue[];

/** Serialises blocks into a buffer of its own. */
export interface BlockFormat {
  /**
   * The bytes of one block: its parent's hash, its tokens, its extra keys.
   *
   * @param parent - holds the parent's hash at `parentAt … parentAt + parentLength`
   * @param tokens - holds the block's tokens at `start … start + count`
   * @param extra - null for none; never empty
   * @returns a view of the format's own buffer, valid until its next call
   */
  block(
    parent: Uint8Array,
    parentAt: number,
    parentLength: number,
    tokens: Uint32Array,
    start: number,
    count: number,
    extra: readonly HashKey[] | null,
  ): Uint8Array;
}

/** Writes the digest of `input` into `out` at `at`. */
export type Digest = (input: Uint8Array, out: Uint8Array, at: number) => void;
