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

// An environment makes one value of each kind, and so tells its class.
const classOf = (sample: unknown): Constructor =>
  new Environment().set("sample", sample).constructor as Constructor;
const [StringValue, IntegerValue, FloatValue, BooleanValue, NullValue, UndefinedValue] = [
  "",
  0,
  0.5,
  true,
  null,
  undefined,
].map(classOf) as [Constructor, Constructor, Constructor, Constructor, Constructor, Constructor];
const [ArrayValue, ObjectValue] = [[], {}].map(classOf) as [Constructor, Constructor];
/** What all those classes extend. */
const AnyValue = Object.getPrototypeOf(StringValue) as Constructor;

/**
 * A plain value as the template sees it; objects and Maps become dicts, and template values stay.
 * @throws TypeError for functions and symbols
 */
export function toValue(value: unknown): Value {
  if (value instanceof AnyValue) return value;
  if (value instanceof Number) return new FloatValue(Number(value));
  if (value === undefined) return new UndefinedValue(undefined);
  if (value === null) return new NullValue(null);
  if (typeof value === "string") return new StringValue(value);
  if (typeof value === "boolean") return new BooleanValue(value);
  if (typeof value === "bigint") return new IntegerValue(value);
  if (typeof value === "number") return new (Number.isInteger(value) ? IntegerValue : FloatValue)(value);
  if (Array.isArray(value)) return new ArrayValue(value.map(toValue));
  if (typeof value !== "object") throw new TypeError(`a ${typeof value} is no template value`);
  const entries = value instanceof Map ? [...(value as Map<string, unknown>)] : Object.entries(value);
  return new ObjectValue(new Map(entries.map(([key, item]) => [key, toValue(item)])));
}
