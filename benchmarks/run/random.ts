/** Seeded chance, so that runs compare. */

/** Numbers in [0, 1) from a seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A vocabulary of Qwen3's size. */
export const VOCABULARY = 151_936;

export const tokensOf = (random: () => number, length: number): Uint32Array =>
  Uint32Array.from({ length }, () => Math.floor(random() * VOCABULARY));

/** Random block keys as pairs. */
export const keysOf = (random: () => number, blocks: number): Uint32Array =>
  Uint32Array.from({ length: 2 * blocks }, () => Math.floor(random() * 2 ** 32));

/** An integer from `low` to `high`, both included. */
export const between = (random: () => number, low: number, high: number): number =>
  low + Math.floor(random() * (high - low + 1));
