/** Text that reads like prose to a tokenizer: common words often, rare ones seldom, none twice in the same order. */

const ONSETS = [
  "b",
  "c",
  "d",
  "f",
  "g",
  "l",
  "m",
  "n",
  "p",
  "r",
  "s",
  "t",
  "v",
  "st",
  "tr",
  "pl",
  "ch",
  "th",
];
const VOWELS = ["a", "e", "i", "o", "u", "ea", "ou", "io"];
const ENDS = ["", "", "n", "r", "s", "t", "ll", "ng", "ck", "tion"];
const WORDS = 20_000;

/** Characters that one token of Qwen3's takes of such text, about; measured by `textOf`'s callers for their counts. */
export const CHARACTERS_PER_TOKEN = 3.2;

export class Prose {
  readonly #random: () => number;
  readonly #words: readonly string[];

  constructor(random: () => number) {
    this.#random = random;
    const pick = (from: readonly string[]): string => from[Math.floor(random() * from.length)]!;
    const syllable = (): string => pick(ONSETS) + pick(VOWELS) + pick(ENDS);
    this.#words = Array.from({ length: WORDS }, (_, rank) =>
      Array.from({ length: rank < 200 ? 1 : 1 + Math.floor(random() * 3) }, syllable).join(""),
    );
  }

  /** At least so many characters. */
  text(characters: number): string {
    const parts: string[] = [];
    for (let length = 0; length < characters; ) {
      // Zipf's law, roughly: the rank's logarithm is even.
      const word = this.#words[Math.floor(WORDS ** this.#random()) - 1]!;
      const end = this.#random();
      const part = word + (end < 0.06 ? ". " : end < 0.13 ? ", " : end < 0.14 ? ".\n\n" : " ");
      parts.push(part);
      length += part.length;
    }
    return parts.join("");
  }
}
