/** The door's types, held by the type check: nothing here runs. */
import type {
  Diagnostic,
  HashOptions,
  IndexerOptions,
  Indexer as IndexerType,
  IndexStats,
  KvFrame,
  PodExplanation,
  PodScore,
  PodScores,
  PodStatus,
  ScoreRequest,
  Subscription,
  TokenIds,
  Tokenizer,
} from "kvblock";
import { Indexer } from "kvblock";
import { expectTypeOf } from "vitest";

/** JSON all the way down: no bigint, no Uint8Array, no function. */
type Json = string | number | boolean | null | undefined | readonly Json[] | { readonly [key: string]: Json };
type Plain<T> = { [K in keyof T]: T[K] };

expectTypeOf(Indexer.create).returns.resolves.toEqualTypeOf<IndexerType>();
expectTypeOf<Plain<IndexStats>>().toExtend<Json>();
expectTypeOf<Plain<PodStatus>>().toExtend<Json>();
expectTypeOf<Plain<Diagnostic>>().toExtend<Json>();
expectTypeOf<Plain<Plain<PodExplanation>["end"]>>().toExtend<Json>();

// Every optional field may be given as undefined, under exactOptionalPropertyTypes too.
expectTypeOf<{
  model: string;
  pods: undefined;
  loraName: undefined;
  cacheSalt: undefined;
  multimodal: undefined;
}>().toExtend<ScoreRequest>();
expectTypeOf<{ [K in keyof IndexerOptions]: undefined }>().toExtend<IndexerOptions>();

// What is handed in may be readonly, typed or plain.
expectTypeOf<readonly number[]>().toExtend<TokenIds>();
expectTypeOf<Uint32Array>().toExtend<TokenIds>();
expectTypeOf<Set<string>>().toExtend<NonNullable<ScoreRequest["pods"]>>();
expectTypeOf<{ mode: "exact"; algorithm: "sha256"; seed: "0" }>().toExtend<HashOptions>();
expectTypeOf<{ mode: "exact"; algorithm: "sha256"; seed: 0 }>().not.toExtend<HashOptions>();
expectTypeOf<{ mode: "auto"; seed: "0" }>().not.toEqualTypeOf<HashOptions>();
expectTypeOf<{ encode: (text: string) => number[] }>().toExtend<Tokenizer>();
expectTypeOf<KvFrame["payload"]>().toEqualTypeOf<Uint8Array>();

// Scores are read, not written.
declare const scores: PodScores;
declare const score: PodScore;
for (const one of scores) expectTypeOf(one).toEqualTypeOf<PodScore>();
expectTypeOf(scores.best).toEqualTypeOf<PodScore | undefined>();
expectTypeOf(scores.toJSON()).toEqualTypeOf<Record<string, number> | null>();
// @ts-expect-error a score is an immutable snapshot
score.blocks = 1;
// @ts-expect-error and so is what it lists by tier
score.byTier["gpu"] = 1;

// The interface can be mocked by a host's own object.
declare const indexer: IndexerType;
const mock: Pick<IndexerType, "scoreTokens" | "apply"> = {
  apply: () => {},
  scoreTokens: (tokens, request) => indexer.scoreTokens(tokens, request),
};
expectTypeOf(mock.scoreTokens).parameter(0).toEqualTypeOf<TokenIds>();
expectTypeOf(indexer.scoreTokens).returns.toEqualTypeOf<PodScores>();
expectTypeOf(indexer.scorePrompt).returns.resolves.toEqualTypeOf<PodScores>();
expectTypeOf(indexer.subscribe).returns.resolves.toEqualTypeOf<Subscription>();
expectTypeOf<IndexerType>().toExtend<AsyncDisposable>();
expectTypeOf<Subscription>().toExtend<AsyncDisposable>();
