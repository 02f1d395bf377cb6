/**
 * Chat templates, rendered as transformers renders them with Python's jinja2.
 *
 * `@huggingface/jinja` parses and evaluates; where it departs from jinja2 in ways that real templates show, this
 * interpreter does what Python does: printed values (`None`, `True`, dicts), `tojson`, `strip(characters)`, equality,
 * a fresh scope per loop iteration, output before `break` and `continue`, dict methods shadowed by keys.
 * Source: transformers `utils/chat_template_utils.py` (`_compile_jinja_template`: trim_blocks, lstrip_blocks,
 * loopcontrols, `raise_exception`, `strftime_now`, `tojson`), jinja2 3.1.
 * @module
 */
import * as jinja from "@huggingface/jinja";
import { KvBlockError } from "../errors.js";
import { detectContentFormat, type TemplateNode, walk } from "./content-format.js";
import type { ContentFormat } from "./messages.js";
import { PythonFloat } from "./python-json.js";
import {
  type DumpOptions,
  pythonDumps,
  pythonEquals,
  pythonStr,
  pythonStrip,
  type RuntimeValue,
} from "./python-values.js";
import { strftime } from "./strftime.js";

// The package's declarations leave these untyped under Node's module resolution.
interface Value extends RuntimeValue {
  __bool__(): { value: boolean };
  readonly builtins: ReadonlyMap<string, Value>;
}
interface Environment {
  set(name: string, value: unknown): Value;
  setVariable(name: string, value: Value): Value;
}
interface Interpreter {
  evaluate(statement: TemplateNode | undefined, environment: Environment): Value;
}
type Constructor = new (value: unknown) => Value;

const Environment = jinja.Environment as new (parent?: Environment) => Environment;
const Interpreter = jinja.Interpreter as new (environment: Environment) => Interpreter;

// The package exports no classes of its values; an environment makes one of each kind.
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
const [ArrayValue, ObjectValue, FunctionValue] = [[], {}, () => null].map(classOf) as [
  Constructor,
  Constructor,
  Constructor,
];

/** Statements that print nothing themselves; every other member of a body is an expression to print. */
const SILENT = new Set([
  "Set",
  "If",
  "For",
  "Macro",
  "Comment",
  "Break",
  "Continue",
  "CallStatement",
  "FilterStatement",
]);

/** `dict` attributes that jinja2 finds before a key of the same name. */
const DICT_METHODS = new Set(["items", "keys", "values", "get"]);

const STRIPS: readonly string[] = ["strip", "lstrip", "rstrip"];

/** A compiled chat template. */
export class ChatTemplate {
  /** How it takes message content. */
  readonly contentFormat: ContentFormat;
  readonly #program: TemplateNode;
  readonly #printed = new Set<unknown>();

  /** @throws KvBlockError `ERR_KVBLOCK_TOKENIZE` for a syntax error */
  constructor(source: string) {
    try {
      this.#program = new jinja.Template(source).parsed as unknown as TemplateNode;
    } catch (cause) {
      throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", "the chat template does not parse", { cause });
    }
    this.contentFormat = detectContentFormat(this.#program);
    for (const node of walk(this.#program))
      for (const body of ["body", "alternate", "defaultBlock"])
        for (const member of (node[body] as TemplateNode[] | undefined) ?? [])
          if (!SILENT.has(member.type)) this.#printed.add(member);
  }

  /**
   * Render with the given variables; plain objects and Maps become dicts.
   * @throws KvBlockError `ERR_KVBLOCK_TOKENIZE` when the template refuses the conversation or fails
   */
  render(variables: Readonly<Record<string, unknown>>, now: () => Date): string {
    const environment = new Environment();
    setGlobals(environment, now);
    for (const [name, value] of Object.entries(variables)) environment.setVariable(name, toValue(value));
    try {
      return pythonStr(
        new PythonInterpreter(environment, this.#printed).evaluate(this.#program, environment),
      );
    } catch (cause) {
      if (cause instanceof KvBlockError) throw cause;
      throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", "the chat template failed to render", { cause });
    }
  }
}

/** `break` or `continue` on its way to the loop, with what its iteration printed before. */
class LoopControl {
  printed = "";
  readonly ends: boolean;

  constructor(ends: boolean) {
    this.ends = ends;
  }
}

class PythonInterpreter extends Interpreter {
  readonly #printed: ReadonlySet<unknown>;

  constructor(environment: Environment, printed: ReadonlySet<unknown>) {
    super(environment);
    this.#printed = printed;
  }

  override evaluate(node: TemplateNode | undefined, environment: Environment): Value {
    const value = (node && this.#evaluateAsPython(node, environment)) ?? super.evaluate(node, environment);
    return this.#printed.has(node) ? new StringValue(pythonStr(value)) : value;
  }

  /** The value of a node whose meaning differs; undefined leaves it to the package. */
  #evaluateAsPython(node: TemplateNode, environment: Environment): Value | undefined {
    switch (node.type) {
      case "Program":
        return new StringValue(this.#block(node["body"], environment));
      case "If": {
        const holds = this.#value(node["test"], environment).__bool__().value;
        return new StringValue(this.#block(holds ? node["body"] : node["alternate"], environment));
      }
      case "For":
        return new StringValue(this.#loop(node, environment));
      case "Break":
      case "Continue":
        throw new LoopControl(node.type === "Break");
      case "BinaryExpression":
        return this.#binary(node, environment);
      case "CallExpression":
        return this.#call(node, environment);
      case "FilterExpression":
        return this.#filter(node, environment);
      case "MemberExpression": {
        const name = node["computed"] === true ? undefined : (node["property"] as TemplateNode)["value"];
        if (typeof name !== "string" || !DICT_METHODS.has(name)) return undefined;
        const object = this.#value(node["object"], environment);
        return object.type === "ObjectValue" ? object.builtins.get(name) : undefined;
      }
      default:
        return undefined;
    }
  }

  #value(node: unknown, environment: Environment): Value {
    return this.evaluate(node as TemplateNode, environment);
  }

  #block(statements: unknown, environment: Environment): string {
    let out = "";
    for (const statement of statements as TemplateNode[]) {
      try {
        const value = this.#value(statement, environment);
        if (typeof value.value === "string") out += value.value;
      } catch (control) {
        if (control instanceof LoopControl) control.printed = out + control.printed;
        throw control;
      }
    }
    return out;
  }

  #loop(node: TemplateNode, outer: Environment): string {
    const select = node["iterable"] as TemplateNode;
    const [source, condition] =
      select.type === "SelectExpression" ? [select["lhs"], select["test"]] : [select, undefined];
    const items = iterate(this.#value(source, outer)).filter((item) => {
      if (condition === undefined) return true;
      const scope = new Environment(outer);
      bind(node["loopvar"], item, scope);
      return this.#value(condition, scope).__bool__().value;
    });
    if (items.length === 0) return this.#block(node["defaultBlock"], outer);
    let out = "";
    for (const [index, item] of items.entries()) {
      const scope = new Environment(outer);
      scope.setVariable("loop", loopObject(items, index));
      bind(node["loopvar"], item, scope);
      try {
        out += this.#block(node["body"], scope);
      } catch (control) {
        if (!(control instanceof LoopControl)) throw control;
        out += control.printed;
        if (control.ends) break;
      }
    }
    return out;
  }

  #binary(node: TemplateNode, environment: Environment): Value | undefined {
    const operator = (node["operator"] as { value: string }).value;
    if (operator !== "==" && operator !== "!=" && operator !== "~") return undefined;
    const left = this.#value(node["left"], environment);
    const right = this.#value(node["right"], environment);
    if (operator === "~") return new StringValue(pythonStr(left) + pythonStr(right));
    return new BooleanValue(pythonEquals(left, right) === (operator === "=="));
  }

  #call(node: TemplateNode, environment: Environment): Value | undefined {
    const callee = node["callee"] as TemplateNode;
    const args = node["args"] as TemplateNode[];
    if (callee.type === "Identifier" && callee["value"] === "raise_exception") throw refusal(args[0]);
    const method =
      callee.type === "MemberExpression" ? (callee["property"] as TemplateNode)["value"] : undefined;
    if (typeof method !== "string" || !STRIPS.includes(method)) return undefined;
    const text = this.#value(callee["object"], environment);
    return text.type === "StringValue" ? this.#strip(text, method, args, environment) : undefined;
  }

  #filter(node: TemplateNode, environment: Environment): Value | undefined {
    const filter = node["filter"] as TemplateNode;
    const called = filter.type === "CallExpression";
    const name = (called ? (filter["callee"] as TemplateNode) : filter)["value"];
    if (name !== "tojson" && name !== "trim" && name !== "string") return undefined;
    const operand = this.#value(node["operand"], environment);
    const args = called ? (filter["args"] as TemplateNode[]) : [];
    if (name === "trim") return this.#strip(operand, "strip", args, environment);
    if (name === "string") return new StringValue(pythonStr(operand));
    return new StringValue(pythonDumps(operand, this.#dumpOptions(args, environment)));
  }

  #strip(text: Value, side: string, args: readonly TemplateNode[], environment: Environment): Value {
    const argument = args[0]?.type === "KeywordArgumentExpression" ? args[0]["value"] : args[0];
    const characters = argument === undefined ? undefined : this.#value(argument, environment).value;
    return new StringValue(
      pythonStrip(pythonStr(text), side as "strip", typeof characters === "string" ? characters : undefined),
    );
  }

  #dumpOptions(args: readonly TemplateNode[], environment: Environment): DumpOptions {
    const given = new Map<string, Value>();
    const order = ["ensure_ascii", "indent", "separators", "sort_keys"];
    for (const [index, argument] of args.entries()) {
      const keyword = argument.type === "KeywordArgumentExpression";
      const name = keyword ? ((argument["key"] as TemplateNode)["value"] as string) : order[index];
      if (name === undefined || !order.includes(name))
        throw new Error(`tojson has no argument ${name ?? index}`);
      given.set(name, this.#value(keyword ? argument["value"] : argument, environment));
    }
    const indent = given.get("indent")?.value;
    const separators = given.get("separators")?.value as Value[] | null | undefined;
    return {
      ensureAscii: given.get("ensure_ascii")?.__bool__().value,
      sortKeys: given.get("sort_keys")?.__bool__().value,
      indent:
        typeof indent === "number"
          ? " ".repeat(Math.max(0, indent))
          : ((indent as string | null) ?? undefined),
      separators: separators?.map(({ value }) => value as string) as [string, string] | undefined,
    };
  }
}

/** The template's own words when they are a constant of it; anything computed may quote the prompt. */
function refusal(argument: TemplateNode | undefined): KvBlockError {
  const words = argument?.type === "StringLiteral" ? `: ${argument["value"] as string}` : "";
  return new KvBlockError("ERR_KVBLOCK_TOKENIZE", `the chat template refuses the conversation${words}`);
}

/** What a `for` goes over; undefined is empty, as in jinja2. */
function iterate(value: Value): Value[] {
  const { type, value: content } = value;
  if (type === "UndefinedValue") return [];
  if (Array.isArray(content)) return content as Value[];
  if (type === "ObjectValue") return [...(content as Map<string, Value>).keys()].map(toValue);
  if (typeof content === "string") return [...content].map(toValue);
  throw new Error(`${type} is not iterable`);
}

/** Assign a loop's item to its name, or its members to a tuple of names. */
function bind(target: unknown, item: Value, scope: Environment): void {
  const node = target as TemplateNode;
  if (node.type === "Identifier") {
    scope.setVariable(node["value"] as string, item);
    return;
  }
  const names = node["value"] as TemplateNode[];
  const items = iterate(item);
  if (items.length !== names.length)
    throw new Error(`expected ${names.length} values to unpack, got ${items.length}`);
  for (const [index, name] of names.entries()) bind(name, items[index]!, scope);
}

function loopObject(items: readonly Value[], index: number): Value {
  const left = items.length - index;
  const facts = {
    index: index + 1,
    index0: index,
    revindex: left,
    revindex0: left - 1,
    length: items.length,
  };
  const loop = new Map(
    Object.entries({ ...facts, first: index === 0, last: left === 1 }).map(([k, v]) => [k, toValue(v)]),
  );
  loop.set("previtem", items[index - 1] ?? toValue(undefined));
  loop.set("nextitem", items[index + 1] ?? toValue(undefined));
  return new ObjectValue(loop);
}

function setGlobals(environment: Environment, now: () => Date): void {
  for (const [name, value] of [
    ["true", true],
    ["false", false],
    ["none", null],
  ] as const) {
    environment.set(name, value);
    environment.set(name[0]!.toUpperCase() + name.slice(1), value);
  }
  environment.set("range", range);
  environment.set("strftime_now", (format: string) => strftime(now(), format));
}

function range(start: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  return Array.from(
    { length: Math.max(0, Math.ceil((to - from) / step)) },
    (_, index) => from + index * step,
  );
}

function toValue(value: unknown): Value {
  if (value instanceof PythonFloat) return new FloatValue(value.value);
  if (value === undefined) return new UndefinedValue(undefined);
  if (value === null) return new NullValue(null);
  if (typeof value === "string") return new StringValue(value);
  if (typeof value === "boolean") return new BooleanValue(value);
  if (typeof value === "bigint") return new IntegerValue(value);
  if (typeof value === "number") return new (Number.isInteger(value) ? IntegerValue : FloatValue)(value);
  if (Array.isArray(value)) return new ArrayValue(value.map(toValue));
  if (typeof value !== "object") return new FunctionValue(value);
  const entries = value instanceof Map ? [...(value as Map<string, unknown>)] : Object.entries(value);
  return new ObjectValue(new Map(entries.map(([key, item]) => [key, toValue(item)])));
}
