/**
 * What stands in for a language model: it continues a text by copying what followed the last time.
 *
 * The longest run of tokens at the prompt's end that also occurs earlier is looked for, and what came after it there
 * is generated: a text that repeats itself goes on, a chat gets one of its messages back. Deterministic.
 * @module
 */
import type { TokenIds } from "kvblock/hash";

/** Longer runs decide nothing more and would make repetitive prompts slow. */
const LONGEST_RUN = 16;

export class Continuation {
  readonly #tokens: number[];
  #source: number;

  /** @param isSpecial - marks such as the end of a chat turn, with which no continuation begins */
  constructor(prompt: TokenIds, isSpecial: (token: number) => boolean) {
    this.#tokens = Array.from(prompt);
    this.#source = afterLongestRun(this.#tokens, isSpecial);
  }

  next(): number {
    const token = this.#tokens[this.#source++]!;
    this.#tokens.push(token);
    return token;
  }
}

/**
 * Index after the latest earlier occurrence of the longest run that ends the tokens. Without any, the first token
 * that is no mark; in a prompt of marks alone, 0.
 */
function afterLongestRun(tokens: readonly number[], isSpecial: (token: number) => boolean): number {
  let best = Math.max(
    0,
    tokens.findIndex((token) => !isSpecial(token)),
  );
  let bestLength = 0;
  for (let end = tokens.length - 2; end >= 0 && bestLength < LONGEST_RUN; end--) {
    if (isSpecial(tokens[end + 1]!)) continue;
    let length = 0;
    while (
      length <= end &&
      length < LONGEST_RUN &&
      tokens[end - length] === tokens[tokens.length - 1 - length]
    )
      length++;
    if (length > bestLength) [best, bestLength] = [end + 1, length];
  }
  return best;
}
