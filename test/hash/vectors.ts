/**
 * Reads test/vectors: JSON made by Python's own pickle, cbor2, hashlib and xxhash (generate.py).
 * @module
 */
import { readFileSync } from "node:fs";
import type { ExtraKey } from "kvblock/hash";

export type JsonKey = string | number | { bytes: string } | [string, number];

export function readVectors<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), "utf8")) as T;
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
export const unhex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "hex"));

/** An unsigned decimal as `length` big-endian bytes. */
export const bigEndian = (decimal: string, length: number): Uint8Array =>
  unhex(
    BigInt(decimal)
      .toString(16)
      .padStart(2 * length, "0"),
  );

/** Pairs `[hi, lo]` as decimals. */
export function decimals(keys: Uint32Array): string[] {
  const result: string[] = [];
  for (let i = 0; i < keys.length; i += 2)
    result.push(String((BigInt(keys[i]!) << 32n) | BigInt(keys[i + 1]!)));
  return result;
}

/** The digests that stand end to end, each as hex. */
export function split(digests: Uint8Array, digestBytes: number): string[] {
  const result: string[] = [];
  for (let at = 0; at < digests.length; at += digestBytes)
    result.push(hex(digests.subarray(at, at + digestBytes)));
  return result;
}

export function extraKeysOf(json: readonly JsonKey[] | null): readonly ExtraKey[] | null {
  return json === null
    ? null
    : json.map((key) => (typeof key === "object" && "bytes" in key ? unhex(key.bytes) : key));
}
