/**
 * The one error class, and the wording of a caller's mistakes.
 *
 * A caller's mistake throws `TypeError` (wrong type) or `RangeError` (wrong value) in one wording:
 * `"blockSize" expected integer >= 1, got 0`. Everything else that fails is a {@link KvBlockError},
 * told apart by its `code`: an application may hold two copies of this package, so `instanceof` is no contract.
 * @module
 */

/** Stable reason of a {@link KvBlockError}. */
export type KvBlockErrorCode =
  | "ERR_KVBLOCK_FRAME" // a ZeroMQ message that is not a KV event frame
  | "ERR_KVBLOCK_DECODE" // bytes that are not what the format says
  | "ERR_KVBLOCK_RECORDING" // a recording file that cannot be read or written
  | "ERR_KVBLOCK_SUBSCRIBE" // a socket that cannot be opened, zeromq missing or unloadable
  | "ERR_KVBLOCK_TOKENIZE" // no tokenizer for a model, a broken tokenizer.json or chat template
  | "ERR_KVBLOCK_INPUT" // a request body that names nothing to score
  | "ERR_KVBLOCK_BUSY" // more waits for a worker thread, or a remote tokenizer, than was allowed
  | "ERR_KVBLOCK_TIMEOUT" // a worker thread, or a remote tokenizer, took longer than was allowed
  | "ERR_KVBLOCK_WORKER" // worker threads died of a request, or none can be started
  | "ERR_KVBLOCK_REMOTE" // a remote tokenizer gave no answer, or one without tokens
  | "ERR_KVBLOCK_CLOSED"; // used after close()

/** What this library throws, except for a caller's mistakes (`TypeError`, `RangeError`). */
export class KvBlockError extends Error {
  override readonly name: string = "KvBlockError";
  readonly code: KvBlockErrorCode;

  constructor(code: KvBlockErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** A short name of a value for an error message: never its content when it could be a prompt or token ids. */
export function describe(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "number" || typeof value === "boolean" || typeof value === "undefined")
    return String(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "string")
    return value.length <= 40 ? JSON.stringify(value) : `a string of ${value.length} characters`;
  if (ArrayBuffer.isView(value)) return `${value.constructor.name} of ${value.byteLength} bytes`;
  if (Array.isArray(value)) return `an array of ${value.length}`;
  return typeof value === "object" ? (value.constructor?.name ?? "object") : typeof value;
}

/** `"blockSize" expected integer >= 1, got "16"`, of the class that fits: wrong type. */
export function typeMistake(name: string, expected: string, got: unknown): TypeError {
  return new TypeError(`"${name}" expected ${expected}, got ${describe(got)}`);
}

/** `"blockSize" expected integer >= 1, got 0`, of the class that fits: wrong value. */
export function rangeMistake(name: string, expected: string, got: unknown): RangeError {
  return new RangeError(`"${name}" expected ${expected}, got ${describe(got)}`);
}

/** @throws TypeError if not a number, RangeError if not an integer within min … max */
export function checkInteger(
  name: string,
  value: unknown,
  min: number,
  max: number = Number.MAX_SAFE_INTEGER,
): number {
  const expected = max === Number.MAX_SAFE_INTEGER ? `integer >= ${min}` : `integer ${min} … ${max}`;
  if (typeof value !== "number") throw typeMistake(name, expected, value);
  if (!Number.isInteger(value) || value < min || value > max) throw rangeMistake(name, expected, value);
  return value;
}

/** @throws TypeError if not a string, RangeError if empty */
export function checkName(name: string, value: unknown): string {
  if (typeof value !== "string") throw typeMistake(name, "non-empty string", value);
  if (value === "") throw rangeMistake(name, "non-empty string", value);
  return value;
}

/** @throws TypeError if `value` is not one of `allowed` (the message names the nearest) */
export function checkOneOf<T extends string>(name: string, value: unknown, allowed: readonly T[]): T {
  if (allowed.includes(value as T)) return value as T;
  const near = typeof value === "string" ? nearest(value, allowed) : undefined;
  const hint = near === undefined ? "" : ` (did you mean "${near}"?)`;
  throw new TypeError(
    `"${name}" expected one of ${allowed.map((a) => `"${a}"`).join(", ")}, got ${describe(value)}${hint}`,
  );
}

/**
 * Refuse what is not a plain options object and every option that is not known, with the nearest known name.
 * @throws TypeError
 */
export function checkOptions(where: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== "object" || options === null || Array.isArray(options))
    throw typeMistake(where, "an options object", options);
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue;
    const near = nearest(key, known);
    throw new TypeError(
      `"${key}" is not an option of ${where}${near === undefined ? `; known: ${known.join(", ")}` : ` (did you mean ${near}?)`}`,
    );
  }
}

/** The candidate nearest to `word` by edit distance, if any is near enough to be meant. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance =
      candidate.toLowerCase().replaceAll(/[-_]/g, "") === word.toLowerCase().replaceAll(/[-_]/g, "")
        ? 0
        : editDistance(word, candidate, bestDistance);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Levenshtein distance, or `limit` as soon as it is known to be no smaller. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}
