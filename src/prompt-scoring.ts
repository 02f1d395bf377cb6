/**
 * Prompts scored without holding the event loop: long ones are looked up in slices, and what is long of them and not known
 * is hashed in a pool's threads.
 * @module
 */
import { KvBlockError } from "./errors.js";
import type { PromptHasher } from "./hash-plan.js";
import type { HashRest } from "./prompt-walk.js";
import type { ReadPath } from "./read-path.js";
import { uniquePods } from "./score-arguments.js";
import { Turns } from "./turns.js";
import type { PodScores, ScoreRequest, TokenIds } from "./types.js";

/** Tokens of a prompt that is looked up in one go: less than half a millisecond mostly. */
const SHORT = 16_384;

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

  /** @throws TypeError or RangeError for a mistake in the arguments; the signal's reason; what the pool throws */
  async score(
    tokens: TokenIds,
    { pods, ...rest }: ScoreRequest,
    signal: AbortSignal | undefined,
  ): Promise<PodScores> {
    signal?.throwIfAborted();
    // May be read twice, and an iterable may be read once.
    const request = { ...rest, pods: pods === undefined ? undefined : uniquePods(pods) };
    if (tokens.length < SHORT) return this.#readPath.score(tokens, request);
    const scores = await this.#readPath.scoreInTurns(tokens, request, this.#turns, this.#hashRest(signal));
    signal?.throwIfAborted();
    return scores;
  }

  #hashRest(signal: AbortSignal | undefined): HashRest | undefined {
    const pool = this.#pool;
    if (pool === undefined || pool.isInline === true) return undefined;
    const { chainKey } = this.#readPath;
    return async ({ name, recipe }, era, tokens, parent) => {
      const plan = { request: PLAIN, lora: undefined, chainKey, lists: [{ name, recipe, era, parent }] };
      // A part of an array is sent with all of it.
      const { lists } = await pool.hashPrompt(tokens.slice(), plan, { signal });
      const digests = lists[0]?.digests;
      if (digests === undefined)
        throw new KvBlockError(
          "ERR_KVBLOCK_WORKER",
          "the pool hashes no part of a prompt: it is of another version",
        );
      return digests;
    };
  }
}

/** Nothing is hashed beside the tokens. */
const PLAIN = { loraName: undefined, cacheSalt: "", multimodal: [] };
