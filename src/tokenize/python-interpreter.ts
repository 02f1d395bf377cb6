/**
 * A template interpreter that does what Python's jinja2 does.
 *
 * `@huggingface/jinja` evaluates; where it departs in ways that real templates show, this interpreter follows Python:
 * printed values (`None`, `True`, dicts), `tojson`, `strip(characters)`, equality, a fresh scope per loop iteration,
 * output before `break` and `continue`, dict methods before keys of the same name. Source: jinja2 3.1 `runtime.py`,
 * `environment.py` (`getattr`), `filters.py`; transformers' `tojson`.
 * @module
 */
import { KvBlockError } from "../errors.js";
import {
  booleanValue,
  type Environment,
  Interpreter,
  integerValue,
  scopeIn,
  type TemplateNode,
  textValue,
  toValue,
  UNDEFINED,
  type Value,
} from "./jinja.js";
import { type DumpOptions, pythonDumps, pythonEquals, pythonStr, pythonStrip } from "./python-values.js";

/** `dict` attributes that jinja2 finds before a key of the same name. */
const DICT_METHODS = new Set(["items", "keys", "values", "get"]);

/** Type of a node that stands for a value. */
const KNOWN = "Known";

const STRIPS: readonly string[] = ["strip", "lstrip", "rstrip"];

/** `break` or `continue` on its way to the loop, with what its iteration printed before. */
class LoopControl {
  printed = "";
  readonly ends: boolean;

  constructor(ends: boolean) {
    this.ends = ends;
  }
}

/** Interprets one program; `printed` are its nodes whose value is output. */
export class PythonInterpreter extends Interpreter {
  readonly #printed: ReadonlySet<unknown>;

  constructor(environment: Environment, printed: ReadonlySet<unknown>) {
    super(environment);
    this.#printed = printed;
  }

  override evaluate(node: TemplateNode | undefined, environment: Environment): Value {
    const value = (node && this.#evaluateAsPython(node, environment)) ?? super.evaluate(node, environment);
    return value.type !== "StringValue" && this.#printed.has(node) ? textValue(pythonStr(value)) : value;
  }

  /** The value of a node whose meaning differs; undefined leaves it to the package. */
  #evaluateAsPython(node: TemplateNode, environment: Environment): Value | undefined {
    switch (node.type) {
      case "Program":
        return textValue(this.#block(node["body"], environment));
      case "If": {
        const holds = isTrue(this.#value(node["test"], environment));
        return textValue(this.#block(holds ? node["body"] : node["alternate"], environment));
      }
      case "For":
        return textValue(this.#loop(node, environment));
      case "Break":
      case "Continue":
        throw new LoopControl(node.type === "Break");
      case "Set":
        return this.#set(node, environment);
      case "StringLiteral":
        return textValue(node["value"] as string);
      case "IntegerLiteral":
        return integerValue(node["value"] as number);
      case "UnaryExpression":
        return (node["operator"] as { value: string }).value === "not"
          ? booleanValue(!isTrue(this.#value(node["argument"], environment)))
          : undefined;
      case "BinaryExpression":
        return this.#binary(node, environment);
      case "CallExpression":
        return this.#call(node, environment);
      case "FilterExpression":
        return this.#filter(node, environment);
      case "MemberExpression":
        return this.#member(node, environment);
      case KNOWN:
        return node["value"] as Value;
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
      const scope = scopeIn(outer);
      bind(node["loopvar"], item, scope);
      return isTrue(this.#value(condition, scope));
    });
    if (items.length === 0) return this.#block(node["defaultBlock"], outer);
    let out = "";
    for (const [index, item] of items.entries()) {
      const scope = scopeIn(outer);
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

  /** An assignment of one name; undefined for other targets. */
  #set(node: TemplateNode, environment: Environment): Value | undefined {
    const target = node["assignee"] as TemplateNode;
    if (target.type !== "Identifier" || !node["value"]) return undefined;
    environment.setVariable(target["value"] as string, this.#value(node["value"], environment));
    return UNDEFINED;
  }

  /** `object.name`; undefined for `object[expression]` and `object.0`. */
  #member(node: TemplateNode, environment: Environment): Value | undefined {
    const name = node["computed"] === true ? undefined : (node["property"] as TemplateNode)["value"];
    if (typeof name !== "string") return undefined;
    const object = this.#value(node["object"], environment);
    const { value: content, type } = object;
    if (!(content instanceof Map)) return object.builtins.get(name) ?? UNDEFINED;
    if (type === "ObjectValue" && DICT_METHODS.has(name)) return object.builtins.get(name);
    const item = (content as Map<string, Value>).get(name);
    if (item !== undefined) return item;
    // A dict's methods are made when they are asked for, all at once: not for each key that a message lacks.
    const isMethod = type !== "ObjectValue" || name === "dictsort";
    return (isMethod ? object.builtins.get(name) : undefined) ?? UNDEFINED;
  }

  #binary(node: TemplateNode, environment: Environment): Value {
    const operator = (node["operator"] as { value: string }).value;
    const left = this.#value(node["left"], environment);
    if (operator === "and") return isTrue(left) ? this.#value(node["right"], environment) : left;
    if (operator === "or") return isTrue(left) ? left : this.#value(node["right"], environment);
    const right = this.#value(node["right"], environment);
    if (operator === "==" || operator === "!=")
      return booleanValue(pythonEquals(left, right) === (operator === "=="));
    if (operator === "~") return textValue(pythonStr(left) + pythonStr(right));
    if (operator === "+" && left.type === "StringValue" && right.type === "StringValue")
      return textValue((left.value as string) + (right.value as string));
    // Not the operands' own nodes: evaluated twice at each level, a sum of n would take 2^n.
    const operands = { left: { type: KNOWN, value: left }, right: { type: KNOWN, value: right } };
    return super.evaluate({ ...node, ...operands }, environment);
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
    if (name === "string") return toValue(pythonStr(operand));
    return toValue(pythonDumps(operand, this.#dumpOptions(args, environment)));
  }

  #strip(text: Value, side: string, args: readonly TemplateNode[], environment: Environment): Value {
    const argument = args[0]?.type === "KeywordArgumentExpression" ? args[0]["value"] : args[0];
    const characters = argument === undefined ? undefined : this.#value(argument, environment).value;
    return toValue(
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

/** `bool(value)`: what `__bool__` says, without making a value of the answer. */
function isTrue({ type, value }: Value): boolean {
  if (Array.isArray(value)) return value.length > 0;
  return value instanceof Map && type !== "NamespaceValue" ? value.size > 0 : Boolean(value);
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
  return toValue({
    index: index + 1,
    index0: index,
    revindex: left,
    revindex0: left - 1,
    length: items.length,
    first: index === 0,
    last: left === 1,
    previtem: items[index - 1],
    nextitem: items[index + 1],
  });
}
