/**
 * One model's chat rendering: which template, which variables, and how a final message is left open.
 *
 * Source: vLLM `renderers/hf.py` (`resolve_chat_template`, `safe_apply_chat_template`) and transformers
 * `apply_chat_template`, `render_jinja_template`.
 * @module
 */
import { checkName, checkOptions, KvBlockError, rangeMistake, typeMistake } from "../errors.js";
import type { ChatMessage, ChatOptions } from "../types.js";
import { BoundedCache } from "./bounded-cache.js";
import { ChatTemplate } from "./chat-template.js";
import { type TemplateMessage, templateMessages, templateTools } from "./messages.js";
import type { TokenizerFiles } from "./model-files.js";
import { pythonStrip } from "./python-values.js";

/** Compiled templates kept: a model's own and those that requests bring. vLLM keeps as many. */
const COMPILED_TEMPLATES = 32;

/** Marks the end of the message to continue; its last character shows whether the template trims. */
const CONTINUE_TAG = "CONTINUE_FINAL_MESSAGE_TAG ";

/** Variables that the renderer itself sets: transformers refuses them a second time. */
const RESERVED: readonly string[] = ["messages", "conversation", "tools", "chat_template", "tokenize"];

export const CHAT_OPTIONS: readonly string[] = [
  "tools",
  "documents",
  "addGenerationPrompt",
  "continueFinalMessage",
  "addSpecialTokens",
  "chatTemplate",
  "templateArguments",
  "signal",
];

export class ChatRenderer {
  readonly #templates: ReadonlyMap<string, string>;
  readonly #from: string;
  readonly #specialTokens: Readonly<Record<string, unknown>>;
  readonly #now: () => Date;
  readonly #compiled = new BoundedCache<string, ChatTemplate>({ maxEntries: COMPILED_TEMPLATES });

  constructor(
    { templates, templatesFrom }: Pick<TokenizerFiles, "templates" | "templatesFrom">,
    specialTokens: Readonly<Record<string, unknown>>,
    now: () => Date = () => new Date(),
  ) {
    this.#templates = templates;
    this.#from = templatesFrom;
    this.#specialTokens = specialTokens;
    this.#now = now;
  }

  /** The prompt text of a conversation. */
  render(messages: readonly ChatMessage[], options: ChatOptions): string {
    checkOptions("encodeChat", options, CHAT_OPTIONS);
    options.signal?.throwIfAborted();
    const { continueFinalMessage = false, addGenerationPrompt = !continueFinalMessage } = options;
    if (continueFinalMessage && addGenerationPrompt)
      throw rangeMistake("addGenerationPrompt", "false with continueFinalMessage", addGenerationPrompt);
    const tools = templateTools(options.tools);
    const template = this.#template(options.chatTemplate, tools !== null);
    const conversation = templateMessages(messages, template.contentFormat);
    const variables = {
      ...this.#specialTokens,
      ...templateArguments(options.templateArguments),
      messages: conversation,
      tools,
      documents: options.documents ?? options.templateArguments?.["documents"] ?? null,
      add_generation_prompt: addGenerationPrompt,
    };
    const text = continueFinalMessage
      ? this.#renderOpen(template, variables, conversation)
      : template.render(variables, this.#now);
    if (text === "") throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", "the chat template renders no text");
    return text;
  }

  /** A request's own template, else the tool-use template when there are tools, else the default one. */
  #template(requested: string | undefined, withTools: boolean): ChatTemplate {
    if (requested !== undefined && !this.#templates.has(requested))
      return this.#compile(checkName("chatTemplate", requested), "the request's chatTemplate");
    const name = requested ?? (withTools && this.#templates.has("tool_use") ? "tool_use" : "default");
    const source = this.#templates.get(name);
    if (source !== undefined) return this.#compile(source, `${this.#from} (${name})`);
    const names = [...this.#templates.keys()];
    throw new KvBlockError(
      "ERR_KVBLOCK_TOKENIZE",
      names.length === 0
        ? 'the model has no chat template: neither chat_template.jinja nor "chat_template" in tokenizer_config.json'
        : `the model has no default chat template; pass one of its own as chatTemplate: ${names.join(", ")}`,
    );
  }

  #compile(source: string, from: string): ChatTemplate {
    let template = this.#compiled.get(source);
    if (template === undefined) this.#compiled.set(source, (template = new ChatTemplate(source, from)));
    return template;
  }

  /** Render with a mark behind the last text, and cut there. */
  #renderOpen(
    template: ChatTemplate,
    variables: Readonly<Record<string, unknown>>,
    conversation: readonly TemplateMessage[],
  ): string {
    const last = conversation.at(-1)!;
    const { content } = last;
    const part = Array.isArray(content)
      ? (content as { text?: string }[]).findLast(({ text }) => text !== undefined)
      : undefined;
    const final = typeof content === "string" ? content : part?.text;
    if (final === undefined)
      throw new KvBlockError(
        "ERR_KVBLOCK_TOKENIZE",
        "continueFinalMessage: the last message has no text to continue",
      );
    if (part !== undefined) part.text = final + CONTINUE_TAG;
    else last["content"] = final + CONTINUE_TAG;
    const text = template.render(variables, this.#now);
    const end = text.lastIndexOf(CONTINUE_TAG.trimEnd());
    if (end === -1 || !text.includes(pythonStrip(final, "strip")))
      throw new KvBlockError(
        "ERR_KVBLOCK_TOKENIZE",
        "continueFinalMessage: the chat template does not render the last message whole",
      );
    const open = text.slice(0, end);
    return text.startsWith(CONTINUE_TAG, end) ? open : pythonStrip(open, "rstrip");
  }
}

function templateArguments(
  given: Readonly<Record<string, unknown>> | undefined,
): Readonly<Record<string, unknown>> {
  if (given === undefined) return {};
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw typeMistake("templateArguments", "an object", given);
  const reserved = Object.keys(given).find((name) => RESERVED.includes(name));
  if (reserved !== undefined)
    throw new KvBlockError(
      "ERR_KVBLOCK_TOKENIZE",
      `templateArguments: "${reserved}" is set by the request itself`,
    );
  return given;
}
