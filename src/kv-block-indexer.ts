/**
 * The indexer's own works: the parts, made and joined.
 * @module
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { BlockIndex, Tiers } from "./block-index/index.js";
import { Diagnostics } from "./diagnostics.js";
import { checkOptions, KvBlockError } from "./errors.js";
import type { Indexer } from "./indexer.js";
import { ingest } from "./ingest.js";
import type { KeyClasses } from "./key-classes.js";
import { LookupWatch } from "./lookup-watch.js";
import { Models } from "./models.js";
import { DEFAULT_MAX_FRAME_BYTES, type IndexerOptions, withDefaultWeights } from "./options.js";
import { Publishers } from "./publishers.js";
import { ReadPath } from "./read-path.js";
import { SCORE_OPTIONS } from "./score-arguments.js";
import { openSubscription, type SubscribeOptions, type Subscription } from "./subscription.js";
import { CHAT_OPTIONS, ENCODE_OPTIONS, Tokenizers } from "./tokenizers.js";
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
import { malformedMessage, memoryLimit, replayIncomplete, subscriptionFailed } from "./write-findings.js";
import { WritePath } from "./write-path.js";

export class KvBlockIndexer implements Indexer {
  readonly #index: BlockIndex;
  readonly #tiers = new Tiers();
  readonly #publishers = new Publishers();
  readonly #diagnostics: Diagnostics;
  readonly #writePath: WritePath;
  readonly #readPath: ReadPath;
  readonly #watch: LookupWatch;
  readonly #tokenizers: Tokenizers;
  /** Those that are open, and whose frames they were said to be. */
  readonly #subscriptions = new Map<Subscription, Pick<SubscribeOptions, "pod" | "model">>();
  readonly #applying = new Set<Promise<void>>();
  readonly #clock: () => number;
  readonly #stopwatch = (): number => performance.now();
  /** Dropped entries that were told. */
  #dropped = 0;
  #closed = false;

  constructor(options: IndexerOptions, classes: KeyClasses) {
    const models = new Models(options);
    const publishers = this.#publishers;
    const tiers = this.#tiers;
    const clock = options.clock ?? Date.now;
    const diagnostics = new Diagnostics(options.onDiagnostic, clock);
    const index = new BlockIndex({
      memoryLimitBytes: options.memoryLimitBytes,
      onDropped: (owner) => this.#noteDropped(owner),
    });
    const writePath = new WritePath({
      index,
      tiers,
      classes,
      models,
      publishers,
      diagnostics,
      maxFrameBytes: options.maxFrameBytes ?? DEFAULT_MAX_FRAME_BYTES,
    });
    const watch = new LookupWatch({ publishers, models, diagnostics, writePath, clock });
    this.#index = index;
    this.#watch = watch;
    this.#clock = clock;
    this.#diagnostics = diagnostics;
    this.#writePath = writePath;
    this.#readPath = new ReadPath({
      index,
      tiers,
      models,
      publishers,
      diagnostics,
      tierWeights: withDefaultWeights(options.tierWeights),
      clock,
      stopwatch: this.#stopwatch,
      onPrompt: (model, tokens) => {
        for (const publisher of writePath.identity.offerPrompt(model, tokens))
          writePath.backlog.release(publisher);
      },
      onUnproved: (publisher, found) => writePath.identity.exact.answered(publisher, found),
      onAnswer: (query, scores) => watch.answered(query, scores),
    });
    this.#tokenizers = new Tokenizers(options.tokenizers, models, diagnostics);
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
    const run = ingest(frames, (frame) => this.#applySliced(frame), this.#stopwatch, options.signal);
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
      await nextTurn();
      await nextTurn();
    }
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    this.#checkOpen();
    const diagnostics = this.#diagnostics;
    const subscription = await openSubscription(options, {
      apply: (frame) => this.#applySliced(frame),
      clock: this.#clock,
      stopwatch: this.#stopwatch,
      onRejected: (error, source) => {
        this.#writePath.skip("malformed-message");
        diagnostics.raise(malformedMessage(error, source));
      },
      onRepaired: (repair, endpoint) => {
        if (repair.state === "repaired") diagnostics.withdrawFrom(endpoint, "replay-incomplete");
        // One that ended because the subscription was closed says nothing of the engine.
        else if (!isAbort(repair.error)) diagnostics.raise(replayIncomplete(repair, endpoint));
      },
      onFailed: (error, endpoints) => {
        const finding = subscriptionFailed(error, endpoints, options);
        // A host may subscribe again and again in vain: told anew if it went well for a while.
        diagnostics.contradict(finding.code, finding);
        diagnostics.raise(finding);
      },
    });
    if (this.#closed) {
      await subscription.close();
      this.#checkOpen();
    }
    this.#subscriptions.set(subscription, { pod: options.pod, model: options.model });
    const { endpoints, ended } = subscription;
    const forgetEndpoints = (): void =>
      diagnostics.withdrawIf(
        ({ code, source = "" }) => code !== "subscription-failed" && endpoints.includes(source),
      );
    // What was wrong there ends where it is followed anew, and where the host gives it up.
    forgetEndpoints();
    const forget = (): boolean => this.#subscriptions.delete(subscription);
    ended.then(forget, forget);
    ended.then(() => this.#closed || forgetEndpoints()).catch(() => {});
    return subscription;
  }

  scoreTokens(tokens: TokenIds, request: ScoreRequest): PodScores {
    this.#checkOpen();
    return this.#readPath.score(tokens, request);
  }

  async scorePrompt(prompt: string, request: ScoreRequest & EncodeOptions): Promise<PodScores> {
    this.#checkOpen();
    checkOptions("request", request, [...SCORE_OPTIONS, ...ENCODE_OPTIONS]);
    const { addSpecialTokens, signal, ...score } = request;
    const tokens = await this.tokenizePrompt(prompt, { model: request.model, addSpecialTokens, signal });
    return this.scoreTokens(tokens, score);
  }

  async scoreChat(messages: readonly ChatMessage[], request: ScoreRequest & ChatOptions): Promise<PodScores> {
    this.#checkOpen();
    checkOptions("request", request, [...SCORE_OPTIONS, ...CHAT_OPTIONS]);
    const { model, pods, loraName, cacheSalt, multimodal, ...chat } = request;
    const tokens = await this.tokenizeChat(messages, { model, ...chat });
    return this.scoreTokens(tokens, { model, pods, loraName, cacheSalt, multimodal });
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
    const now = this.#clock();
    return Array.from(this.#publishers, (publisher) => publisher.status(now)).sort(
      (a, b) => compare(a.model, b.model) || compare(a.pod, b.pod) || a.dataParallelRank - b.dataParallelRank,
    );
  }

  stats(): IndexStats {
    const { admissions, duplicates, evictions, voided, dropped, saturated } = this.#index.counts;
    const { lookups, hits, latency, accuracy } = this.#readPath;
    return {
      admissions,
      duplicates,
      evictions,
      voided,
      dropped,
      saturated,
      lookups,
      hits,
      lookupLatency: latency.snapshot(),
      frames: this.#writePath.frames,
      events: { ...this.#writePath.batches.events },
      skips: { ...this.#writePath.skips },
      blocks: this.#index.blocks,
      memory: { usedBytes: this.#index.usedBytes, limitBytes: this.#index.memoryLimitBytes },
      accuracy: { ...accuracy },
    };
  }

  diagnose(): Diagnostic[] {
    this.#noteMemory();
    this.#watch.review();
    this.#reviewFailures();
    return this.#diagnostics.list();
  }

  removePod(pod: string): boolean {
    for (const publisher of this.#publishers)
      if (publisher.pod === pod) this.#writePath.identity.undecided.delete(publisher);
    this.#diagnostics.forgetPod(pod);
    return this.#publishers.removePod(pod) > 0;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(Array.from(this.#subscriptions.keys(), (subscription) => subscription.close()));
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

  /** A subscription that failed has been made good where all that it followed is followed now. */
  #reviewFailures(): void {
    const open = [...this.#subscriptions.keys()].flatMap(({ endpoints }) => endpoints);
    const sources = [...this.#subscriptions].filter(([{ endpoints }]) => endpoints.length === 0);
    this.#diagnostics.withdrawIf(({ code, pod, model, evidence }) => {
      if (code !== "subscription-failed") return false;
      const followed = evidence["endpoints"] as readonly string[];
      if (followed.length > 0) return followed.every((endpoint) => open.includes(endpoint));
      return sources.some(([, given]) => given.pod === pod && given.model === model);
    });
  }

  #checkOpen(): void {
    if (this.#closed) throw new KvBlockError("ERR_KVBLOCK_CLOSED", "The indexer is closed.");
  }

  #noteDropped(owner: number): void {
    const publisher = this.#publishers.byOwner(owner);
    if (publisher?.complete) publisher.markIncomplete();
  }

  /** Dropping goes on block by block once it has begun: told of with the frame it was for. */
  #noteMemory(): void {
    const { dropped } = this.#index.counts;
    if (dropped === this.#dropped) return;
    this.#dropped = dropped;
    this.#diagnostics.raise(memoryLimit(this.#index.memoryLimitBytes, this.#index.usedBytes, dropped));
  }
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
