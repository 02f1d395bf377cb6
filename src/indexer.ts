/**
 * The indexer: what applications hold. An interface, so that hosts can mock it, and a const of the same name that makes
 * one.
 * @module
 */
import type { Explanation } from "./explanation.js";
import { loadHashing } from "./hash/index.js";
import type { HashedPrompt, HashPlan } from "./hash-plan.js";
import { type ChainRoot, KeyClasses } from "./key-classes.js";
import { KvBlockIndexer } from "./kv-block-indexer.js";
import { checkIndexerOptions, exactHashes, type IndexerOptions } from "./options.js";
import type { IndexerReport } from "./report.js";
import type { SubscribeOptions, Subscription } from "./subscription.js";
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

export interface Indexer extends AsyncDisposable {
  /**
   * Apply one raw frame, from anywhere. Its effect is visible to the next `scoreTokens`. Never throws for what the
   * frame holds: what cannot be applied is counted in `stats().skips`. Ignored and counted after `close()`.
   * @throws TypeError, RangeError if it is no frame
   */
  apply(frame: KvFrame): void;
  /**
   * Apply many frames in slices of a few milliseconds. What goes wrong is a rejection, and what came before it stays
   * applied.
   * @throws TypeError if `frames` is no iterable; TypeError, RangeError for the first that is no frame; the signal's
   *   reason; what the source throws; KvBlockError `ERR_KVBLOCK_CLOSED`
   */
  applyAll(
    frames: Iterable<KvFrame> | AsyncIterable<KvFrame>,
    options?: { signal?: AbortSignal | undefined },
  ): Promise<void>;
  /** Wait until no `applyAll` is under way and subscriptions have been quiet for a turn of the event loop. */
  settled(): Promise<void>;
  /**
   * Follow an engine's event stream. Resolves when the socket is open; events may take a moment to arrive.
   * @throws TypeError, RangeError for the options; KvBlockError `ERR_KVBLOCK_SUBSCRIBE`, `ERR_KVBLOCK_CLOSED`
   */
  subscribe(options: SubscribeOptions): Promise<Subscription>;
  /**
   * How much of a tokenized prompt each pod can reuse. Synchronous; cost grows with the blocks that match.
   * @throws TypeError, RangeError for the arguments; KvBlockError `ERR_KVBLOCK_CLOSED`
   */
  scoreTokens(tokens: TokenIds, request: ScoreRequest): PodScores;
  /**
   * What {@link scoreTokens} would hash of a prompt, as plain data, for hosts that hash in threads of their own or of a
   * pool (`pool.hashPrompt`). Good for the moment: what pods announce meanwhile may ask for other keys.
   * @throws TypeError, RangeError for the arguments; KvBlockError `ERR_KVBLOCK_CLOSED`
   */
  hashPlan(promptTokens: number, request: ScoreRequest): HashPlan;
  /**
   * {@link scoreTokens} of a prompt whose keys were made elsewhere. Synchronous; it hashes what the keys lack.
   * @throws TypeError, RangeError for the arguments, or if the prompt was hashed with another adapter, salt or items;
   *   KvBlockError `ERR_KVBLOCK_CLOSED`
   */
  scoreKeys(prompt: HashedPrompt, request: ScoreRequest): PodScores;
  /**
   * Why each pod matches as much of a tokenized prompt as {@link scoreTokens} says, and no more: the first block that is
   * not matched, and the reason. Plain JSON without token ids. For people and logs, not for routing: it hashes the
   * prompt several times. Counts as no lookup, warms nothing and raises no diagnostics.
   * @throws TypeError, RangeError for the arguments; KvBlockError `ERR_KVBLOCK_CLOSED`
   */
  explain(tokens: TokenIds, request: ScoreRequest): Explanation;
  /**
   * {@link scoreTokens} of a prompt: a text, tokenized as the engine's completions endpoint does, or token ids. With a pool
   * a long one holds the event loop no longer than a short one: it is tokenized and hashed in a thread, and looked up in
   * slices of two milliseconds.
   */
  scorePrompt(prompt: string | TokenIds, request: ScoreRequest & EncodeOptions): Promise<PodScores>;
  /** {@link scoreTokens} of a chat, rendered by the model's template and tokenized as the engine's chat endpoint does. */
  scoreChat(messages: readonly ChatMessage[], request: ScoreRequest & ChatOptions): Promise<PodScores>;
  /** @throws KvBlockError `ERR_KVBLOCK_TOKENIZE` if the model has no tokenizer or it fails */
  tokenizePrompt(prompt: string, request: { model: string } & EncodeOptions): Promise<TokenIds>;
  /** @throws KvBlockError `ERR_KVBLOCK_TOKENIZE` if the model has no tokenizer or template, or it fails */
  tokenizeChat(messages: readonly ChatMessage[], request: { model: string } & ChatOptions): Promise<TokenIds>;
  /** Every publisher that was ever heard of and not removed, by model, pod and rank. */
  pods(): PodStatus[];
  stats(): IndexStats;
  /**
   * What stands wrong now, the first told first.
   *
   * Most findings are conditions, and withdrawn when they are seen to have ended: frames come, the name is announced, a
   * lookup names what was missing, the tokenizer is found, the engine is restarted (`sequence-gap`, `joined-late`,
   * `orphans-parked`: or clears its cache; `sequence-gap` also when its cache has turned over since), a later replay is complete, the failed endpoints (or a source for the same
   * `pod` and `model`) are followed again, a minute passes without a restart (`pod-published-twice`). `topic-unusable`,
   * `frame-rejected`, `pods-unknown` and `token-count-mismatch` end when it goes right ten minutes or more after it last
   * went wrong, `memory-limit` when nothing was dropped for so long. What is about a pod ends with `removePod`, what is
   * about an endpoint when a subscription to it is opened or closed.
   *
   * `engine-restarted` and `events-skipped` are events and stay (a restart ends the latter): see `count` and `lastSeenAt`.
   * So does what is just not seen again, such as a model that nobody asks for any more.
   *
   * Of a code at most 256 stand (64 where requests choose the names). A further one takes the place of one that was not
   * seen for an hour, or is left out.
   */
  diagnose(): Diagnostic[];
  /**
   * All of the above in one object, with versions, options and transports, for a bug report or a debug page. Plain JSON
   * without prompts, token ids or salts; it names pods, models and endpoints. Also after `close()`.
   */
  report(): IndexerReport;
  /**
   * Forget all ranks of a pod, at once, and close the subscriptions that were opened for it alone: those with `pod` set to
   * this one. A subscription without `pod` stays, also where all it has heard was this pod, and what it still hears of the
   * pod makes it known anew. Returns whether a rank was known or a subscription closed.
   */
  removePod(pod: string): boolean;
  /** End all subscriptions. Idempotent; leaves no handle open. */
  close(): Promise<void>;
}

export const Indexer: {
  /** @throws TypeError or RangeError for the first option that is not what it should be */
  create(options?: IndexerOptions): Promise<Indexer>;
} = {
  async create(options: IndexerOptions = {}) {
    checkIndexerOptions(options);
    const classes = new KeyClasses(await loadHashing());
    // A hasher says at once what is wrong with its seed; later, the first event would.
    for (const { algorithm, seed, noneHash } of exactHashes(options))
      classes.hasher({ algorithm, root: { seed, noneHash } as ChainRoot }, 1);
    return new KvBlockIndexer(options, classes);
  },
};
