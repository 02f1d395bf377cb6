/**
 * Chat messages and tools as vLLM hands them to the chat template.
 *
 * vLLM does not pass a request's messages through: it rebuilds each with the fields it knows, joins or wraps the
 * content, and parses tool-call arguments. Source: vLLM `entrypoints/chat_utils.py`
 * (`_parse_chat_message_content`, `_postprocess_messages`), `chat_completion/protocol.py`
 * (`_normalize_messages_before`), `generate/base/protocol.py` (`FunctionDefinition`).
 * @module
 */
import { describe, KvBlockError, typeMistake } from "../errors.js";
import type { ChatMessage } from "../types.js";
import { parsePythonJson } from "./python-json.js";

/** How a template takes a message's content: one text, or OpenAI's list of parts. */
export type ContentFormat = "string" | "openai";

/** A message as the template sees it; the order of its keys is the engine's. */
export type TemplateMessage = Record<string, unknown>;

/** Part types that carry text under the key named here (`MM_PARSER_MAP`). */
const TEXT_KEYS: Readonly<Record<string, string>> = {
  text: "text",
  input_text: "text",
  output_text: "text",
  refusal: "refusal",
  thinking: "thinking",
  tool_reference: "name",
};

/** Keys that make a part media even without a `type`. */
const MEDIA_KEYS: readonly string[] = [
  "image_url",
  "image_pil",
  "image_embeds",
  "audio_url",
  "audio_embeds",
  "input_audio",
  "video_url",
  "prompt_embeds",
];

/**
 * The conversation that the template is rendered with.
 * @throws TypeError for what is no message; KvBlockError `ERR_KVBLOCK_INPUT` for parts that are no text
 */
export function templateMessages(messages: readonly ChatMessage[], format: ContentFormat): TemplateMessage[] {
  checkMessages(messages);
  return messages.map((message, index) => templateMessage(message, format, `messages[${index}]`));
}

/**
 * @throws TypeError unless it is a non-empty array of objects with a `role`
 */
function checkMessages(messages: unknown): asserts messages is readonly ChatMessage[] {
  if (!Array.isArray(messages) || messages.length === 0)
    throw typeMistake("messages", "a non-empty array of messages", messages);
  for (const [index, message] of (messages as unknown[]).entries()) {
    if (!isRecord(message)) throw typeMistake(`messages[${index}]`, "a message object", message);
    if (typeof message["role"] !== "string")
      throw typeMistake(`messages[${index}].role`, "string", message["role"]);
  }
}

/**
 * Tools as `ChatCompletionToolsParam.model_dump()` orders them: `type`, then `function` with `name`, `description` and
 * `parameters` (null where absent), then whatever else the client sent, in its order.
 */
export function templateTools(tools: readonly unknown[] | null | undefined): unknown[] | null {
  if (tools === undefined || tools === null) return null;
  if (!Array.isArray(tools)) throw typeMistake("tools", "an array of tools", tools);
  return (tools as unknown[]).map((tool, index) => {
    const definition = isRecord(tool) ? tool["function"] : undefined;
    if (!isRecord(tool) || !isRecord(definition) || typeof definition["name"] !== "string")
      throw typeMistake(`tools[${index}]`, "a tool with a function and its name", tool);
    const { type, function: _, ...further } = tool;
    const { name, description, parameters, ...extra } = definition;
    return {
      type: type ?? "function",
      function: { name, description: description ?? null, parameters: parameters ?? null, ...extra },
      ...further,
    };
  });
}

/**
 * Refuse content that is not all text.
 * @throws KvBlockError `ERR_KVBLOCK_INPUT` naming the part
 */
export function checkParts(content: unknown, where: string): void {
  if (content === undefined || content === null || typeof content === "string") return;
  if (!Array.isArray(content))
    throw new KvBlockError(
      "ERR_KVBLOCK_INPUT",
      `${where} expected string, parts or null, got ${describe(content)}`,
    );
  for (const [index, part] of (content as unknown[]).entries()) partText(part, `${where}[${index}]`);
}

/** The text of one content part; undefined when the engine skips it. */
function partText(part: unknown, where: string): string | undefined {
  if (typeof part === "string") return part;
  if (!isRecord(part)) throw typeMistake(where, "a content part", part);
  const type = part["type"];
  const key = typeof type === "string" ? TEXT_KEYS[type] : undefined;
  if (key === undefined) throw notText(part, where);
  const text = part[key];
  if (typeof text === "string") return text;
  if ((text === undefined || text === null) && (type === "text" || type === "refusal")) return undefined;
  throw new KvBlockError("ERR_KVBLOCK_INPUT", `${where}: "${key}" expected string, got ${describe(text)}`);
}

function notText(part: Record<string, unknown>, where: string): KvBlockError {
  const type = part["type"];
  const media = MEDIA_KEYS.find((key) => key in part);
  const kind =
    typeof type === "string" ? `type ${describe(type)}` : media === undefined ? "no type" : `"${media}"`;
  return new KvBlockError(
    "ERR_KVBLOCK_INPUT",
    `${where} is a part of ${kind}: only text can be tokenized here, since the model's processor decides how many ` +
      "placeholder tokens media take; give the engine's token ids and the multimodal items to scoreTokens",
  );
}

function templateMessage(message: ChatMessage, format: ContentFormat, where: string): TemplateMessage {
  const { role, name } = message;
  const rebuilt: TemplateMessage = { role, content: templateContent(message.content, format, where) };
  if (role === "assistant") {
    const calls = message["tool_calls"];
    if (calls !== undefined && calls !== null) {
      if (!Array.isArray(calls)) throw typeMistake(`${where}.tool_calls`, "an array of tool calls", calls);
      // An empty list is dropped, so that templates take the ordinary path.
      if (calls.length > 0)
        rebuilt["tool_calls"] = (calls as unknown[]).map((call, index) =>
          templateToolCall(call, `${where}.tool_calls[${index}]`),
        );
    }
    const reasoning = message["reasoning"] ?? message["reasoning_content"];
    if (reasoning !== undefined && reasoning !== null)
      Object.assign(rebuilt, { reasoning, reasoning_content: reasoning });
  } else if (role === "tool") {
    if ("tool_call_id" in message) rebuilt["tool_call_id"] = message["tool_call_id"];
    const content = rebuilt["content"];
    // Most templates only take a text here, so even an "openai" one gets a text unless parts refer to tools.
    if (Array.isArray(content) && (content as { type: string }[]).every((part) => part.type === "text"))
      rebuilt["content"] = (content as { text: string }[]).map((part) => part.text).join("\n");
  }
  if (typeof name === "string") rebuilt["name"] = name;
  if (typeof message["task"] === "string") rebuilt["task"] = message["task"];
  if (role === "developer") rebuilt["tools"] = message["tools"] ?? null;
  return rebuilt;
}

/** A text or its parts; `null` content is no part at all, which a "string" template sees as the empty text. */
function templateContent(content: unknown, format: ContentFormat, where: string): unknown {
  const parts =
    content === undefined || content === null ? [] : typeof content === "string" ? [content] : content;
  if (!Array.isArray(parts)) throw typeMistake(`${where}.content`, "string, parts or null", content);
  const rendered: unknown[] = [];
  for (const [index, part] of (parts as unknown[]).entries()) {
    const text = partText(part, `${where}.content[${index}]`);
    // vLLM drops the empty text of a "string" template too: it keeps what is truthy.
    if (text === undefined || (format === "string" && text === "")) continue;
    if (format === "string") rendered.push(text);
    else if (isRecord(part) && part["type"] === "tool_reference")
      rendered.push({ type: "tool_reference", name: text });
    else rendered.push({ type: "text", text });
  }
  return format === "string" ? rendered.join("\n") : rendered;
}

/** Arguments are JSON text on the wire and a dict for the template; what is no JSON becomes `{}`. */
function templateToolCall(call: unknown, where: string): unknown {
  const definition = isRecord(call) ? call["function"] : undefined;
  if (!isRecord(call) || !isRecord(definition)) throw typeMistake(where, "a tool call with a function", call);
  return { ...call, function: { ...definition, arguments: callArguments(definition["arguments"]) } };
}

function callArguments(value: unknown): unknown {
  if (typeof value !== "string") return typeof value === "object" && value !== null ? value : {};
  try {
    return parsePythonJson(value);
  } catch {
    return {};
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
