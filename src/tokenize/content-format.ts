/**
 * Whether a chat template takes message content as one text or as OpenAI's list of parts.
 *
 * A template that loops over the content of a message, directly or through variables assigned from `messages`, takes
 * parts. Source: vLLM `renderers/hf.py` (`_detect_content_format` and its helpers), over the syntax tree of
 * `@huggingface/jinja`.
 * @module
 */
import type { TemplateNode } from "./jinja.js";
import type { ContentFormat } from "./messages.js";

/** Format that a template asks for by what it loops over. */
export function detectContentFormat(program: TemplateNode): ContentFormat {
  const nodes = [...walk(program)];
  const loops = nodes.filter((node) => node.type === "For");
  const messageNames = new Set<string>();
  for (const source of aliases(nodes, "messages")) {
    for (const loop of loops) {
      const name = nameOf(loop["loopvar"]);
      if (name !== undefined && reads(iterated(loop), source)) messageNames.add(name);
    }
  }
  for (const name of messageNames)
    if (loops.some((loop) => reads(iterated(loop), name, "content"))) return "openai";
  return "string";
}

/** Every node below, and including, a root. */
export function* walk(root: unknown): Generator<TemplateNode> {
  if (root instanceof Map) {
    for (const [key, value] of root) {
      yield* walk(key);
      yield* walk(value);
    }
  } else if (Array.isArray(root)) {
    for (const item of root) yield* walk(item);
  } else if (isNode(root)) {
    yield root;
    for (const child of Object.values(root)) if (typeof child === "object") yield* walk(child);
  }
}

/** Names of a variable and of those that hold it or a part of it: `loop_messages = messages[1:]`. */
function aliases(nodes: readonly TemplateNode[], name: string): Set<string> {
  const names = new Set([name]);
  // A set grows while it is walked, so each new name is followed as well.
  for (const known of names)
    for (const node of nodes) {
      const target = node.type === "Set" ? nameOf(node["assignee"]) : undefined;
      if (target !== undefined && reads(node["value"], known)) names.add(target);
    }
  return names;
}

/** Whether an expression is a variable (or its field `key`), through filters, tests and slices. */
function reads(node: unknown, name: string, key?: string): boolean {
  if (!isNode(node)) return false;
  if (node.type === "FilterExpression" || node.type === "TestExpression")
    return reads(node["operand"], name, key);
  if (node.type === "MemberExpression") {
    const property = node["property"];
    if (isNode(property) && property.type === "SliceExpression") return reads(node["object"], name, key);
    if (key === undefined || !isNode(property) || nameOf(node["object"]) !== name) return false;
    return (
      property.type === (node["computed"] === true ? "StringLiteral" : "Identifier") &&
      property["value"] === key
    );
  }
  return key === undefined && nameOf(node) === name;
}

/** What a loop goes over, without its condition. */
function iterated(loop: TemplateNode): unknown {
  const iterable = loop["iterable"];
  return isNode(iterable) && iterable.type === "SelectExpression" ? iterable["lhs"] : iterable;
}

function nameOf(node: unknown): string | undefined {
  return isNode(node) && node.type === "Identifier" ? (node["value"] as string) : undefined;
}

function isNode(value: unknown): value is TemplateNode {
  return (
    typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string"
  );
}
