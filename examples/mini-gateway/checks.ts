/**
 * Checks for values from outside, put together like the shape they check. Each returns the value, typed, or throws a
 * {@link ConfigError} that names the place: `pods[1].url expected an http or https URL, got "10.0.0.1"`.
 * @module
 */

export class ConfigError extends Error {
  override readonly name: string = "ConfigError";
}

/** @param at - where the value stands, for the message */
export type Check<T> = (value: unknown, at: string) => T;

export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER): Check<number> {
  const expected =
    max === Number.MAX_SAFE_INTEGER ? `an integer from ${min}` : `an integer from ${min} to ${max}`;
  return (value, at) =>
    Number.isInteger(value) && (value as number) >= min && (value as number) <= max
      ? (value as number)
      : fail(at, expected, value);
}

export const text: Check<string> = (value, at) =>
  typeof value === "string" && value !== "" ? value : fail(at, "a text", value);

export const anyText: Check<string> = (value, at) =>
  typeof value === "string" ? value : fail(at, "a text", value);

export const flag: Check<boolean> = (value, at) =>
  typeof value === "boolean" ? value : fail(at, "true or false", value);

/** An address without path, query or credentials; returned without a trailing slash. */
export const httpUrl: Check<string> = (value, at) => {
  const expected = "an http or https URL without a path";
  if (typeof value !== "string" || !URL.canParse(value)) return fail(at, expected, value);
  const url = new URL(value);
  const isPlain = url.pathname === "/" && `${url.search}${url.hash}${url.username}${url.password}` === "";
  return isPlain && /^https?:$/.test(url.protocol) ? url.origin : fail(at, expected, value);
};

/** A ZeroMQ address as kvblock takes it: checked here, so that the message can say which of the config it is. */
export const zmqEndpoint: Check<string> = (value, at) => {
  const [, host, port] = tcpEndpoint(value);
  const isTcp = host !== undefined && host !== "*" && Number(port) >= 1 && Number(port) <= 65_535;
  return isTcp || isLocalEndpoint(value)
    ? (value as string)
    : fail(at, "a ZeroMQ endpoint to connect to such as tcp://host:5557", value);
};

/** The same to bind: of any interface, and of any port (`0` or `*`). */
export const zmqBindEndpoint: Check<string> = (value, at) => {
  const [, host, port] = tcpEndpoint(value);
  const isTcp = host !== undefined && (port === "*" || Number(port) <= 65_535);
  return isTcp || isLocalEndpoint(value)
    ? (value as string)
    : fail(at, "a ZeroMQ endpoint to bind such as tcp://0.0.0.0:5557", value);
};

function tcpEndpoint(value: unknown): readonly (string | undefined)[] {
  return (typeof value === "string" && /^tcp:\/\/(.+):(\d+|\*)$/.exec(value)) || [];
}

function isLocalEndpoint(value: unknown): boolean {
  return typeof value === "string" && /^(ipc|inproc):\/\/./.test(value);
}

export function oneOf<T extends string>(...allowed: readonly T[]): Check<T> {
  return (value, at) =>
    allowed.includes(value as T)
      ? (value as T)
      : fail(at, `one of ${allowed.join(", ")}`, value, nearest(String(value), allowed));
}

export function optional<T, const F>(check: Check<T>, fallback: F): Check<T | F> {
  return (value, at) => (value === undefined ? fallback : check(value, at));
}

export function orNull<T>(check: Check<T>): Check<T | null> {
  return (value, at) => (value === null ? null : check(value, at));
}

/** @param min - the fewest items */
/** One value, or a list of them. */
export function oneOrMore<T>(check: Check<T>): Check<readonly T[]> {
  const many = list(check, 1);
  return (value, at) => (Array.isArray(value) ? many(value, at) : [check(value, at)]);
}

export function list<T>(check: Check<T>, min = 0): Check<readonly T[]> {
  return (value, at) => {
    if (!Array.isArray(value)) return fail(at, "a list", value);
    if (value.length < min) return fail(at, `a list of at least ${min}`, value);
    return value.map((item, index) => check(item, `${at}[${index}]`));
  };
}

/** Any names, one kind of value. */
export function record<T>(check: Check<T>): Check<Readonly<Record<string, T>>> {
  return (value, at) =>
    Object.fromEntries(
      Object.entries(checkObject(value, at)).map(([name, item]) => [
        name,
        check(item, `${at}[${JSON.stringify(name)}]`),
      ]),
    );
}

/** Exactly these fields: an unknown one is refused, with the name that was probably meant. */
export function object<T extends object>(
  fields: { readonly [K in keyof T]: Check<T[K]> },
): Check<Readonly<T>> {
  const known = Object.keys(fields) as (keyof T & string)[];
  return (value, at) => {
    const given = checkObject(value, at);
    const prefix = at === "" ? "" : `${at}.`;
    for (const name of Object.keys(given)) {
      if (known.includes(name as keyof T & string)) continue;
      const near = nearest(name, known);
      throw new ConfigError(
        `${prefix}${name} is not a field${near === undefined ? `; known: ${known.join(", ")}` : ` (did you mean ${near}?)`}`,
      );
    }
    return Object.fromEntries(
      known.map((name) => [name, fields[name](given[name], prefix + name)]),
    ) as unknown as T;
  };
}

function checkObject(value: unknown, at: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return fail(at === "" ? "the config" : at, "an object", value);
  return value as Record<string, unknown>;
}

function fail(at: string, expected: string, value: unknown, near?: string): never {
  const json = typeof value === "number" ? String(value) : JSON.stringify(value);
  const got = value === undefined ? "nothing" : (json ?? typeof value).slice(0, 80);
  throw new ConfigError(
    `${at} expected ${expected}, got ${got}${near === undefined ? "" : ` (did you mean ${near}?)`}`,
  );
}

/** The nearest of the names, if no more than half of its letters differ. */
function nearest(word: string, names: readonly string[]): string | undefined {
  const [best] = names
    .map((name) => ({ name, distance: editDistance(word.toLowerCase(), name.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance);
  return best !== undefined && best.distance <= best.name.length / 2 ? best.name : undefined;
}

/** Levenshtein's: letters to put in, leave out or change. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}
