/**
 * Chat renderings against Python's jinja2 under transformers' settings: test/vectors/chat/generate.py.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { ChatRenderer } from "../../src/tokenize/chat-renderer.js";
import { ChatTemplate } from "../../src/tokenize/chat-template.js";
import { scoreInputFromOpenAI } from "../../src/tokenize/openai.js";
import { modelDirectory } from "./models.js";

interface Renderings {
  formats: Record<string, string>;
  special_tokens: Record<string, string>;
  cases: { name: string; template: string; body: string; rendered?: string; error?: string }[];
}

const vectors = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`../vectors/chat/${name}`, import.meta.url)), "utf8");
const renderings = JSON.parse(vectors("renderings.json")) as Renderings;

/** The models' special tokens that their templates print. */
const SPECIAL: Record<string, Record<string, string>> = {
  qwen3: { eos_token: "<|im_end|>", pad_token: "<|endoftext|>" },
  llama3_1: { bos_token: "<|begin_of_text|>", eos_token: "<|eot_id|>" },
  deepseek_v3: { bos_token: "<｜begin▁of▁sentence｜>", eos_token: "<｜end▁of▁sentence｜>" },
};

const sources: Record<string, string> = {};
for (const model of Object.keys(SPECIAL)) {
  const config = readFileSync(`${modelDirectory(model)}/tokenizer_config.json`, "utf8");
  sources[model] = (JSON.parse(config) as { chat_template: string }).chat_template;
}
for (const name of ["parts", "python", "turns"]) sources[name] = vectors(`${name}.jinja`);

const renderers = Object.fromEntries(
  Object.entries(sources).map(([name, source]) => [
    name,
    new ChatRenderer(
      { templates: new Map([["default", source]]), templatesFrom: name },
      SPECIAL[name] ?? renderings.special_tokens,
    ),
  ]),
);

function render(template: string, body: string): string {
  const input = scoreInputFromOpenAI(body);
  if (input.kind !== "chat") throw new Error("not a chat");
  return renderers[template]!.render(input.messages, input.options);
}

describe("a chat is rendered as Python's jinja2 renders it", () => {
  for (const template of Object.keys(sources)) {
    const cases = renderings.cases.filter((row) => row.template === template);

    it(`has cases for the ${template} template`, () => {
      expect(cases.length).toBeGreaterThan(100);
    });

    it.each(cases.filter((row) => row.rendered !== undefined))(`${template}: $name`, ({ body, rendered }) => {
      expect(render(template, body)).toBe(rendered);
    });
  }

  const refused = renderings.cases.filter((row) => row.error !== undefined);

  it("has cases that the engine refuses", () => {
    expect(refused.length).toBeGreaterThan(30);
  });

  it.each(refused)("$template: $name is refused with a typed error", ({ template, body }) => {
    expect(() => render(template, body)).toThrow(expect.objectContaining({ code: "ERR_KVBLOCK_TOKENIZE" }));
  });
});

describe("the content format of a template", () => {
  it.each(Object.entries(sources))("of %s is what jinja2's syntax tree says", (name, source) => {
    expect(new ChatTemplate(source, name).contentFormat).toBe(renderings.formats[name]);
  });
});
