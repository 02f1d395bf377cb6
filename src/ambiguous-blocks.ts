/**
 * Blocks of `tokens` mode that nobody can tell apart: on wires without extra keys, salted and plain ones of equal tokens.
 * @module
 */
import type { Publisher } from "./publisher-state.js";

/**
 * Whether an own key stands for two of the publisher's blocks: on wires without extra keys, salted and plain blocks of
 * equal tokens look alike. Then neither is credited, until the engine's tier is cleared.
 */
export function isAmbiguous(
  publisher: Publisher,
  hi: number,
  lo: number,
  ownHi: number,
  ownLo: number,
  residents: number,
): boolean {
  const { ambiguous, reached } = publisher;
  if (ambiguous.has(ownHi, ownLo)) return true;
  const other = reached.get(ownHi, ownLo) && (reached.ownHi !== hi || reached.ownLo !== lo);
  // Where the handle cannot be remembered, another one for the same tokens would not be seen.
  if (!other || !publisher.holdsAnywhere(ownHi, ownLo)) return !reached.set(ownHi, ownLo, hi, lo, residents);
  ambiguous.add(ownHi, ownLo);
  publisher.forget(ownHi, ownLo);
  return true;
}
