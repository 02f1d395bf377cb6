/**
 * Prompts scored without holding the event loop, where there is a pool: long ones are hashed in its threads and looked up
 * in slices.
 * @module
 */
import type { PromptHasher } from "./hash-plan.js";
import type { ReadPath } from "./read-path.js";
import { checkTokens, uniquePods } from "./score-arguments.js";
import { Turns } from "./turns.js";
import type { PodScores, ScoreRequest, TokenIds } from "./types.js";

/** Tokens of a prompt that is sooner hashed here: below, the way to a thread and back costs as much. */
const HASHED_IN_POOL = 16_384;

export class PromptScoring {
  readonly #readPath: ReadPath;
  readonly #pool: PromptHasher | undefined;
  /** Of its own: among engines that catch up, each with a slice to wait for, a request would be late. */
  readonly #turns: Turns;

  constructor(readPath: ReadPath, pool: PromptHasher | undefined, stopwatch: () => number) {
    this.#readPath = readPath;
    this.#pool = pool;
    this.#turns = new Turns(stopwatch);
  }

  async score(
    tokens: TokenIds,
    { pods, ...rest }: ScoreRequest,
    signal: AbortSignal | undefined,
  ): Promise<PodScores> {
    const readPath = this.#readPath;
    signal?.throwIfAborted();
    // Read twice, and an iterable may be read once.
    const request = { ...rest, pods: pods === undefined ? undefined : uniquePods(pods) };
    if (this.#pool === undefined || tokens.length < HASHED_IN_POOL) return readPath.score(tokens, request);
    const plan = readPath.plan(tokens.length, request);
    if (plan.lists.length === 0) return readPath.score(tokens, request);
    const hashed = await this.#pool.hashPrompt(checkTokens(tokens), plan, { signal });
    return readPath.scoreInTurns(hashed, request, this.#turns, signal);
  }
}
