/**
 * kvblock: which engine pods already hold how much of this prompt's KV cache, and how far can that answer be trusted?
 * @module
 */
export { KvBlockError, type KvBlockErrorCode } from "./errors.js";
export type { EventSocketOptions, TransportSnapshot } from "./events/index.js";
export type {
  ExplainReason,
  Explanation,
  MatchEnd,
  PodExplanation,
  RequestExtra,
} from "./explanation.js";
export type { HashedPrompt, HashPlan, PromptHasher } from "./hash-plan.js";
export { Indexer } from "./indexer.js";
export { formatMetricsBeat } from "./metrics.js";
export type { HashOptions, IndexerOptions, LoraOptions, ModelOptions, TokenizerSource } from "./options.js";
export type { KeyedRequest } from "./query-keys.js";
export type { IndexerReport } from "./report.js";
export type { SubscribeOptions, Subscription } from "./subscription.js";
export type {
  ChatMessage,
  ChatOptions,
  Diagnostic,
  DiagnosticCode,
  EncodeOptions,
  HashAlgorithm,
  IndexStats,
  KvFrame,
  MultimodalItem,
  PodScore,
  PodScores,
  PodStatus,
  PublisherState,
  ScoreRequest,
  TokenIds,
  Tokenizer,
  Usage,
} from "./types.js";
