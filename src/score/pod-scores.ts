/**
 * The answer of a lookup: every candidate's score, best first, as an immutable snapshot.
 * @module
 */
import type { PodScore, PodScores, Usage } from "../types.js";

/** Scores that are made when they are asked for, by place in the caller's order of preference. */
export interface ScoreSource {
  readonly length: number;
  /** Tier-weighted tokens, what scores are ordered by. */
  worth(place: number): number;
  isOf(place: number, pod: string, dataParallelRank: number | undefined): boolean;
  at(place: number): PodScore;
}

/**
 * Put scores in order: most tier-weighted tokens first, equal ones in the order given.
 *
 * @param scores - one per candidate publisher, in the caller's order of preference
 * @param observe - what {@link PodScores.observe} calls
 */
export function podScores(
  model: string,
  promptTokens: number,
  scores: readonly PodScore[] | ScoreSource,
  observe: (usage: Usage, predicted: PodScore | undefined) => void,
): PodScores {
  return new OrderedScores(model, promptTokens, isMade(scores) ? sourceOf(scores) : scores, observe);
}

function isMade(scores: readonly PodScore[] | ScoreSource): scores is readonly PodScore[] {
  return Array.isArray(scores);
}

function sourceOf(scores: readonly PodScore[]): ScoreSource {
  const at = (place: number): PodScore => scores[place]!;
  return {
    length: scores.length,
    worth: (place) => at(place).score * at(place).blockSize,
    isOf: (place, pod, rank) =>
      at(place).pod === pod && (rank === undefined || at(place).dataParallelRank === rank),
    at,
  };
}

class OrderedScores implements PodScores {
  readonly model: string;
  readonly promptTokens: number;
  readonly #source: ScoreSource;
  readonly #observe: (usage: Usage, predicted: PodScore | undefined) => void;
  #inOrder: readonly PodScore[] | undefined;

  constructor(
    model: string,
    promptTokens: number,
    source: ScoreSource,
    observe: (usage: Usage, predicted: PodScore | undefined) => void,
  ) {
    this.model = model;
    this.promptTokens = promptTokens;
    this.#source = source;
    this.#observe = observe;
  }

  get best(): PodScore | undefined {
    const first = this.#first(() => true);
    return first !== undefined && first.blocks > 0 ? first : undefined;
  }

  get(pod: string, dataParallelRank?: number): PodScore | undefined {
    return this.#first((place) => this.#source.isOf(place, pod, dataParallelRank));
  }

  observe(usage: Usage): void {
    this.#observe(usage, this.get(usage.pod, usage.dataParallelRank));
  }

  toJSON(): Record<string, number> | null {
    const matches = new Map<string, number>();
    for (const { pod, blocks, score } of this) if (blocks > 0 && !matches.has(pod)) matches.set(pod, score);
    return matches.size === 0 ? null : Object.fromEntries(matches);
  }

  [Symbol.iterator](): Iterator<PodScore> {
    this.#inOrder ??= this.#sorted();
    return this.#inOrder[Symbol.iterator]();
  }

  /** The first of those, in the order of scores. */
  #first(isWanted: (place: number) => boolean): PodScore | undefined {
    const source = this.#source;
    let best = -1;
    let most = Number.NEGATIVE_INFINITY;
    for (let place = 0; place < source.length; place++) {
      if (!isWanted(place)) continue;
      const worth = source.worth(place);
      if (worth <= most) continue;
      most = worth;
      best = place;
    }
    return best < 0 ? undefined : source.at(best);
  }

  #sorted(): readonly PodScore[] {
    const source = this.#source;
    const worths = new Float64Array(source.length);
    const places: number[] = [];
    for (let place = 0; place < source.length; place++) {
      worths[place] = source.worth(place);
      places.push(place);
    }
    return places.sort((a, b) => worths[b]! - worths[a]!).map((place) => source.at(place));
  }
}
