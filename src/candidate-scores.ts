/**
 * A lookup's candidates as it found them, in the caller's order; a pod's score becomes an object when it is asked for.
 * @module
 */
import type { PromptMatches } from "./prompt-walk.js";
import type { Publisher } from "./publisher-state.js";
import type { Query } from "./query.js";
import type { Match, ScoreSource } from "./score/index.js";
import type { PodScore, PublisherState } from "./types.js";

/** By tier number: its name, and what a block there is worth. */
export interface TierWorth {
  readonly names: readonly string[];
  readonly weights: readonly number[];
}

const NONE: Readonly<Record<string, number>> = Object.freeze({});

export class CandidateScores implements ScoreSource {
  readonly length: number;
  readonly #candidates: readonly Publisher[];
  /** By place: the candidate's number, or the name of a pod that there is none of. */
  readonly #places: readonly (number | string)[];
  readonly #matches: PromptMatches;
  readonly #tiers: TierWorth;
  readonly #now: number;
  // What may be otherwise when it is asked for, by candidate.
  readonly #scores: Float64Array;
  readonly #lastFrameAt: Float64Array;
  readonly #blockSizes: Float64Array;
  readonly #states: PublisherState[] = [];
  readonly #complete: boolean[] = [];
  readonly #upperBound: boolean[] = [];
  readonly #made: (PodScore | undefined)[] = [];
  readonly #named = new Map<Match, Readonly<Record<string, number>>>();

  constructor(query: Query, matches: PromptMatches, tiers: TierWorth, now: number) {
    const { candidates } = query;
    this.#candidates = candidates;
    this.#places = placesOf(query);
    this.length = this.#places.length;
    this.#matches = matches;
    this.#tiers = tiers;
    this.#now = now;
    this.#scores = new Float64Array(candidates.length);
    this.#lastFrameAt = new Float64Array(candidates.length);
    this.#blockSizes = new Float64Array(candidates.length);
    for (let i = 0; i < candidates.length; i++) {
      const publisher = candidates[i]!;
      this.#scores[i] = matches.score(i, tiers.weights);
      this.#lastFrameAt[i] = publisher.lastFrameAt ?? Number.NaN;
      this.#blockSizes[i] = publisher.blockSize;
      this.#states.push(publisher.state);
      this.#complete.push(publisher.complete);
      this.#upperBound.push(publisher.otherGroups !== 0);
    }
  }

  worth(place: number): number {
    const candidate = this.#places[place]!;
    return typeof candidate === "string" ? 0 : this.#scores[candidate]! * this.#blockSizes[candidate]!;
  }

  isOf(place: number, pod: string, dataParallelRank: number | undefined): boolean {
    const candidate = this.#places[place]!;
    if (typeof candidate === "string") return candidate === pod && (dataParallelRank ?? 0) === 0;
    const publisher = this.#candidates[candidate]!;
    return (
      publisher.pod === pod &&
      (dataParallelRank === undefined || publisher.dataParallelRank === dataParallelRank)
    );
  }

  at(place: number): PodScore {
    const candidate = this.#places[place]!;
    this.#made[place] ??= typeof candidate === "string" ? unknownPod(candidate) : this.#make(candidate);
    return this.#made[place];
  }

  #make(candidate: number): PodScore {
    const { pod, dataParallelRank } = this.#candidates[candidate]!;
    const match = this.#matches.of(candidate)?.match;
    const blockSize = this.#blockSizes[candidate]!;
    const lastFrameAt = this.#lastFrameAt[candidate]!;
    const blocks = match?.blocks ?? 0;
    return Object.freeze({
      pod,
      dataParallelRank,
      score: this.#scores[candidate]!,
      blocks,
      tokens: blocks * blockSize,
      blockSize,
      byTier: match === undefined ? NONE : this.#byTier(match),
      state: this.#states[candidate]!,
      complete: this.#complete[candidate]!,
      lastEventAgeMs: Number.isNaN(lastFrameAt) ? null : Math.max(0, this.#now - lastFrameAt),
      implied: match?.implied ?? 0,
      suspect: match?.suspect ?? 0,
      upperBound: this.#upperBound[candidate]!,
    });
  }

  /** Candidates that have matched the same have one match, and share what is made of it. */
  #byTier(match: Match): Readonly<Record<string, number>> {
    let named = this.#named.get(match);
    if (named === undefined) {
      const { names } = this.#tiers;
      const entries = match.byTier.flatMap((blocks, tier) =>
        blocks > 0 ? [[names[tier]!, blocks] as const] : [],
      );
      named = Object.freeze(Object.fromEntries(entries));
      this.#named.set(match, named);
    }
    return named;
  }
}

/** The candidates stand in the order of their pods' names: what is missing among these is put between them. */
function placesOf({ pods, candidates }: Query): (number | string)[] {
  const places: (number | string)[] = [];
  let next = 0;
  for (const pod of pods ?? []) {
    if (candidates[next]?.pod !== pod) places.push(pod);
    while (candidates[next]?.pod === pod) places.push(next++);
  }
  for (; next < candidates.length; next++) places.push(next);
  return places;
}

function unknownPod(pod: string): PodScore {
  return Object.freeze({
    pod,
    dataParallelRank: 0,
    score: 0,
    blocks: 0,
    tokens: 0,
    blockSize: 0,
    byTier: NONE,
    state: "unknown",
    complete: false,
    lastEventAgeMs: null,
    implied: 0,
    suspect: 0,
    upperBound: false,
  });
}
