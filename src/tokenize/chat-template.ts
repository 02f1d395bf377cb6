/**
 * Chat templates, rendered as transformers renders them with Python's jinja2.
 *
 * Source: transformers `utils/chat_template_utils.py` (`_compile_jinja_template`: trim_blocks, lstrip_blocks,
 * loopcontrols, `raise_exception`, `strftime_now`, `tojson`).
 * @module
 */
import { KvBlockError } from "../errors.js";
import { detectContentFormat, walk } from "./content-format.js";
import { Environment, parseTemplate, type TemplateNode, toValue } from "./jinja.js";
import type { ContentFormat } from "./messages.js";
import { PythonInterpreter } from "./python-interpreter.js";
import { pythonStr } from "./python-values.js";
import { strftime } from "./strftime.js";

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

/** A compiled chat template. */
export class ChatTemplate {
  /** How it takes message content. */
  readonly contentFormat: ContentFormat;
  readonly #program: TemplateNode;
  readonly #printed = new Set<unknown>();

  /**
   * @param from - where it stands, for the message
   * @throws KvBlockError `ERR_KVBLOCK_TOKENIZE` for a syntax error
   */
  constructor(source: string, from: string) {
    try {
      this.#program = parseTemplate(source);
    } catch (cause) {
      throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", `${from}: the chat template does not parse`, { cause });
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
    try {
      for (const [name, value] of Object.entries(variables)) environment.setVariable(name, toValue(value));
      return pythonStr(
        new PythonInterpreter(environment, this.#printed).evaluate(this.#program, environment),
      );
    } catch (cause) {
      if (cause instanceof KvBlockError) throw cause;
      throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", "the chat template failed to render", { cause });
    }
  }
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
