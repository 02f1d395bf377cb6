/**
 * JSON as Python's `json.loads` reads it, without losing what a chat template would print back: `1.0` stays a float,
 * large integers stay exact, and keys keep their order even where a JavaScript object would sort them.
 *
 * Engines render `tools` and tool-call arguments with `json.dumps`, so `1` in place of `1.0` is another prompt, hence
 * other blocks. Source: CPython `Lib/json/decoder.py`, `scanner.py` (strict mode, `NaN` and `Infinity` accepted).
 * @module
 */

/** A Python float whose value is a whole number, which a JavaScript number cannot tell from an int. */
export class PythonFloat {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

const WHITESPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters end a string, as in the decoder's strict mode
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const CONSTANTS: readonly (readonly [string, unknown])[] = [
  ["null", null],
  ["true", true],
  ["false", false],
  ["NaN", Number.NaN],
  ["Infinity", Number.POSITIVE_INFINITY],
  ["-Infinity", Number.NEGATIVE_INFINITY],
];

/** Keys that a plain object would reorder or swallow. */
const UNSAFE_KEY = /^(?:0|[1-9][0-9]*|__proto__)$/;

/** Python's default recursion limit, less what its own frames take: deeper documents are refused there too. */
const MAX_DEPTH = 900;

/**
 * Read one JSON document.
 *
 * Integers are `number`, or `bigint` beyond 2^53; floats are `number`, or {@link PythonFloat} when whole. Objects are
 * plain, or a `Map` when a key would lose its place in a plain one.
 *
 * @throws SyntaxError with the offset, never the text
 */
export function parsePythonJson(text: string): unknown {
  return new Reader(text).document();
}

class Reader {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): unknown {
    this.#skip();
    const value = this.#value();
    this.#skip();
    if (this.#at !== this.#text.length) this.#fail("nothing more");
    return value;
  }

  #value(): unknown {
    switch (this.#text[this.#at]) {
      case '"':
        return this.#string();
      case "{":
        return this.#nested(() => this.#object());
      case "[":
        return this.#nested(() => this.#array());
    }
    for (const [word, value] of CONSTANTS) {
      if (!this.#text.startsWith(word, this.#at)) continue;
      this.#at += word.length;
      return value;
    }
    return this.#number();
  }

  #nested<T>(read: () => T): T {
    if (++this.#depth > MAX_DEPTH) this.#fail(`nesting of at most ${MAX_DEPTH}`);
    this.#at++;
    const value = read();
    this.#depth--;
    return value;
  }

  #object(): unknown {
    const entries: [string, unknown][] = [];
    let plain = true;
    this.#skip();
    if (this.#take("}")) return {};
    do {
      this.#skip();
      const key = this.#string();
      this.#skip();
      if (!this.#take(":")) this.#fail('":"');
      this.#skip();
      entries.push([key, this.#value()]);
      plain &&= !UNSAFE_KEY.test(key);
      this.#skip();
    } while (this.#take(","));
    if (!this.#take("}")) this.#fail('"," or "}"');
    return plain ? Object.fromEntries(entries) : new Map(entries);
  }

  #array(): unknown[] {
    const items: unknown[] = [];
    this.#skip();
    if (this.#take("]")) return items;
    do {
      this.#skip();
      items.push(this.#value());
      this.#skip();
    } while (this.#take(","));
    if (!this.#take("]")) this.#fail('"," or "]"');
    return items;
  }

  #string(): string {
    return JSON.parse(this.#match(STRING, "a string")[0]) as string;
  }

  #number(): number | bigint | PythonFloat {
    const [lexeme, fraction, exponent] = this.#match(NUMBER, "a value");
    const value = Number(lexeme);
    if (fraction === undefined && exponent === undefined)
      return Number.isSafeInteger(value) && !Object.is(value, -0) ? value : toInteger(lexeme);
    return Number.isInteger(value) ? new PythonFloat(value) : value;
  }

  #match(pattern: RegExp, expected: string): RegExpExecArray {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text) ?? this.#fail(expected);
    this.#at = pattern.lastIndex;
    return match;
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #skip(): void {
    this.#match(WHITESPACE, "whitespace");
  }

  #fail(expected: string): never {
    throw new SyntaxError(`expected ${expected} at offset ${this.#at}`);
  }
}

/** `-0` is the integer 0 in Python. */
function toInteger(lexeme: string): number | bigint {
  const value = BigInt(lexeme);
  return value === 0n ? 0 : value;
}
