/**
 * A request body → how much of its prompt each pod has.
 * @module
 */
import type { Indexer, PodScores, TokenIds } from "kvblock";
import { type ScoreInput, type Surroundings, scoreInputFromOpenAI, truncateTokens } from "kvblock/tokenize";
import type { Pod } from "./pods.js";
import type { Usage } from "./usage.js";

export interface Scoring {
  /** Cached tokens by pod, tier-weighted: what pods of different block sizes are compared by. */
  readonly tokens: ReadonlyMap<string, number>;
  /** Matched blocks by pod, tier-weighted, matches only; null when nothing matches. */
  readonly scores: Readonly<Record<string, number>> | null;
  /** Cached tokens that are expected of a pod. */
  predicted(pod: Pod): number;
  /** Compare with what the pod says it was. */
  observe(pod: Pod, usage: Usage): void;
}

/** A scoring that says nothing, for requests that are routed by load. */
export const NOTHING_KNOWN: Scoring = {
  tokens: new Map(),
  scores: null,
  predicted: () => 0,
  observe: () => {},
};

/** What a body gives to score, or what keeps it from being scored. */
export type Input = ScoreInput | Error;

/** The one time that a body is parsed: `JSON.parse` would lose what templates print back. */
export function readInput(body: Uint8Array): Input {
  try {
    return scoreInputFromOpenAI(body);
  } catch (error) {
    return error as Error;
  }
}

export function modelOf(input: Input | undefined): string | undefined {
  return input instanceof Error ? undefined : input?.model;
}

export interface ScoringRequest {
  readonly input: Input;
  /** The base model's or the adapter's name. */
  readonly model: string;
  readonly pods: readonly Pod[];
  readonly limitMs: number;
}

/**
 * Null if the engine will not read its cache for this request.
 *
 * @throws whatever keeps the prompt from being scored, or a TimeoutError; the request can be routed all the same
 */
export async function score(indexer: Indexer, request: ScoringRequest): Promise<Scoring | null> {
  const signal = AbortSignal.timeout(request.limitMs);
  const late = new Promise<never>((_, reject) =>
    signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
  );
  return Promise.race([scoreInput(indexer, request, signal), late]);
}

async function scoreInput(
  indexer: Indexer,
  { input, model, pods }: ScoringRequest,
  signal: AbortSignal,
): Promise<Scoring | null> {
  if (input instanceof Error) throw input;
  if (!input.readsPrefixCache) return null;
  const candidates = { model, pods: pods.map(({ name }) => name), cacheSalt: input.cacheSalt };
  const prompts = await tokenize(indexer, model, input, signal);
  const answers = await Promise.all(
    prompts.map((tokens) => indexer.scorePrompt(tokens, { ...candidates, signal })),
  );
  return sumOf(answers, pods);
}

/** What the engine computes on: a truncated prompt is cut here as it is there. */
async function tokenize(
  indexer: Indexer,
  model: string,
  input: ScoreInput,
  signal: AbortSignal,
): Promise<TokenIds[]> {
  const { truncation } = input;
  const options = { ...input.options, model, signal };
  const around =
    truncation && options.addSpecialTokens ? await surroundings(indexer, model, signal) : undefined;
  if (input.kind === "chat")
    return [truncateTokens(await indexer.tokenizeChat(input.messages, options), truncation, around)];
  return Promise.all(
    input.prompts.map(async (prompt) =>
      typeof prompt === "string"
        ? truncateTokens(await indexer.tokenizePrompt(prompt, options), truncation, around)
        : truncateTokens(prompt, truncation),
    ),
  );
}

/** How many special tokens the model's tokenizer puts around a text, found by letting it. */
async function surroundings(indexer: Indexer, model: string, signal: AbortSignal): Promise<Surroundings> {
  const [whole, inner] = await Promise.all(
    [true, false].map(async (addSpecialTokens) =>
      Array.from(await indexer.tokenizePrompt("a", { addSpecialTokens, model, signal })),
    ),
  );
  const before = Math.max(0, whole!.indexOf(inner![0]!));
  return { before, after: whole!.length - inner!.length - before };
}

/** A completions body may hold several prompts; all of them go to one pod. */
function sumOf(answers: readonly PodScores[], pods: readonly Pod[]): Scoring {
  const tokens = new Map<string, number>();
  const scores: Record<string, number> = {};
  for (const { name } of pods) {
    const own = answers.map((answer) => answer.get(name));
    const sum = own.reduce((total, found) => total + (found?.score ?? 0), 0);
    if (sum === 0) continue;
    scores[name] = sum;
    tokens.set(
      name,
      own.reduce((total, found) => total + (found?.score ?? 0) * (found?.blockSize ?? 0), 0),
    );
  }
  return {
    tokens,
    scores: tokens.size === 0 ? null : scores,
    predicted: ({ name }) => answers.reduce((total, answer) => total + (answer.get(name)?.tokens ?? 0), 0),
    observe(pod, { promptTokens, cachedTokens }) {
      if (cachedTokens !== undefined) pod.reportsCached = true;
      // The usage of several prompts is their sum, and says nothing of each.
      if (answers.length !== 1) return;
      const known = cachedTokens ?? (pod.reportsCached ? 0 : null);
      answers[0]!.observe({ pod: pod.name, promptTokens, cachedTokens: known });
    },
  };
}
