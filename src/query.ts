/**
 * A request of a lookup, its names resolved.
 * @module
 */
import { checkName, checkOptions } from "./errors.js";
import type { Models } from "./models.js";
import type { Publisher } from "./publisher-state.js";
import type { Publishers } from "./publishers.js";
import type { KeyedRequest } from "./query-keys.js";
import { checkExtras, SCORE_OPTIONS, uniquePods } from "./score-arguments.js";
import type { ScoreRequest } from "./types.js";

export interface Query extends KeyedRequest {
  readonly model: string;
  /** The caller's candidates, each once; undefined: all that are known. */
  readonly pods: readonly string[] | undefined;
  readonly candidates: readonly Publisher[];
}

/** @throws TypeError or RangeError for a mistake in the request */
export function resolveQuery(
  request: ScoreRequest,
  promptTokens: number,
  models: Models,
  publishers: Publishers,
): Query {
  checkOptions("request", request, SCORE_OPTIONS);
  const { model, loraName } = models.resolve(checkName("model", request.model));
  const extras = checkExtras(request, request.loraName ?? loraName, promptTokens);
  const pods = request.pods === undefined ? undefined : uniquePods(request.pods);
  const candidates = pods === undefined ? publishers.ofModel(model) : publishers.ofPods(model, pods);
  return { model, ...extras, pods, candidates };
}
