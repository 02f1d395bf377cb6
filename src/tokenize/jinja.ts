/**
 * The one place that names `@huggingface/jinja`: its parser, its interpreter, and the values of a running template.
 *
 * The package's declarations are untyped under Node's module resolution, and it exports no classes of its values, so
 * both are stated here.
 * @module
 */
import * as jinja from "@huggingface/jinja";
import type { RuntimeValue } from "./python-values.js";

/** A node of a template's syntax tree. */
export interface TemplateNode {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** A value of a running template. */
export interface Value extends RuntimeValue {
  /** Its truth, as Python has it. */
  __bool__(): { value: boolean };
  /** Methods and attributes. */
  readonly builtins: ReadonlyMap<string, Value>;
}

/** Variables of one scope; what it lacks is looked up in its parent. */
export interface Environment {
  /** Of `is defined` and kin. */
  readonly tests: unknown;
  set(name: string, value: unknown): Value;
  setVariable(name: string, value: Value): Value;
}

interface Interpreter {
  evaluate(node: TemplateNode | undefined, environment: Environment): Value;
}

export const Environment: new (parent?: Environment) => Environment = jinja.Environment;
export const Interpreter: new (environment: Environment) => Interpreter = jinja.Interpreter;

/**
 * Parse with `trim_blocks` and `lstrip_blocks`.
 * @throws Error of the package for a syntax error
 */
export function parseTemplate(source: string): TemplateNode {
  return new jinja.Template(source).parsed as unknown as TemplateNode;
}

type Constructor = new (value: unknown) => Value;
type Maker = (value: unknown) => Value;

// An environment makes one value of each kind, and so tells its class.
const sampleOf = (sample: unknown): Value => new Environment().set("sample", sample);

/** What the classes of all values extend. */
const AnyValue = Object.getPrototypeOf(sampleOf("").constructor) as Constructor;

/**
 * Makes values of a sample's class. Its constructor is passed by: it defines each field of each value anew, many times
 * the work of an assignment, and thousands of values are made for one chat.
 */
function makerOf(sample: unknown): Maker {
  const made = sampleOf(sample);
  function Made(this: { value: unknown }, value: unknown): void {
    this.value = value;
  }
  Made.prototype = Object.create(Object.getPrototypeOf(made) as object, { type: { value: made.type } });
  const Class = Made as unknown as Constructor;
  return (value) => new Class(value);
}

export const textValue = makerOf("") as (text: string) => Value;
export const integerValue = makerOf(0) as (integer: number | bigint) => Value;
export const booleanValue = makerOf(true) as (truth: boolean) => Value;
const [floatValue, nullValue, arrayValue, objectValue] = [0.5, null, [], {}].map(makerOf) as [
  Maker,
  Maker,
  Maker,
  Maker,
];
export const UNDEFINED: Value = makerOf(undefined)(undefined);

/** A scope inside another. The package's own constructor declares its functions again in each. */
export function scopeIn(parent: Environment): Environment {
  const scope = Object.create(Environment.prototype as object) as Environment & Record<string, unknown>;
  return Object.assign(scope, { parent, variables: new Map(), tests: parent.tests });
}

/**
 * A plain value as the template sees it; objects and Maps become dicts, and template values stay.
 * @throws TypeError for functions and symbols
 */
export function toValue(value: unknown): Value {
  if (typeof value === "string") return textValue(value);
  if (value instanceof AnyValue) return value;
  if (value instanceof Number) return floatValue(Number(value));
  if (value === undefined) return UNDEFINED;
  if (value === null) return nullValue(null);
  if (typeof value === "boolean") return booleanValue(value);
  if (typeof value === "bigint") return integerValue(value);
  if (typeof value === "number") return Number.isInteger(value) ? integerValue(value) : floatValue(value);
  if (Array.isArray(value)) return arrayValue(value.map(toValue));
  if (typeof value !== "object") throw new TypeError(`a ${typeof value} is no template value`);
  const entries = value instanceof Map ? (value as Map<string, unknown>) : Object.entries(value);
  const items = new Map<string, Value>();
  for (const [key, item] of entries) items.set(key, toValue(item));
  return objectValue(items);
}
