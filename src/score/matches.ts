/**
 * What the candidates of a lookup matched. Those that are alike share a {@link Run}: a thousand pods with the same system
 * prompt are one.
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

/** What the candidates of a lookup matched, by their positions. */
export interface Matches {
  readonly length: number;
  /** {@link Match.blocks}. */
  blocks(candidate: number): number;
  /** As the lookup found it. */
  at(candidate: number): Match;
  /** Blocks, each worth what its tier's weight is. */
  score(candidate: number, weights: readonly number[]): number;
  /** Take the last block back, once: with EAGLE or MTP drafting the engine computes it again. */
  dropLast(candidate: number): void;
}

/** In {@link Run.next}: the run is open at every block. */
export const OPEN = -1;
/** In {@link Run.next}: the run has ended. */
export const ENDED = -2;
const ENGINE_TIER = 0;

/** A match under way, of all candidates that have had the same so far. */
export class Run implements Match {
  blocks = 0;
  implied = 0;
  suspect = 0;
  readonly byTier: number[];
  /** Of the last block. */
  tier = 0;
  isImplied = 0;
  isSuspect = 0;
  /** The block that would extend it, or {@link OPEN}, or {@link ENDED}. */
  next: number;
  /** Attention groups, as bits, that all must hold a block. */
  wanted: number;
  /** Its own among the lookup's runs. */
  readonly number: number;
  /** Candidates that share it. */
  size: number;
  /** The last block at which candidates left it, and the first of the runs that they have been in since, by what it was for them. */
  leftAt = -1;
  exit: Run | undefined = undefined;
  /** What the block was for whom this one is an exit, and the next such. */
  cameFor = 0;
  sibling: Run | undefined = undefined;
  /** The number of the one that lacks its last block; -1: there is none. */
  shorter = -1;

  constructor(number: number, wanted: number, byTier: number[], size = 0, next = 0) {
    this.number = number;
    this.wanted = wanted;
    this.byTier = byTier;
    this.size = size;
    this.next = next;
  }

  get last(): Match["last"] {
    return { tier: this.tier, implied: this.isImplied, suspect: this.isSuspect };
  }

  /** Have had the same as another. */
  become(other: Run): void {
    this.wanted = other.wanted;
    this.next = other.next;
    this.blocks = other.blocks;
    this.implied = other.implied;
    this.suspect = other.suspect;
    this.tier = other.tier;
    this.isImplied = other.isImplied;
    this.isSuspect = other.isSuspect;
    for (let tier = 0; tier < this.byTier.length; tier++) this.byTier[tier] = other.byTier[tier]!;
  }

  /** Go on to a block; what was passed over before it is implied. */
  extend(block: number, tier: number, isImplied: number, isSuspect: number): void {
    const hole = block - this.blocks;
    this.blocks = block + 1;
    this.implied += hole + isImplied;
    this.suspect += isSuspect;
    this.byTier[ENGINE_TIER]! += hole;
    this.byTier[tier]!++;
    this.tier = tier;
    this.isImplied = isImplied;
    this.isSuspect = isSuspect;
    if (this.next !== OPEN) this.next = block + 1;
  }

  /** Go on by blocks that are like the last. */
  again(blocks: number): void {
    this.blocks += blocks;
    this.implied += this.isImplied * blocks;
    this.suspect += this.isSuspect * blocks;
    this.byTier[this.tier]! += blocks;
    if (this.next !== OPEN) this.next += blocks;
  }

  /** Take the last block back. */
  dropLast(): void {
    this.blocks--;
    this.implied -= this.isImplied;
    this.suspect -= this.isSuspect;
    this.byTier[this.tier]!--;
  }

  /** Blocks, each worth what its tier's weight is. */
  score(weights: readonly number[]): number {
    let score = 0;
    for (let tier = 0; tier < this.byTier.length; tier++)
      if (this.byTier[tier] !== 0) score += this.byTier[tier]! * weights[tier]!;
    return score;
  }
}

/** What {@link Matches} are read from. */
export class RunMatches implements Matches {
  readonly #runs: Run[];
  readonly #runOf: number[];

  /** @param runOf - by position, the number of the candidate's run */
  constructor(runs: Run[], runOf: number[]) {
    this.#runs = runs;
    this.#runOf = runOf;
  }

  get length(): number {
    return this.#runOf.length;
  }

  blocks(candidate: number): number {
    return this.#runs[this.#runOf[candidate]!]!.blocks;
  }

  at(candidate: number): Match {
    return this.#runs[this.#runOf[candidate]!]!;
  }

  score(candidate: number, weights: readonly number[]): number {
    return this.#runs[this.#runOf[candidate]!]!.score(weights);
  }

  dropLast(candidate: number): void {
    const run = this.#runs[this.#runOf[candidate]!]!;
    if (run.blocks === 0) return;
    if (run.shorter < 0) {
      const shorter = new Run(this.#runs.length, run.wanted, run.byTier.slice());
      shorter.become(run);
      shorter.dropLast();
      run.shorter = this.#runs.push(shorter) - 1;
    }
    this.#runOf[candidate] = run.shorter;
  }
}
