/**
 * Token ids as they come in, checked.
 * @module
 */
import { describe } from "../errors.js";
import type { TokenIds } from "../types.js";

/** Copy `count` tokens from `start` on to the beginning of `into`. */
export function copyTokens(tokens: TokenIds, start: number, count: number, into: Uint32Array): void {
  for (let i = 0; i < count; i++) {
    const token = tokens[start + i]!;
    if (token >>> 0 !== token) checkToken(token, start + i);
    into[i] = token;
  }
}

/**
 * Refuse what is no unsigned 32-bit integer.
 * @throws {TypeError} for what is no number
 * @throws {RangeError} for a number out of range
 */
export function checkToken(token: unknown, index: number): void {
  if (typeof token !== "number")
    throw new TypeError(`"tokens[${index}]" expected integer 0 … 4294967295, got ${typeof token}`);
  if (token >>> 0 !== token)
    throw new RangeError(`"tokens[${index}]" expected integer 0 … 4294967295, got ${describe(token)}`);
}
