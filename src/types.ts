/**
 * The vocabulary that several rooms share. Types only; imports nothing.
 * @module
 */

/** Token ids of a prompt, each an unsigned 32-bit integer. */
export type TokenIds = Uint32Array | readonly number[];

/** vLLM's four `--prefix-caching-hash-algo`, its v0.10.0/v0.10.1's, and SGLang's page hash, which has no seed. */
export type HashAlgorithm =
  | "sha256"
  | "sha256_cbor"
  | "xxhash"
  | "xxhash_cbor"
  | "sha256_cbor_64bit"
  | "sglang";

/** One extra key of a block: LoRA name or salt (string), older LoRA id (number), prompt embeds (bytes), image. */
export type ExtraKey = string | number | Uint8Array | readonly [identifier: string, offset: number];

/** One multimodal item of a prompt. */
export interface MultimodalItem {
  /** The engine's identifier of the item: its content hash, or the caller's own uuid. */
  readonly id: string;
  /** Index of its first placeholder token in the prompt. */
  readonly offset: number;
  /** Number of placeholder tokens. */
  readonly length: number;
}

/**
 * Which extra keys the engine's version hashes. `"identifiers"`: a multimodal item is its bare identifier string.
 * `"offsets"` (from PR 36708, vLLM v0.18 … v0.20): it is `[identifier, offset - block start]`. `"tagged"` (from vLLM
 * v0.31): every key is a {@link TaggedKey}; events go on to carry the keys of `"offsets"`.
 */
export type ExtraKeysEra = "offsets" | "identifiers" | "tagged";

/** An extra key as vLLM hashes it from v0.31 on: tagged with its source, an adapter's name with its path. */
export type TaggedKey =
  | readonly [tag: "lora", name: string, path: string]
  | readonly [tag: "mm", identifier: string, offset: number]
  | readonly [tag: "cache_salt", salt: string]
  | readonly [tag: "prompt_embeds", digest: Uint8Array];

/** One raw message of an engine's event stream, as it came from the socket. */
export interface KvFrame {
  /** First part of the message: `kv@<pod>@<model>`, or empty (vLLM's default). */
  topic: string;
  /** Second part: the publisher's sequence number, 0 … 2^64-1. */
  seq: bigint;
  /** Third part: one msgpack event batch. */
  payload: Uint8Array;
  /** When it was received, milliseconds since the epoch. */
  receivedAt: number;
  /** Where it came from (an endpoint, a file): shown in diagnostics. */
  source?: string | undefined;
  /** Overrides the topic's pod. */
  pod?: string | undefined;
  /** Overrides the topic's model. */
  model?: string | undefined;
  /** Overrides the payload's data-parallel rank. */
  dataParallelRank?: number | undefined;
}

/** What a lookup says about its prompt. */
export interface ScoreRequest {
  /** Base model, one of its aliases, or the name of one of its LoRA adapters (see the `models` option). */
  model: string;
  /** Candidate pods, in the caller's order of preference. Absent: every pod known for the model. */
  pods?: Iterable<string> | undefined;
  /** LoRA adapter's name as the engine knows it. */
  loraName?: string | undefined;
  /** vLLM's `cache_salt`: pods only match blocks stored under the same salt. Empty is none. */
  cacheSalt?: string | undefined;
  /** Multimodal items, in prompt order. */
  multimodal?: readonly MultimodalItem[] | undefined;
}

/**
 * How far a publisher can be believed. `catching-up`: its frames are held until its hashing is known, until there
 * is time for them, or until its engine has replayed what was lost; what is told is what was so before them.
 * `partial`: frames were lost, so entries from before the gap are suspect, until its cache has turned over. `stale`: the
 * transport says it is gone. `unknown`: it never announced anything.
 */
export type PublisherState = "live" | "catching-up" | "partial" | "stale" | "unknown";

/** One candidate's answer: an immutable snapshot. */
export interface PodScore {
  readonly pod: string;
  readonly dataParallelRank: number;
  /** Tier-weighted count of matched blocks. */
  readonly score: number;
  /** Matched blocks from block 0 without a hole, within what the engine can reuse. */
  readonly blocks: number;
  /** Matched tokens: `blocks` × `blockSize`. */
  readonly tokens: number;
  /** Tokens per block on this pod; 0 while unknown. */
  readonly blockSize: number;
  /** Matched blocks by the best tier that holds each. */
  readonly byTier: Readonly<Record<string, number>>;
  readonly state: PublisherState;
  /** Every event of the publisher's current generation was seen, from its first. */
  readonly complete: boolean;
  /** Milliseconds since the publisher's last frame, by the indexer's clock; null when there was none. */
  readonly lastEventAgeMs: number | null;
  /** Matched blocks that no event announced and that follow from their descendants. */
  readonly implied: number;
  /** Matched blocks whose removal may have been lost in a gap, or miscounted (`duplicates-switched`). */
  readonly suspect: number;
  /** Sliding-window or state groups also decide reuse on this pod, so the match is an upper bound. */
  readonly upperBound: boolean;
}

/** What an engine said of a finished request, for {@link PodScores.observe}. */
export interface Usage {
  pod: string;
  dataParallelRank?: number | undefined;
  /** The engine's `usage.prompt_tokens`. */
  promptTokens: number;
  /** The engine's `usage.prompt_tokens_details.cached_tokens`; null or absent when it does not report it. */
  cachedTokens?: number | null | undefined;
}

/** All candidates' answers, best first. */
export interface PodScores extends Iterable<PodScore> {
  /** The base model that was looked up, aliases and adapters resolved. */
  readonly model: string;
  readonly promptTokens: number;
  /** The first of the order if it matches anything, else undefined. */
  readonly best: PodScore | undefined;
  /** The pod's answer; without a rank, its best rank's. */
  get(pod: string, dataParallelRank?: number): PodScore | undefined;
  /** Compare the prediction with what the engine reports; counted in `stats().accuracy`. */
  observe(usage: Usage): void;
  /** `score` by pod (its best rank), matches only; null when nothing matches. */
  toJSON(): Record<string, number> | null;
}

/** One publisher, as plain JSON. */
export interface PodStatus {
  readonly pod: string;
  readonly model: string;
  readonly dataParallelRank: number;
  readonly state: PublisherState;
  readonly complete: boolean;
  /** 0 for the first life of the engine process that was seen, +1 per restart. */
  readonly generation: number;
  readonly mode: "exact" | "tokens" | "undecided";
  /** In exact mode, the engine's algorithm. */
  readonly algorithm: HashAlgorithm | null;
  /** Tokens per block, 0 while unknown. */
  readonly blockSize: number;
  /** Blocks that it holds, by tier. */
  readonly blocks: Readonly<Record<string, number>>;
  /** Its last sequence number, as a decimal string. */
  readonly lastSeq: string | null;
  readonly lastEventAgeMs: number | null;
  readonly frames: number;
  readonly gaps: number;
  readonly lostFrames: number;
  readonly duplicateFrames: number;
  readonly lateFrames: number;
  readonly restarts: number;
  /** Frames held until the hashing is known. */
  readonly heldFrames: number;
  /** Stores parked until their parent is known (tokens mode). */
  readonly parkedStores: number;
}

/** Counts since the indexer was created, as plain JSON. */
export interface IndexStats {
  /** (block, publisher, tier, group) entries that became resident. */
  readonly admissions: number;
  /** Stores of a block that the publisher already held there. */
  readonly duplicates: number;
  /** Entries that ceased because the engine removed their last copy. */
  readonly evictions: number;
  /** Entries voided by a clear, a restart, `removePod`, or a turn of the cache after a gap. */
  readonly voided: number;
  /** Duplicate counts that reached their maximum (4095) and no longer tell copies apart. */
  readonly saturated: number;
  /** Entries dropped to keep the memory limit. */
  readonly dropped: number;
  readonly lookups: number;
  /** Blocks matched by the best pod, summed over lookups. */
  readonly hits: number;
  readonly lookupLatency: {
    readonly count: number;
    readonly sumSeconds: number;
    /** Lookups not slower than each bound, cumulative. */
    readonly buckets: readonly { readonly leSeconds: number; readonly count: number }[];
  };
  readonly frames: number;
  /** Longest hold of the event loop by subscriptions and `applyAll` in one turn, by the clock: collections are in it. */
  readonly longestSliceMs: number;
  readonly events: { readonly stored: number; readonly removed: number; readonly cleared: number };
  /** Frames, events and stores not applied, by reason. */
  readonly skips: Readonly<Record<string, number>>;
  /** Distinct blocks in the table. */
  readonly blocks: number;
  readonly memory: { readonly usedBytes: number; readonly limitBytes: number };
  /** Predictions compared with the engines' own counts. */
  readonly accuracy: {
    readonly observed: number;
    readonly exact: number;
    readonly overPredictedTokens: number;
    readonly underPredictedTokens: number;
  };
}

/** What a {@link Diagnostic} is about; stable. */
export type DiagnosticCode =
  | "no-events"
  | "topic-unusable"
  | "model-never-announced"
  | "pods-unknown"
  | "hash-not-reproduced"
  | "block-size-mismatch"
  | "salt-not-passed"
  | "lora-not-passed"
  | "lora-path-missing"
  | "extra-keys-missing"
  | "events-skipped"
  | "frame-rejected"
  | "sequence-gap"
  | "engine-restarted"
  | "pod-published-twice"
  | "joined-late"
  | "replay-incomplete"
  | "orphans-parked"
  | "duplicates-switched"
  | "tier-never-removes"
  | "memory-limit"
  | "token-count-mismatch"
  | "tokenizer-missing"
  | "tokenizer-degraded"
  | "workers-unavailable"
  | "worker-died"
  | "subscription-failed";

/** One finding: what is wrong, where, on what evidence, and what to do. Plain JSON, without prompts or token ids. */
export interface Diagnostic {
  readonly code: DiagnosticCode;
  readonly severity: "info" | "warning" | "error";
  /** One sentence for a person: the finding with its numbers. */
  readonly message: string;
  /** What to change. */
  readonly fix: string;
  readonly model?: string | undefined;
  readonly pod?: string | undefined;
  readonly dataParallelRank?: number | undefined;
  readonly source?: string | undefined;
  readonly evidence: Readonly<Record<string, string | number | boolean | null | readonly string[]>>;
  /** How often its cause was seen since it was told. */
  readonly count: number;
  /** When its cause was first and last seen, by the indexer's clock. */
  readonly firstSeenAt: number;
  readonly lastSeenAt: number;
}

/** A chat message in OpenAI's shape. Of other fields templates see those that the engine hands them, such as `tool_calls`. */
export interface ChatMessage {
  role: string;
  content?: string | readonly unknown[] | null | undefined;
  [field: string]: unknown;
}

/** What a chat template is given beside the messages. */
export interface ChatOptions {
  tools?: readonly unknown[] | null | undefined;
  documents?: readonly unknown[] | null | undefined;
  /** Default true, as the engine's chat endpoint has it; false when the final message is continued. */
  addGenerationPrompt?: boolean | undefined;
  /** Leave the last message open for the model to continue. Default false. */
  continueFinalMessage?: boolean | undefined;
  /** Default false: the template writes its special tokens itself. */
  addSpecialTokens?: boolean | undefined;
  /** A template to use instead of the model's own. */
  chatTemplate?: string | undefined;
  /** `chat_template_kwargs`: further variables of the template. */
  templateArguments?: Readonly<Record<string, unknown>> | undefined;
  signal?: AbortSignal | undefined;
}

/** What encoding a plain prompt is given beside the text. */
export interface EncodeOptions {
  /** Default true, as the engine's completions endpoint has it. */
  addSpecialTokens?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/** Turns text into exactly the token ids that the engine would compute on. */
export interface Tokenizer {
  /** Why it encodes more slowly than it should, told as the diagnostic `tokenizer-degraded`. Its tokens are right. */
  readonly degraded?: string | undefined;
  encode(text: string, options: EncodeOptions): TokenIds | Promise<TokenIds>;
  encodeChat?(messages: readonly ChatMessage[], options: ChatOptions): TokenIds | Promise<TokenIds>;
  close?(): void | Promise<void>;
}
