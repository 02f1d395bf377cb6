/**
 * The read path: tokens → block keys → lookup → scores.
 *
 * A prompt is hashed once per key class of its candidates, a stretch of blocks at a time, each looked up before the
 * next is hashed: a prompt that nobody holds costs one short stretch, however long it is. Only where a later block would
 * imply the earlier ones (a candidate of exact keys and incomplete history) is it walked on.
 * @module
 */
import { type BlockIndex, OTHER_TIER_WEIGHT, type Tiers } from "./block-index/index.js";
import type { Diagnostics } from "./diagnostics.js";
import { checkInteger, checkName, checkOptions } from "./errors.js";
import type { KeyClass } from "./key-classes.js";
import { LatencyHistogram } from "./metrics.js";
import type { Models } from "./models.js";
import type { Publisher } from "./publisher-state.js";
import type { Publishers } from "./publishers.js";
import { canTell, erasOf, type KeyedRequest, queryKeys } from "./query-keys.js";
import { type Candidate, type Match, PrefixScorer, podScores } from "./score/index.js";
import { checkExtras, checkTokens, SCORE_OPTIONS, uniquePods } from "./score-arguments.js";
import type { ExtraKeysEra, PodScore, PodScores, ScoreRequest, TokenIds, Usage } from "./types.js";

/** Blocks hashed before the first lookup; each further stretch is twice as long, up to the last. */
const FIRST_STRETCH = 8;
const LONGEST_STRETCH = 256;

export interface ReadPathOptions {
  readonly index: BlockIndex;
  readonly tiers: Tiers;
  readonly models: Models;
  readonly publishers: Publishers;
  readonly diagnostics: Diagnostics;
  readonly tierWeights: Readonly<Record<string, number>>;
  readonly clock: () => number;
  /** A monotonic clock in milliseconds, for the latency of lookups. */
  readonly stopwatch: () => number;
  /** A prompt is about to be scored, before its candidates are looked at. */
  readonly onPrompt: (model: string, tokens: Uint32Array) => void;
  /** A prompt was looked up on a publisher in exact mode whose hashing nothing has proved yet. */
  readonly onUnproved: (publisher: Publisher, found: boolean) => void;
  /** What a lookup came to, for those who look for mistakes. */
  readonly onAnswer: (query: Query, scores: readonly PodScore[]) => void;
}

/** A request, its names resolved. */
export interface Query extends KeyedRequest {
  readonly model: string;
  /** The caller's candidates, each once; undefined: all that are known. */
  readonly pods: readonly string[] | undefined;
  readonly candidates: readonly Publisher[];
}

export class ReadPath {
  lookups = 0;
  hits = 0;
  readonly latency: LatencyHistogram = new LatencyHistogram();
  readonly accuracy = { observed: 0, exact: 0, overPredictedTokens: 0, underPredictedTokens: 0 };
  readonly #options: ReadPathOptions;
  readonly #scorer: PrefixScorer;

  constructor(options: ReadPathOptions) {
    this.#options = options;
    this.#scorer = new PrefixScorer(options.index.slots);
  }

  /** @throws TypeError or RangeError for a mistake in the arguments, and nothing else */
  score(tokens: TokenIds, request: ScoreRequest): PodScores {
    const started = this.#options.stopwatch();
    const ids = checkTokens(tokens);
    const query = this.#resolve(request, ids.length);
    this.#options.onPrompt(query.model, ids);
    const matches = this.#match(ids, query);
    const scores = this.#scores(query, matches);
    this.lookups++;
    for (const publisher of query.candidates) {
      if (publisher.mode !== "exact" || publisher.verified || ids.length <= publisher.blockSize) continue;
      this.#options.onUnproved(publisher, (matches.get(publisher)?.blocks ?? 0) > 0);
    }
    this.#options.onAnswer(query, scores);
    const answer = podScores(query.model, ids.length, scores, (usage, predicted) =>
      this.#observe(query.model, ids.length, usage, predicted),
    );
    this.hits += answer.best?.blocks ?? 0;
    this.latency.observe((this.#options.stopwatch() - started) / 1000);
    return answer;
  }

  #resolve(request: ScoreRequest, promptTokens: number): Query {
    checkOptions("request", request, SCORE_OPTIONS);
    const { model, loraName } = this.#options.models.resolve(checkName("model", request.model));
    const extras = checkExtras(request, request.loraName ?? loraName, promptTokens);
    const pods = request.pods === undefined ? undefined : uniquePods(request.pods);
    const { publishers } = this.#options;
    const known = publishers.ofModel(model);
    const candidates =
      pods === undefined ? known : pods.flatMap((pod) => known.filter((publisher) => publisher.pod === pod));
    return { model, ...extras, pods, candidates };
  }

  /** What each candidate matched, class by class. */
  #match(tokens: Uint32Array, query: Query): Map<Publisher, Match> {
    const matches = new Map<Publisher, Match>();
    const byClass = new Map<KeyClass, Publisher[]>();
    for (const publisher of query.candidates) {
      const { keyClass } = publisher;
      if (keyClass === undefined || !canTell(keyClass, query)) continue;
      const peers = byClass.get(keyClass);
      if (peers === undefined) byClass.set(keyClass, [publisher]);
      else peers.push(publisher);
    }
    for (const [keyClass, peers] of byClass) {
      for (const era of erasOf(keyClass, query)) {
        const found = this.#walk(tokens, query, keyClass, era, peers);
        for (const [i, publisher] of peers.entries())
          if (found[i]!.blocks >= (matches.get(publisher)?.blocks ?? 0)) matches.set(publisher, found[i]!);
      }
    }
    for (const [publisher, match] of matches) if (publisher.settings.drafting) dropLastBlock(match);
    return matches;
  }

  /** Hash and look up the prompt's usable blocks, until no candidate's run goes on. */
  #walk(
    tokens: Uint32Array,
    query: Query,
    keyClass: KeyClass,
    era: ExtraKeysEra,
    peers: readonly Publisher[],
  ): readonly Match[] {
    const { chain } = keyClass;
    const { blockSize } = chain;
    const hashes = blockSize / chain.hashBlockSize;
    const { index, tiers, tierWeights, models } = this.#options;
    const candidates: Candidate[] = peers.map((publisher) => ({
      owner: publisher.owner,
      groups: publisher.groups || publisher.offloadGroups || 1,
      implyAncestors: publisher.implyAncestors,
    }));
    const weights = tiers.names.map((name) => weightOf(tierWeights, name));
    const matches = this.#scorer.begin(candidates, weights);
    // The engine always computes the last token itself, so the block that it would complete cannot be reused.
    const usable = Math.max(0, Math.floor((tokens.length - 1) / blockSize));
    const { loras } = models.settings(query.model);
    const extraKeys = queryKeys(query, tokens.length, keyClass, era, loras);
    if (extraKeys === "unknown") return matches;
    let parent: Uint8Array | undefined;
    for (
      let from = 0, stretch = FIRST_STRETCH;
      from < usable;
      stretch = Math.min(2 * stretch, LONGEST_STRETCH)
    ) {
      const to = Math.min(usable, from + stretch);
      const digests = chain.hashTokens(tokens.subarray(from * blockSize, to * blockSize), {
        parent,
        extraKeys: extraKeys?.slice(from * hashes, to * hashes),
      });
      if (!index.lookup(chain.toKeys(digests), this.#scorer, from)) break;
      parent = digests.slice(digests.length - chain.digestBytes);
      from = to;
    }
    return matches;
  }

  #scores(query: Query, matches: ReadonlyMap<Publisher, Match>): PodScore[] {
    const now = this.#options.clock();
    const scores = query.candidates.map((publisher) => this.#scoreOf(publisher, matches.get(publisher), now));
    if (query.pods === undefined) return scores;
    const known = new Set(query.candidates.map(({ pod }) => pod));
    const order = new Map(query.pods.map((pod, i) => [pod, i]));
    for (const pod of query.pods) if (!known.has(pod)) scores.push(unknownPod(pod));
    return scores.sort((a, b) => order.get(a.pod)! - order.get(b.pod)!);
  }

  #scoreOf(publisher: Publisher, match: Match | undefined, now: number): PodScore {
    const { tiers, tierWeights } = this.#options;
    const byTier: [tier: string, blocks: number][] = [];
    let score = 0;
    for (const [tier, blocks] of (match?.byTier ?? []).entries()) {
      if (blocks === 0) continue;
      const name = tiers.names[tier]!;
      byTier.push([name, blocks]);
      score += blocks * weightOf(tierWeights, name);
    }
    const blocks = match?.blocks ?? 0;
    return Object.freeze({
      pod: publisher.pod,
      dataParallelRank: publisher.dataParallelRank,
      score,
      blocks,
      tokens: blocks * publisher.blockSize,
      blockSize: publisher.blockSize,
      byTier: Object.freeze(Object.fromEntries(byTier)),
      state: publisher.state,
      complete: publisher.complete,
      lastEventAgeMs: publisher.lastFrameAt === null ? null : Math.max(0, now - publisher.lastFrameAt),
      implied: match?.implied ?? 0,
      suspect: match?.suspect ?? 0,
      upperBound: publisher.otherGroups !== 0,
    });
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

/** With EAGLE or MTP drafting the engine computes the last matched block again, for the drafter's hidden states. */
function dropLastBlock(match: Match): void {
  if (match.blocks === 0) return;
  match.blocks--;
  match.byTier[match.last.tier]!--;
  match.implied -= match.last.implied;
  match.suspect -= match.last.suspect;
}

/** Tier names come from the wire: `constructor` is no weight. */
function weightOf(weights: Readonly<Record<string, number>>, tier: string): number {
  return Object.hasOwn(weights, tier) ? weights[tier]! : OTHER_TIER_WEIGHT;
}

function unknownPod(pod: string): PodScore {
  return Object.freeze({
    pod,
    dataParallelRank: 0,
    score: 0,
    blocks: 0,
    tokens: 0,
    blockSize: 0,
    byTier: Object.freeze({}),
    state: "unknown",
    complete: false,
    lastEventAgeMs: null,
    implied: 0,
    suspect: 0,
    upperBound: false,
  });
}
