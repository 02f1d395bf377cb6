/**
 * How much a request wants generated, and how it wants to be answered.
 *
 * What would change the text or the answer and is not modelled (log probabilities, echo, beams) is refused rather
 * than ignored; what steers a real model's choice (temperature, top_p, seed, …) has nothing to steer here.
 * @module
 */
import { badRequest } from "./http.js";
import type { Endpoint } from "./shapes.js";

export interface Sampling {
  /** Null: as many as the model's length leaves. */
  readonly maxTokens: number | null;
  /** Answers per prompt. */
  readonly n: number;
  readonly stops: readonly string[];
  readonly ignoreEos: boolean;
  readonly stream: boolean;
  /** End the stream with the usage. */
  readonly includeUsage: boolean;
}

/** vLLM's default of `/v1/completions`. */
const COMPLETION_TOKENS = 16;
const MOST_CHOICES = 128;
const MOST_STOPS = 16;
const NOT_MODELLED = ["logprobs", "top_logprobs", "echo", "suffix", "use_beam_search"];

/** @throws ApiError 400 naming the field */
export function readSampling(body: Readonly<Record<string, unknown>>, endpoint: Endpoint): Sampling {
  for (const field of NOT_MODELLED)
    if (body[field] !== undefined && body[field] !== null && body[field] !== false)
      throw badRequest(`\`${field}\` is not supported by this engine.`, field);
  const stream = flag(body, "stream");
  const options = body.stream_options;
  if (options !== undefined && options !== null && !stream)
    throw badRequest("Stream options can only be defined when `stream=True`.", "stream_options");
  return {
    maxTokens: endpoint === "chat" ? chatTokens(body) : completionTokens(body),
    n: integer(body, "n", MOST_CHOICES) ?? 1,
    stops: stopStrings(body.stop),
    ignoreEos: flag(body, "ignore_eos"),
    stream,
    includeUsage: (options as { include_usage?: unknown } | null | undefined)?.include_usage === true,
  };
}

function completionTokens(body: Readonly<Record<string, unknown>>): number | null {
  return body.max_tokens === undefined ? COMPLETION_TOKENS : integer(body, "max_tokens");
}

function chatTokens(body: Readonly<Record<string, unknown>>): number | null {
  return integer(body, "max_completion_tokens") ?? integer(body, "max_tokens");
}

function stopStrings(stop: unknown): readonly string[] {
  if (stop === undefined || stop === null) return [];
  const stops = Array.isArray(stop) ? stop : [stop];
  if (stops.length > MOST_STOPS || !stops.every((text) => typeof text === "string" && text !== ""))
    throw badRequest(`stop must be a non-empty string or a list of at most ${MOST_STOPS} of them.`, "stop");
  return stops;
}

function integer(
  body: Readonly<Record<string, unknown>>,
  field: string,
  most: number = Number.MAX_SAFE_INTEGER,
): number | null {
  const value = body[field];
  if (value === undefined || value === null) return null;
  if (!Number.isInteger(value)) throw badRequest(`${field} must be an integer.`, field);
  if ((value as number) < 1) throw badRequest(`${field} must be at least 1, got ${value}.`, field);
  if ((value as number) > most) throw badRequest(`${field} must be at most ${most}, got ${value}.`, field);
  return value as number;
}

function flag(body: Readonly<Record<string, unknown>>, field: string): boolean {
  const value = body[field] ?? false;
  if (typeof value !== "boolean") throw badRequest(`${field} must be a boolean.`, field);
  return value;
}
