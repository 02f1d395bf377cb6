/**
 * What Python does with values where JavaScript does otherwise: `str`, `repr`, `json.dumps`, `==` and `str.strip`, over
 * the runtime values of a template interpreter, which are told apart by their `type`.
 *
 * Source: CPython `float.__repr__`, `unicode_repr`, `json.dumps`; the `tojson` filter of transformers'
 * `chat_template_utils.py` (no HTML escaping, `ensure_ascii=False`).
 * @module
 */

/** A value at a template's run time. */
export interface RuntimeValue {
  readonly type: string;
  readonly value: unknown;
}

/** Arguments of `json.dumps` that a template may give to `tojson`. */
export interface DumpOptions {
  ensureAscii?: boolean | undefined;
  /** Text of one level; `""` still breaks lines. */
  indent?: string | undefined;
  separators?: readonly [item: string, key: string] | undefined;
  sortKeys?: boolean | undefined;
}

/** `str(value)`, as a template prints it; what is undefined prints nothing. */
export function pythonStr(value: RuntimeValue): string {
  if (value.type === "StringValue") return value.value as string;
  return value.type === "UndefinedValue" ? "" : pythonRepr(value);
}

/** `json.dumps(value)` with the defaults of transformers' `tojson`. */
export function pythonDumps(value: RuntimeValue, options: DumpOptions): string {
  const { indent, ensureAscii = false, sortKeys = false } = options;
  const [itemSeparator, keySeparator] = options.separators ?? [indent === undefined ? ", " : ",", ": "];
  const text = (content: string): string =>
    ensureAscii ? JSON.stringify(content).replace(/[^ -~]/g, escapeUnit) : JSON.stringify(content);
  const wrap = (open: string, items: readonly string[], close: string, padding: string): string => {
    if (items.length === 0) return open + close;
    if (indent === undefined) return open + items.join(itemSeparator) + close;
    return `${open}${padding}${indent}${items.join(`${itemSeparator}${padding}${indent}`)}${padding}${close}`;
  };
  const dump = (item: RuntimeValue, padding: string): string => {
    const inner = indent === undefined ? padding : padding + indent;
    if (item.type === "StringValue") return text(item.value as string);
    if (isArray(item)) {
      const items = item.value.map((member) => dump(member, inner));
      return wrap("[", items, "]", padding);
    }
    if (isObject(item)) {
      const entries = [...item.value];
      if (sortKeys) entries.sort(([a], [b]) => compareCodePoints(a, b));
      const items = entries.map(([key, member]) => text(key) + keySeparator + dump(member, inner));
      return wrap("{", items, "}", padding);
    }
    return dumpScalar(item);
  };
  return dump(value, "\n");
}

/** `a == b`: by value, by content for lists and dicts, and undefined equals undefined only. */
export function pythonEquals(a: RuntimeValue, b: RuntimeValue): boolean {
  if (isArray(a) || isArray(b))
    return (
      isArray(a) &&
      isArray(b) &&
      a.value.length === b.value.length &&
      a.value.every((item, index) => pythonEquals(item, b.value[index]!))
    );
  if (isObject(a) || isObject(b)) {
    if (!isObject(a) || !isObject(b) || a.value.size !== b.value.size) return false;
    for (const [key, item] of a.value) {
      const other = b.value.get(key);
      if (other === undefined || !pythonEquals(item, other)) return false;
    }
    return true;
  }
  if (isNumeric(a) && isNumeric(b)) {
    const [left, right] = [a.value, b.value].map((n) => (typeof n === "boolean" ? Number(n) : n)) as number[];
    // biome-ignore lint/suspicious/noDoubleEquals: a bigint equals the number of its value
    return left == right;
  }
  return a.type === b.type && (a.type === "NullValue" || a.value === b.value);
}

/** What `str.isspace` accepts, which is not what JavaScript trims. */
const PYTHON_SPACE: ReadonlySet<string> = new Set(
  "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000",
);

/** `str.strip`, `lstrip` and `rstrip`: takes the given characters, or whitespace, off either side. */
export function pythonStrip(text: string, side: "strip" | "lstrip" | "rstrip", characters?: string): string {
  const set = characters === undefined ? PYTHON_SPACE : new Set(characters);
  let start = 0;
  let end = text.length;
  if (side !== "rstrip")
    for (let c = pointAt(text, 0); set.has(c); c = pointAt(text, start)) start += c.length;
  if (side !== "lstrip")
    for (let c = pointBefore(text, end); end > start && set.has(c); c = pointBefore(text, end))
      end -= c.length;
  return text.slice(start, end);
}

function pointAt(text: string, at: number): string {
  const point = text.codePointAt(at);
  return point === undefined ? "" : String.fromCodePoint(point);
}

function pointBefore(text: string, end: number): string {
  const pair = pointAt(text, end - 2);
  return pair.length === 2 ? pair : text.charAt(end - 1);
}

function pythonRepr(value: RuntimeValue): string {
  if (value.type === "StringValue") return reprText(value.value as string);
  if (value.type === "BooleanValue") return value.value === true ? "True" : "False";
  if (value.type === "NullValue") return "None";
  if (value.type === "UndefinedValue") return "Undefined";
  if (value.type === "TupleValue" && isArray(value)) {
    const items = value.value.map(pythonRepr);
    return items.length === 1 ? `(${items[0]},)` : `(${items.join(", ")})`;
  }
  if (isArray(value)) return `[${value.value.map(pythonRepr).join(", ")}]`;
  if (isObject(value))
    return `{${[...value.value].map(([key, item]) => `${reprText(key)}: ${pythonRepr(item)}`).join(", ")}}`;
  return reprScalar(value, "nan", "inf");
}

function dumpScalar(value: RuntimeValue): string {
  if (value.type === "BooleanValue") return String(value.value);
  if (value.type === "NullValue") return "null";
  return reprScalar(value, "NaN", "Infinity");
}

function reprScalar(value: RuntimeValue, nan: string, infinity: string): string {
  if (value.type === "IntegerValue") return String(value.value);
  if (value.type !== "FloatValue") throw new Error(`${value.type} has no text`);
  const number = value.value as number;
  if (Number.isNaN(number)) return nan;
  if (!Number.isFinite(number)) return number > 0 ? infinity : `-${infinity}`;
  return reprFloat(number);
}

/** Shortest digits that read back, as in JavaScript; the exponent shows from 1e16 on and below 1e-4. */
function reprFloat(number: number): string {
  if (Object.is(number, -0)) return "-0.0";
  const size = Math.abs(number);
  if (size !== 0 && (size >= 1e16 || size < 1e-4))
    return number.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  const text = String(number);
  return text.includes(".") ? text : `${text}.0`;
}

/** What `str.isprintable` refuses; the space is printable. */
const NOT_PRINTABLE = /[\p{C}\p{Z}]/u;

function reprText(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let out = quote;
  for (const character of text) {
    if (character === quote || character === "\\") out += `\\${character}`;
    else if (character === "\n") out += "\\n";
    else if (character === "\r") out += "\\r";
    else if (character === "\t") out += "\\t";
    else if (character !== " " && NOT_PRINTABLE.test(character))
      out += escapePoint(character.codePointAt(0)!);
    else out += character;
  }
  return out + quote;
}

function escapePoint(point: number): string {
  if (point <= 0xff) return `\\x${point.toString(16).padStart(2, "0")}`;
  if (point <= 0xffff) return `\\u${point.toString(16).padStart(4, "0")}`;
  return `\\U${point.toString(16).padStart(8, "0")}`;
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** By code point, where JavaScript compares code units. */
function compareCodePoints(a: string, b: string): number {
  const [left, right] = [[...a], [...b]];
  for (let i = 0; i < left.length && i < right.length; i++) {
    const difference = left[i]!.codePointAt(0)! - right[i]!.codePointAt(0)!;
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

function isArray(value: RuntimeValue): value is { type: string; value: RuntimeValue[] } {
  return Array.isArray(value.value);
}

function isObject(value: RuntimeValue): value is { type: string; value: Map<string, RuntimeValue> } {
  return value.value instanceof Map;
}

function isNumeric(value: RuntimeValue): boolean {
  return value.type === "IntegerValue" || value.type === "FloatValue" || value.type === "BooleanValue";
}
