/**
 * JSON as Python's `json.loads` reads it, without losing what a chat template would print back: `1.0` stays a float,
 * large integers stay exact, and keys keep their order even where a JavaScript object would sort them.
 *
 * Engines render `tools` and tool-call arguments with `json.dumps`, so `1` in place of `1.0` is another prompt, hence
 * other blocks. Source: CPython `Lib/json/decoder.py`, `scanner.py` (strict mode, `NaN` and `Infinity` accepted).
 * @module
 */

/**
 * A Python float whose value is a whole number, which a JavaScript number cannot tell from an int: a boxed number, since
 * that is what a structured clone leaves of it on its way to a worker thread.
 */
export class PythonFloat extends Number {}

const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
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
    const first = this.#text[this.#at];
    if (first === '"') return this.#string();
    if (first === "{") return this.#nested(() => this.#object());
    if (first === "[") return this.#nested(() => this.#array());
    if (first !== undefined && first >= "0" && first <= "9") return this.#number();
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

  /** Find the end, and let `JSON.parse` judge what is between: no pattern survives a string of megabytes. */
  #string(): string {
    const start = this.#at;
    if (this.#text[start] !== '"') this.#fail("a string");
    let end = start;
    do end = this.#text.indexOf('"', end + 1);
    while (end !== -1 && this.#isEscaped(end));
    if (end === -1) this.#fail("the end of the string");
    try {
      const value = JSON.parse(this.#text.slice(start, end + 1)) as string;
      this.#at = end + 1;
      return value;
    } catch {
      return this.#fail("a string");
    }
  }

  #isEscaped(at: number): boolean {
    let slashes = 0;
    while (this.#text[at - 1 - slashes] === "\\") slashes++;
    return slashes % 2 === 1;
  }

  #number(): number | bigint | PythonFloat {
    NUMBER.lastIndex = this.#at;
    const [lexeme, fraction, exponent] = NUMBER.exec(this.#text) ?? this.#fail("a value");
    this.#at = NUMBER.lastIndex;
    const value = Number(lexeme);
    if (fraction === undefined && exponent === undefined)
      return Number.isSafeInteger(value) && !Object.is(value, -0) ? value : toInteger(lexeme);
    return Number.isInteger(value) ? new PythonFloat(value) : value;
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #skip(): void {
    const text = this.#text;
    let at = this.#at;
    for (let code = text.charCodeAt(at); code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09; )
      code = text.charCodeAt(++at);
    this.#at = at;
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
