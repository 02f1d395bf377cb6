/**
 * The read path: tokens → block keys → lookup → scores.
 * @module
 */
import type { Tiers } from "./block-index/index.js";
import { CandidateScores } from "./candidate-scores.js";
import type { Diagnostics } from "./diagnostics.js";
import { checkInteger, checkName, checkOptions, rangeMistake } from "./errors.js";
import type { HashedPrompt, HashPlan } from "./hash-plan.js";
import { LatencyHistogram } from "./metrics.js";
import type { Models } from "./models.js";
import { type HashRest, type PromptMatches, type PromptWalk, weightsOf } from "./prompt-walk.js";
import type { Publisher } from "./publisher-state.js";
import type { Publishers } from "./publishers.js";
import { type Query, resolveQuery } from "./query.js";
import { isAlike } from "./query-keys.js";
import { podScores } from "./score/index.js";
import { checkTokens } from "./score-arguments.js";
import type { Turns } from "./turns.js";
import type { PodScore, PodScores, ScoreRequest, TokenIds, Usage } from "./types.js";

export interface ReadPathOptions {
  readonly tiers: Tiers;
  readonly models: Models;
  readonly publishers: Publishers;
  readonly diagnostics: Diagnostics;
  readonly walk: PromptWalk;
  /** Of own keys. */
  readonly chainKey: Uint8Array;
  readonly tierWeights: Readonly<Record<string, number>>;
  readonly clock: () => number;
  /** A monotonic clock in milliseconds, for the latency of lookups. */
  readonly stopwatch: () => number;
  /** A prompt is about to be scored, before its candidates are looked at. */
  readonly onPrompt: (query: Query, tokens: Uint32Array) => void;
  /** A prompt was looked up on a publisher in exact mode whose hashing nothing has proved yet. */
  readonly onUnproved: (publisher: Publisher, found: boolean) => void;
  /** What a lookup came to, for those who look for mistakes. */
  readonly onAnswer: (query: Query, isMatch: boolean) => void;
}

export class ReadPath {
  lookups = 0;
  hits = 0;
  readonly latency: LatencyHistogram = new LatencyHistogram();
  readonly accuracy = { observed: 0, exact: 0, overPredictedTokens: 0, underPredictedTokens: 0 };
  readonly #options: ReadPathOptions;

  constructor(options: ReadPathOptions) {
    this.#options = options;
  }

  get chainKey(): Uint8Array {
    return this.#options.chainKey;
  }

  /** What {@link score} would hash. @throws TypeError or RangeError for a mistake in the arguments */
  plan(promptTokens: number, request: ScoreRequest): HashPlan {
    checkInteger("promptTokens", promptTokens, 0);
    const { models, publishers, walk, chainKey } = this.#options;
    const query = resolveQuery(request, promptTokens, models, publishers);
    const { model, loraName, cacheSalt, multimodal } = query;
    const lora = loraName === undefined ? undefined : models.settings(model).loras.get(loraName);
    return { request: { loraName, cacheSalt, multimodal }, lora, chainKey, lists: walk.lists(query) };
  }

  /**
   * @param hashed - the prompt's keys, where they were made elsewhere
   * @throws TypeError or RangeError for a mistake in the arguments, and nothing else
   */
  score(tokens: TokenIds, request: ScoreRequest, hashed?: HashedPrompt): PodScores {
    const started = this.#options.stopwatch();
    const ids = checkTokens(tokens);
    const query = this.#ask(ids, request, hashed);
    return this.#answer(ids, query, this.#options.walk.match(ids, query, true, hashed?.lists), started);
  }

  /** {@link score} in slices, for a prompt that is long. @throws what `hashRest` does too */
  async scoreInTurns(
    tokens: TokenIds,
    request: ScoreRequest,
    turns: Turns,
    hashRest: HashRest | undefined,
  ): Promise<PodScores> {
    const started = this.#options.stopwatch();
    const ids = checkTokens(tokens);
    const asked = this.#ask(ids, request, undefined);
    // Pods that are heard of meanwhile are none of its candidates.
    const query = { ...asked, candidates: [...asked.candidates] };
    const matches = await this.#options.walk.matchInTurns(ids, query, turns, hashRest);
    if (matches !== undefined) return this.#answer(ids, query, matches, started);
    // Rare enough to be held up by; the prompt was told of.
    const { models, publishers, walk } = this.#options;
    const again = resolveQuery(request, ids.length, models, publishers);
    return this.#answer(ids, again, walk.match(ids, again, true), started);
  }

  #ask(tokens: Uint32Array, request: ScoreRequest, hashed: HashedPrompt | undefined): Query {
    const { models, publishers, onPrompt } = this.#options;
    const query = resolveQuery(request, tokens.length, models, publishers);
    if (hashed !== undefined && !isAlike(hashed.request, query))
      throw rangeMistake("request", "the adapter, salt and items that the prompt was hashed with", request);
    onPrompt(query, tokens);
    return query;
  }

  #answer(tokens: Uint32Array, query: Query, matches: PromptMatches, started: number): PodScores {
    const { candidates } = query;
    let isMatch = false;
    this.lookups++;
    for (let i = 0; i < candidates.length; i++) {
      const publisher = candidates[i]!;
      if (publisher.settings.drafting) matches.dropLast(i);
      const isHit = matches.blocks(i) > 0;
      isMatch ||= isHit;
      if (publisher.mode !== "exact" || publisher.verified || tokens.length <= publisher.blockSize) continue;
      this.#options.onUnproved(publisher, isHit);
    }
    this.#options.onAnswer(query, isMatch);
    const { tiers, tierWeights, clock } = this.#options;
    const worth = { names: tiers.names, weights: weightsOf(tiers, tierWeights) };
    const scores = new CandidateScores(query, matches, worth, clock());
    const answer = podScores(query.model, tokens.length, scores, (usage, predicted) =>
      this.#observe(query.model, tokens.length, usage, predicted),
    );
    this.hits += answer.best?.blocks ?? 0;
    this.latency.observe((this.#options.stopwatch() - started) / 1000);
    return answer;
  }

  /** Count how a prediction compares with what the engine reports of the finished request. */
  #observe(model: string, promptTokens: number, usage: Usage, predicted: PodScore | undefined): void {
    checkOptions("usage", usage, ["pod", "dataParallelRank", "promptTokens", "cachedTokens"]);
    checkName("usage.pod", usage.pod);
    checkInteger("usage.promptTokens", usage.promptTokens, 0);
    if (usage.cachedTokens !== null && usage.cachedTokens !== undefined)
      checkInteger("usage.cachedTokens", usage.cachedTokens, 0);
    const { diagnostics } = this.#options;
    const where = { model, pod: usage.pod };
    if (usage.promptTokens === promptTokens) diagnostics.contradict("token-count-mismatch", where);
    else
      diagnostics.raise({
        code: "token-count-mismatch",
        severity: "error",
        message: `${usage.pod}: the engine counted ${usage.promptTokens} prompt tokens where ${promptTokens} were scored.`,
        fix: "Use the engine's own tokenizer and chat template, with its settings for special tokens.",
        ...where,
        evidence: { engine: usage.promptTokens, scored: promptTokens },
      });
    if (usage.cachedTokens === null || usage.cachedTokens === undefined) return;
    const surplus = (predicted?.tokens ?? 0) - usage.cachedTokens;
    this.accuracy.observed++;
    if (surplus === 0) this.accuracy.exact++;
    else if (surplus > 0) this.accuracy.overPredictedTokens += surplus;
    else this.accuracy.underPredictedTokens -= surplus;
  }
}
