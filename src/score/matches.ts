/**
 * What the candidates of a lookup matched, in one array: with a thousand of them, an object each takes longer to make than
 * the whole lookup.
 * @module
 */

/** What a candidate matched. */
export interface Match {
  readonly blocks: number;
  /** Of these, how many no event announced. */
  readonly implied: number;
  /** Of these, how many may have been removed by a lost frame. */
  readonly suspect: number;
  /** Matched blocks by tier number. */
  readonly byTier: readonly number[];
  /** Of the last matched block: its tier number, and what it counts for in `implied` and `suspect`. */
  readonly last: { readonly tier: number; readonly implied: number; readonly suspect: number };
}

/** Cells of a candidate: what a {@link Match} says, and of its last block the tier and whether it is implied and suspect. */
export const BLOCKS = 0;
export const IMPLIED_BLOCKS = 1;
export const SUSPECT_BLOCKS = 2;
export const LAST_TIER = 3;
export const LAST_IMPLIED = 4;
export const LAST_SUSPECT = 5;
export const TIERS = 6;

/** By the candidates' positions. */
export class Matches {
  readonly length: number;
  /** Cells of each candidate: {@link TIERS}, and one for each tier. */
  readonly stride: number;
  readonly cells: Uint32Array;

  constructor(candidates: number, tiers: number) {
    this.length = candidates;
    this.stride = TIERS + tiers;
    this.cells = new Uint32Array(candidates * this.stride);
  }

  blocks(candidate: number): number {
    return this.cells[candidate * this.stride]!;
  }

  at(candidate: number): Match {
    const { cells, stride } = this;
    const at = candidate * stride;
    const byTier: number[] = [];
    for (let tier = at + TIERS; tier < at + stride; tier++) byTier.push(cells[tier]!);
    return {
      blocks: cells[at + BLOCKS]!,
      implied: cells[at + IMPLIED_BLOCKS]!,
      suspect: cells[at + SUSPECT_BLOCKS]!,
      byTier,
      last: {
        tier: cells[at + LAST_TIER]!,
        implied: cells[at + LAST_IMPLIED]!,
        suspect: cells[at + LAST_SUSPECT]!,
      },
    };
  }

  /** Blocks, each worth what its tier's weight is. */
  score(candidate: number, weights: readonly number[]): number {
    const { cells, stride } = this;
    const first = candidate * stride + TIERS;
    let score = 0;
    for (let at = first; at < first + stride - TIERS; at++)
      if (cells[at] !== 0) score += cells[at]! * weights[at - first]!;
    return score;
  }

  /** Take the last block back, once: with EAGLE or MTP drafting the engine computes it again. */
  dropLast(candidate: number): void {
    const { cells } = this;
    const at = candidate * this.stride;
    if (cells[at + BLOCKS] === 0) return;
    cells[at + BLOCKS]!--;
    cells[at + TIERS + cells[at + LAST_TIER]!]!--;
    cells[at + IMPLIED_BLOCKS]! -= cells[at + LAST_IMPLIED]!;
    cells[at + SUSPECT_BLOCKS]! -= cells[at + LAST_SUSPECT]!;
  }
}
