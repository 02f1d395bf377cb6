/**
 * The indexer's own works: the parts, made and joined.
 * @module
 */
import { BlockIndex, Tiers } from "./block-index/index.js";
import { Diagnostics } from "./diagnostics.js";
import { checkOptions, KvBlockError } from "./errors.js";
import { Explainer } from "./explainer.js";
import type { Explanation } from "./explanation.js";
import type { HashedPrompt, HashPlan, PromptHasher } from "./hash-plan.js";
import type { Indexer } from "./indexer.js";
import { ingest } from "./ingest.js";
import type { KeyClasses } from "./key-classes.js";
import { KnownPrefixes } from "./known-prefixes.js";
import { LookupWatch } from "./lookup-watch.js";
import { Models } from "./models.js";
import { DEFAULT_MAX_FRAME_BYTES, type IndexerOptions, withDefaultWeights } from "./options.js";
import { PromptScoring } from "./prompt-scoring.js";
import { PromptWalk } from "./prompt-walk.js";
import { Publishers } from "./publishers.js";
import { ReadPath } from "./read-path.js";
import { RecentRemovals } from "./recent-removals.js";
import { ReplayFeeds } from "./replay-feeds.js";
import { type IndexerReport, Reporter } from "./report.js";
import { checkHashed, checkTokens, SCORE_OPTIONS } from "./score-arguments.js";
import type { SubscribeOptions, Subscription } from "./subscription.js";
import { Subscriptions } from "./subscriptions.js";
import { CHAT_OPTIONS, ENCODE_OPTIONS, Tokenizers } from "./tokenizers.js";
import { Turns } from "./turns.js";
import type {
  ChatMessage,
  ChatOptions,
  Diagnostic,
  EncodeOptions,
  IndexStats,
  KvFrame,
  PodScores,
  PodStatus,
  ScoreRequest,
  TokenIds,
} from "./types.js";
import { memoryLimit } from "./write-findings.js";
import { WritePath } from "./write-path.js";

const stopwatch = (): number => performance.now();

export class KvBlockIndexer implements Indexer {
  readonly #index: BlockIndex;
  readonly #publishers = new Publishers();
  readonly #diagnostics: Diagnostics;
  readonly #writePath: WritePath;
  readonly #readPath: ReadPath;
  readonly #prompts: PromptScoring;
  readonly #watch: LookupWatch;
  readonly #tokenizers: Tokenizers;
  readonly #explainer: Explainer;
  readonly #reporter: Reporter;
  readonly #subscriptions: Subscriptions;
  readonly #pool: PromptHasher | undefined;
  readonly #applying = new Set<Promise<void>>();
  readonly #turns = new Turns(stopwatch);
  /** Dropped entries that were told. */
  #dropped = 0;
  #closed = false;

  constructor(options: IndexerOptions, classes: KeyClasses) {
    const models = new Models(options);
    const publishers = this.#publishers;
    const tiers = new Tiers();
    const clock = options.clock ?? Date.now;
    const diagnostics = new Diagnostics(options.onDiagnostic, clock);
    const index = new BlockIndex({
      memoryLimitBytes: options.memoryLimitBytes,
      onDropped: (owner, line, hi, lo) => {
        removals.note(line, hi, lo, true);
        const publisher = publishers.byOwner(owner);
        if (publisher?.complete) publisher.markIncomplete();
      },
      onEvicted: (line, keys, block) => removals.noteBlock(line, keys, block),
    });
    const feeds = new ReplayFeeds();
    const removals = new RecentRemovals(index.memoryLimitBytes, (bytes) => index.reserve(bytes));
    const tierWeights = withDefaultWeights(options.tierWeights);
    const walk = new PromptWalk({ index, tiers, models, tierWeights, known: new KnownPrefixes(index) });
    const writePath = new WritePath({
      index,
      tiers,
      classes,
      models,
      publishers,
      diagnostics,
      removals,
      feeds,
      walk,
      turns: this.#turns,
      maxFrameBytes: options.maxFrameBytes ?? DEFAULT_MAX_FRAME_BYTES,
    });
    this.#subscriptions = new Subscriptions({
      diagnostics,
      feeds,
      apply: (frame) => this.#applySliced(frame),
      skip: (reason) => writePath.skip(reason),
      clock,
      turns: this.#turns,
    });
    const watch = new LookupWatch({ publishers, models, diagnostics, writePath, clock });
    this.#pool = options.pool;
    this.#index = index;
    this.#watch = watch;
    this.#diagnostics = diagnostics;
    this.#writePath = writePath;
    this.#readPath = new ReadPath({
      tiers,
      models,
      publishers,
      diagnostics,
      walk,
      chainKey: classes.chainKey,
      tierWeights,
      clock,
      stopwatch,
      onPrompt: (query, tokens) => {
        for (const publisher of writePath.identity.offerPrompt(query.model, tokens))
          writePath.backlog.release(publisher, 0);
        writePath.orphans.scored(query, tokens);
      },
      onUnproved: (publisher, found) => writePath.identity.exact.answered(publisher, found),
      onAnswer: (query, isMatch) => watch.answered(query, isMatch),
    });
    this.#prompts = new PromptScoring(this.#readPath, options.pool, stopwatch);
    this.#tokenizers = new Tokenizers(options.tokenizers, models, diagnostics);
    this.#explainer = new Explainer({ index, tiers, models, publishers, removals, walk });
    this.#reporter = new Reporter({
      configured: options,
      index,
      publishers,
      writePath,
      readPath: this.#readPath,
      subscriptions: this.#subscriptions.given,
      turns: this.#turns,
      clock,
    });
  }

  apply(frame: KvFrame): void {
    if (this.#refuses()) return;
    this.#writePath.apply(frame);
    this.#noteMemory();
  }

  async applyAll(
    frames: Iterable<KvFrame> | AsyncIterable<KvFrame>,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    this.#checkOpen();
    const run = ingest(frames, (frame) => this.#applySliced(frame), this.#turns, options.signal);
    this.#applying.add(run);
    try {
      await run;
    } finally {
      this.#applying.delete(run);
    }
  }

  async settled(): Promise<void> {
    await Promise.allSettled(this.#applying);
    for (let seen = -1; seen !== this.#writePath.frames || this.#writePath.isBusy; ) {
      seen = this.#writePath.frames;
      await this.#turns.next();
      await this.#turns.next();
    }
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    this.#checkOpen();
    const subscription = await this.#subscriptions.open(options);
    this.#checkOpen();
    return subscription!;
  }

  scoreTokens(tokens: TokenIds, request: ScoreRequest): PodScores {
    this.#checkOpen();
    return this.#readPath.score(tokens, request);
  }

  async scorePrompt(prompt: string | TokenIds, request: ScoreRequest & EncodeOptions): Promise<PodScores> {
    this.#checkOpen();
    checkOptions("request", request, [...SCORE_OPTIONS, ...ENCODE_OPTIONS]);
    const { addSpecialTokens, signal, ...score } = request;
    const isTokens = Array.isArray(prompt) || prompt instanceof Uint32Array;
    const { model } = request;
    const tokens = isTokens
      ? checkTokens(prompt)
      : await this.tokenizePrompt(prompt as string, { model, addSpecialTokens, signal });
    return this.#score(tokens, score, signal);
  }

  async scoreChat(messages: readonly ChatMessage[], request: ScoreRequest & ChatOptions): Promise<PodScores> {
    this.#checkOpen();
    checkOptions("request", request, [...SCORE_OPTIONS, ...CHAT_OPTIONS]);
    const { model, pods, loraName, cacheSalt, multimodal, ...chat } = request;
    const tokens = await this.tokenizeChat(messages, { model, ...chat });
    return this.#score(tokens, { model, pods, loraName, cacheSalt, multimodal }, chat.signal);
  }

  async #score(tokens: TokenIds, request: ScoreRequest, signal: AbortSignal | undefined): Promise<PodScores> {
    this.#checkOpen();
    const scores = await this.#prompts.score(tokens, request, signal);
    this.#checkOpen();
    return scores;
  }

  hashPlan(promptTokens: number, request: ScoreRequest): HashPlan {
    this.#checkOpen();
    return this.#readPath.plan(promptTokens, request);
  }

  scoreKeys(prompt: HashedPrompt, request: ScoreRequest): PodScores {
    this.#checkOpen();
    checkHashed(prompt);
    return this.#readPath.score(prompt.tokens, request, prompt);
  }

  tokenizePrompt(prompt: string, request: { model: string } & EncodeOptions): Promise<TokenIds> {
    return this.#tokenizers.encode(prompt, request);
  }

  tokenizeChat(
    messages: readonly ChatMessage[],
    request: { model: string } & ChatOptions,
  ): Promise<TokenIds> {
    return this.#tokenizers.encodeChat(messages, request);
  }

  pods(): PodStatus[] {
    return this.#reporter.pods();
  }

  stats(): IndexStats {
    return this.#reporter.stats();
  }

  explain(tokens: TokenIds, request: ScoreRequest): Explanation {
    this.#checkOpen();
    return this.#explainer.explain(tokens, request);
  }

  report(): IndexerReport {
    return this.#reporter.report(this.diagnose());
  }

  diagnose(): Diagnostic[] {
    this.#noteMemory();
    this.#watch.review();
    this.#subscriptions.review();
    return [...this.#diagnostics.list(), ...(this.#pool?.diagnose() ?? [])];
  }

  removePod(pod: string): boolean {
    for (const publisher of this.#publishers)
      if (publisher.pod === pod) this.#writePath.identity.undecided.delete(publisher);
    const gone = this.#subscriptions.closeOf(pod) + this.#publishers.removePod(pod);
    this.#diagnostics.forgetPod(pod);
    this.#writePath.senders.forgetRemoved();
    return gone > 0;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#subscriptions.closeAll();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #applySliced(frame: KvFrame): ReturnType<WritePath["applySliced"]> {
    if (this.#refuses()) return undefined;
    const publisher = this.#writePath.applySliced(frame);
    this.#noteMemory();
    return publisher;
  }

  #refuses(): boolean {
    if (this.#closed) this.#writePath.skip("closed");
    return this.#closed;
  }

  #checkOpen(): void {
    if (this.#closed) throw new KvBlockError("ERR_KVBLOCK_CLOSED", "The indexer is closed.");
  }

  /** Dropping goes on block by block once it has begun: told of with the frame it was for. */
  #noteMemory(): void {
    const { dropped } = this.#index.counts;
    if (dropped === this.#dropped) return;
    this.#dropped = dropped;
    this.#diagnostics.raise(memoryLimit(this.#index.memoryLimitBytes, this.#index.usedBytes, dropped));
  }
}
