/**
 * The answer of a lookup: every candidate's score, best first, as an immutable snapshot.
 * @module
 */
import type { PodScore, PodScores, Usage } from "../types.js";

/**
 * Put scores in order: most tier-weighted tokens first, equal ones in the order given.
 *
 * @param scores - one per candidate publisher, in the caller's order of preference
 * @param observe - what {@link PodScores.observe} calls
 */
export function podScores(
  model: string,
  promptTokens: number,
  scores: readonly PodScore[],
  observe: (usage: Usage, predicted: PodScore | undefined) => void,
): PodScores {
  return new OrderedScores(model, promptTokens, scores, observe);
}

class OrderedScores implements PodScores {
  readonly model: string;
  readonly promptTokens: number;
  readonly #scores: readonly PodScore[];
  readonly #observe: (usage: Usage, predicted: PodScore | undefined) => void;

  constructor(
    model: string,
    promptTokens: number,
    scores: readonly PodScore[],
    observe: (usage: Usage, predicted: PodScore | undefined) => void,
  ) {
    this.model = model;
    this.promptTokens = promptTokens;
    this.#scores = scores.toSorted((a, b) => b.score * b.blockSize - a.score * a.blockSize);
    this.#observe = observe;
  }

  get best(): PodScore | undefined {
    const first = this.#scores[0];
    return first !== undefined && first.blocks > 0 ? first : undefined;
  }

  get(pod: string, dataParallelRank?: number): PodScore | undefined {
    return this.#scores.find(
      (score) =>
        score.pod === pod && (dataParallelRank === undefined || score.dataParallelRank === dataParallelRank),
    );
  }

  observe(usage: Usage): void {
    this.#observe(usage, this.get(usage.pod, usage.dataParallelRank));
  }

  toJSON(): Record<string, number> | null {
    const matches = new Map<string, number>();
    for (const { pod, blocks, score } of this.#scores)
      if (blocks > 0 && !matches.has(pod)) matches.set(pod, score);
    return matches.size === 0 ? null : Object.fromEntries(matches);
  }

  [Symbol.iterator](): Iterator<PodScore> {
    return this.#scores[Symbol.iterator]();
  }
}
