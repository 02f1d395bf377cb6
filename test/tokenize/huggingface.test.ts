/**
 * Tokenizers from tokenizer.json, against the official Rust `tokenizers` and the quickstart's own token count.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createHuggingFaceTokenizer } from "kvblock/tokenize";
import { Tokenizer as RustTokenizer } from "tokenizers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Tokenizer } from "../../src/types.js";
import { seeded } from "../support/random.js";
import { BYTE_LEVEL, byteLevelJson, split } from "./byte-level-json.js";
import { QWEN3, qwen3Config } from "./qwen3.js";

const LOREM =
  "Lorem ipsum dolor sit amet, consectetur adipiscing elit. Sed do eiusmod tempor incididunt ut labore et dolore " +
  "magna aliqua. Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo " +
  "consequat. Duis aute irure dolor in reprehenderit in voluptate velit esse cillum dolore eu fugiat nulla pariatur. " +
  "Excepteur sint occaecat cupidatat non proident, sunt in culpa qui officia deserunt mollit anim id est laborum.";

const TEXTS = 800;

/** Pieces of every kind that requests hold; code points that old and new Unicode tables agree on. */
const PIECES: readonly string[] = [
  ..."the of and to in is that it was for on are with as his they be at one have this".split(" "),
  "don't",
  "I'LL",
  "we'Ve",
  "naïve",
  "Ångström",
  "e\u0301",
  "ﬁ",
  "Straße",
  "İstanbul",
  "function f(x) { return x ** 2; }",
  "    def g(self, *args):\n\t\tpass",
  "0x1F",
  "3.14159",
  "1234567890",
  "²³",
  "Ⅷ",
  "SELECT * FROM t;",
  "https://a.b/c?d=e#f",
  "->=>!==",
  "日本語の文章",
  "深度学习",
  "한국어",
  "العربية",
  "עברית",
  "हिन्दी",
  "ไทย",
  "Ελληνικά",
  "Русский",
  "👍",
  "👍🏽",
  "👩‍👩‍👧‍👦",
  "🇩🇪",
  "❤️",
  "<|im_start|>",
  "<|im_end|>",
  "<|endoftext|>",
  "<think>",
  "</think>",
  "<tool_call>",
  "<|im_start",
  "|>",
  "\u0000",
  "\u0007",
  "\u001b[0m",
  "\u007f",
  "\u0085",
  "\u200b",
  "\ufeff",
  "\u2028",
  " ",
  "  ",
  "\t",
  "\n",
  "\r\n",
  "\n\n\n",
  "\u00a0",
  "\u3000",
  "…",
  "—",
  "\"'`",
  "\\n",
];

function texts(): string[] {
  const random = seeded(192);
  const pick = (): string => PIECES[Math.floor(random() * PIECES.length)]!;
  return Array.from({ length: TEXTS }, () => {
    const separator = random() < 0.6 ? " " : "";
    return Array.from({ length: 1 + Math.floor(random() * 40) }, pick).join(separator);
  });
}

/** A tokenizer.json of single characters that puts `<s>` before and `</s>` behind a sequence. */
function characterTokenizer(): Record<string, unknown> {
  const vocab = Object.fromEntries([..."</s>abcdefghijklmnopqrstuvwxyz "].map((c, id) => [c, id + 2]));
  const special = (id: number, content: string): object => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  });
  const token = (id: string): object => ({ SpecialToken: { id, type_id: 0 } });
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [special(0, "<s>"), special(1, "</s>")],
    normalizer: null,
    pre_tokenizer: { type: "Split", pattern: { Regex: "" }, behavior: "Isolated", invert: false },
    post_processor: {
      type: "TemplateProcessing",
      single: [token("<s>"), { Sequence: { id: "A", type_id: 0 } }, token("</s>")],
      pair: [],
      special_tokens: {
        "<s>": { id: "<s>", ids: [0], tokens: ["<s>"] },
        "</s>": { id: "</s>", ids: [1], tokens: ["</s>"] },
      },
    },
    decoder: null,
    model: { type: "BPE", vocab: { "<s>": 0, "</s>": 1, ...vocab }, merges: [] },
  };
}

function sequence(...pretokenizers: object[]): object {
  return { type: "Sequence", pretokenizers };
}

function bert(token: string): object {
  return { type: "BertProcessing", sep: [token, 300], cls: [token, 300] };
}

let qwen3: Tokenizer;
beforeAll(async () => {
  qwen3 = await createHuggingFaceTokenizer(QWEN3);
});

describe("Qwen3's tokenizer", () => {
  it("gives the quickstart's 200-word prompt its 192 tokens", async () => {
    expect((await qwen3.encode(`${LOREM} ${LOREM}`, {})).length).toBe(192);
  });

  it(`gives ${TEXTS} texts of all kinds the ids of the Rust tokenizers`, async () => {
    const rust = RustTokenizer.fromFile(join(QWEN3, "tokenizer.json"));
    for (const text of texts()) {
      const expected = (await rust.encode(text)).getIds();
      expect([...(await qwen3.encode(text, {}))], JSON.stringify(text)).toEqual(expected);
    }
  });

  it("encodes a chat as the rendered text", async () => {
    const rust = RustTokenizer.fromFile(join(QWEN3, "tokenizer.json"));
    const text =
      "<|im_start|>system\nBe terse.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";
    const ids = await qwen3.encodeChat!(
      [
        { role: "system", content: "Be terse." },
        { role: "user", content: "Hi" },
      ],
      { templateArguments: { enable_thinking: false } },
    );
    expect([...ids]).toEqual((await rust.encode(text)).getIds());
  });

  it("is the same from a directory, from the path of tokenizer.json and from parsed files", async () => {
    const tokenizerJson = JSON.parse(readFileSync(join(QWEN3, "tokenizer.json"), "utf8")) as object;
    const chat = [{ role: "user", content: "Hi" }];
    const expected = await qwen3.encodeChat!(chat, {});
    for (const source of [
      join(QWEN3, "tokenizer.json"),
      { tokenizerJson, tokenizerConfig: qwen3Config() },
      { tokenizerJson, chatTemplate: qwen3Config().chat_template },
    ])
      expect(await (await createHuggingFaceTokenizer(source)).encodeChat!(chat, {})).toEqual(expected);
  });
});

describe("special tokens", () => {
  const template = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}";
  const source = {
    tokenizerJson: characterTokenizer(),
    tokenizerConfig: { bos_token: { content: "<s>" }, eos_token: "</s>", chat_template: template },
  };

  it("surround a prompt unless told otherwise, as in the Rust tokenizers", async () => {
    const tokenizer = await createHuggingFaceTokenizer(source);
    const rust = RustTokenizer.fromString(JSON.stringify(source.tokenizerJson));
    for (const addSpecialTokens of [true, false])
      expect([...(await tokenizer.encode("a cab", { addSpecialTokens }))]).toEqual(
        (await rust.encode("a cab", null, { addSpecialTokens })).getIds(),
      );
    expect((await tokenizer.encode("a", {}))[0]).toBe(0);
  });

  it("are written into a chat by the template only", async () => {
    const tokenizer = await createHuggingFaceTokenizer(source);
    const chat = [{ role: "user", content: "cab" }];
    const plain = [...(await tokenizer.encodeChat!(chat, {}))];
    expect(plain[0]).toBe(0);
    expect(plain).toEqual([...(await tokenizer.encode("<s>cab", { addSpecialTokens: false }))]);
    expect([...(await tokenizer.encodeChat!(chat, { addSpecialTokens: true }))]).toEqual([0, ...plain, 1]);
  });
});

describe("templates of a model directory", () => {
  const root = mkdtempSync(join(tmpdir(), "kvblock-tokenizer-"));
  afterAll(() => rmSync(root, { recursive: true }));

  function directory(name: string, files: Readonly<Record<string, unknown>>): string {
    const path = join(root, name);
    mkdirSync(join(path, "additional_chat_templates"), { recursive: true });
    writeFileSync(join(path, "tokenizer.json"), JSON.stringify(characterTokenizer()));
    for (const [file, content] of Object.entries(files))
      writeFileSync(
        join(path, file),
        typeof content === "string" || content instanceof Uint8Array ? content : JSON.stringify(content),
      );
    return path;
  }

  const tools = [{ type: "function", function: { name: "f" } }];
  const chat = [{ role: "user", content: "c" }];
  async function rendered(path: string, options: object = {}): Promise<Uint32Array> {
    return Uint32Array.from(await (await createHuggingFaceTokenizer(path)).encodeChat!(chat, options));
  }
  async function plain(path: string, text: string): Promise<Uint32Array> {
    const tokenizer = await createHuggingFaceTokenizer(path);
    return Uint32Array.from(await tokenizer.encode(text, { addSpecialTokens: false }));
  }

  it("a chat_template.jinja goes before every other", async () => {
    const path = directory("jinja", {
      "chat_template.jinja": "a",
      "chat_template.json": { chat_template: "b" },
      "tokenizer_config.json": { chat_template: "d" },
    });
    expect(await rendered(path)).toEqual(await plain(path, "a"));
  });

  it("a chat_template.json goes before the configuration's", async () => {
    const path = directory("json", {
      "chat_template.json": { chat_template: "b" },
      "tokenizer_config.json": { chat_template: "d" },
    });
    expect(await rendered(path)).toEqual(await plain(path, "b"));
  });

  it("a template named tool_use is taken when there are tools", async () => {
    const named = [
      { name: "default", template: "d" },
      { name: "tool_use", template: "t" },
      { name: "rag", template: "r" },
    ];
    const path = directory("named", { "tokenizer_config.json": { chat_template: named } });
    expect(await rendered(path)).toEqual(await plain(path, "d"));
    expect(await rendered(path, { tools })).toEqual(await plain(path, "t"));
    expect(await rendered(path, { chatTemplate: "rag" })).toEqual(await plain(path, "r"));
    expect(await rendered(path, { chatTemplate: "own {{ messages[0].content }}" })).toEqual(
      await plain(path, "own c"),
    );
  });

  it("additional templates are files of their own", async () => {
    const path = directory("additional", {
      "chat_template.jinja": "a",
      "additional_chat_templates/tool_use.jinja": "t",
    });
    expect(await rendered(path, { tools })).toEqual(await plain(path, "t"));
  });

  const model = byteLevelJson().model as object;
  const token = { id: 300, content: "<x>", special: true };
  const malformed = (
    [
      ["no vocabulary", { model: { ...model, vocab: undefined } }, "model.vocab"],
      ["a vocabulary of texts", { model: { ...model, vocab: { a: "1" } } }, 'model.vocab["a"]'],
      ["no merges", { model: { ...model, merges: undefined } }, "model.merges"],
      ["a merge of unknown tokens", { model: { ...model, merges: [["x", "yz"]] } }, "a merge names a token"],
      ["a merge of one token", { model: { ...model, merges: ["x"] } }, "a merge names a token"],
      ["added tokens in no list", { added_tokens: {} }, "added_tokens"],
      ["an added token without an id", { added_tokens: [{ ...token, id: undefined }] }, "added_tokens[0].id"],
      ["an added token without a text", { added_tokens: [{ id: 300 }] }, "added_tokens[0].content"],
      ["a normalizer in text", { normalizer: "NFC" }, '"normalizer"'],
      ["a broken pattern", { pre_tokenizer: sequence(split("(a"), BYTE_LEVEL) }, "cannot be built"],
      [
        "a pattern that matches nothing",
        { pre_tokenizer: sequence(split("a*"), BYTE_LEVEL) },
        "matches nothing",
      ],
      ["special tokens without ids", { post_processor: bert("<none>") }, "no tokens"],
    ] as const
  ).map(([what, fields, place]): [string, () => string, string] => [
    `a tokenizer.json with ${what}`,
    () => directory(what, { "tokenizer.json": byteLevelJson({ fields }) }),
    place,
  ]);

  it.each([
    ["a directory that does not exist", () => join(root, "nowhere"), "nowhere"],
    ["a directory without a tokenizer", () => mkdtempSync(join(root, "empty-")), "no tokenizer.json"],
    [
      "a tokenizer.json that is cut short",
      () => directory("cut", { "tokenizer.json": '{"model"' }),
      "tokenizer.json",
    ],
    ["a tokenizer.json that is a list", () => directory("list", { "tokenizer.json": [] }), "tokenizer.json"],
    ["a tokenizer.json without a model", () => directory("bare", { "tokenizer.json": {} }), '"model"'],
    [
      "a model of an unknown kind",
      () => directory("kind", { "tokenizer.json": { ...characterTokenizer(), model: { type: "?" } } }),
      "tokenizer.json",
    ],
    [
      "a broken configuration",
      () => directory("config", { "tokenizer_config.json": "{" }),
      "tokenizer_config.json",
    ],
    [
      "a template of a wrong type",
      () => directory("type", { "tokenizer_config.json": { chat_template: 5 } }),
      '"chat_template"',
    ],
    [
      "a tokenizer.json that is not UTF-8",
      () => directory("latin1", { "tokenizer.json": Buffer.from('{"a":"\u00e9"}', "latin1") }),
      "tokenizer.json is not UTF-8",
    ],
    [
      "a template that is not UTF-8",
      () => directory("latin1-jinja", { "chat_template.jinja": Buffer.of(0xff) }),
      "chat_template.jinja is not UTF-8",
    ],
    ...malformed,
    [
      "a chat_template.json without a template",
      () => directory("none", { "chat_template.json": {} }),
      "chat_template.json",
    ],
  ])("%s is a typed error that says where", async (_, make, place) => {
    await expect(createHuggingFaceTokenizer(make())).rejects.toMatchObject({
      code: "ERR_KVBLOCK_TOKENIZE",
      message: expect.stringContaining(place),
    });
  });

  it("a byte order mark is no part of a file", async () => {
    const path = directory("bom", { "chat_template.jinja": "\ufeffa" });
    expect(await rendered(path)).toEqual(await plain(path, "a"));
  });
});

describe("chat failures are typed", () => {
  const chat = [{ role: "user", content: "a" }];
  async function encodeChat(chatTemplate: string | undefined, options: object = {}): Promise<unknown> {
    const tokenizer = await createHuggingFaceTokenizer({
      tokenizerJson: characterTokenizer(),
      ...(chatTemplate !== undefined && { chatTemplate }),
    });
    return tokenizer.encodeChat!(chat, options);
  }

  it.each([
    ["no template", undefined, {}, "no chat template"],
    ["a syntax error", "{% if %}", {}, "chatTemplate (default): the chat template does not parse"],
    [
      "one in the request",
      "a",
      { chatTemplate: "{% if %}" },
      "the request's chatTemplate: the chat template",
    ],
    ["an unknown filter", "{{ messages | nonsense }}", {}, "failed to render"],
    ["a refusal in constant words", "{{ raise_exception('No, thanks') }}", {}, "No, thanks"],
    [
      "arguments nested without end",
      "a",
      { templateArguments: { deep: nested(100_000) } },
      "failed to render",
    ],
    ["nothing rendered", "{# #}", {}, "no text"],
    ["a date directive that is not known", "{{ strftime_now('%Q') }}", {}, "failed to render"],
    ["a template argument that the request sets", "a", { templateArguments: { tools: [] } }, '"tools"'],
    ["a last message that is not rendered", "a", { continueFinalMessage: true }, "continueFinalMessage"],
  ])("%s", async (_, template, options, words) => {
    await expect(encodeChat(template, options)).rejects.toMatchObject({
      code: "ERR_KVBLOCK_TOKENIZE",
      message: expect.stringContaining(words),
    });
  });

  function nested(depth: number): unknown {
    let value: unknown = [];
    for (let i = 0; i < depth; i++) value = [value];
    return value;
  }

  it("words of a refusal that a template computes are not repeated: they may quote the prompt", async () => {
    await expect(encodeChat("{{ raise_exception('Bad: ' + messages[0].content) }}")).rejects.toMatchObject({
      message: "the chat template refuses the conversation",
    });
  });

  it("templates that print the date use the given clock", async () => {
    const tokenizer = await createHuggingFaceTokenizer(
      {
        tokenizerJson: characterTokenizer(),
        chatTemplate: "{% if strftime_now('%d %b %Y, %-I %p') == '07 Mar 2026, 9 AM' %}a{% endif %}",
      },
      { now: () => new Date(2026, 2, 7, 9, 5) },
    );
    expect((await tokenizer.encodeChat!(chat, {})).length).toBe(1);
  });
});

describe("wrong arguments", () => {
  const image = [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:," } }] }];
  const chat = [{ role: "user", content: "a" }];

  it.each([
    ["a prompt that is no text", () => qwen3.encode(["a"] as never, {}), TypeError],
    ["an absent prompt", () => qwen3.encode(undefined as never, {}), TypeError],
    ["an empty prompt", () => qwen3.encode("", {}), RangeError],
    ["an unknown option of encode", () => qwen3.encode("a", { addSpecialToken: true } as never), TypeError],
    ["no messages", () => qwen3.encodeChat!([], {}), TypeError],
    ["messages that are no list", () => qwen3.encodeChat!("hi" as never, {}), TypeError],
    ["a message without a role", () => qwen3.encodeChat!([{ content: "a" } as never], {}), TypeError],
    [
      "a content that is a number",
      () => qwen3.encodeChat!([{ role: "user", content: 1 as never }], {}),
      TypeError,
    ],
    [
      "tool calls that are no list",
      () => qwen3.encodeChat!([{ role: "assistant", tool_calls: {} }], {}),
      TypeError,
    ],
    [
      "a tool call without a function",
      () => qwen3.encodeChat!([{ role: "assistant", tool_calls: [{}] }], {}),
      TypeError,
    ],
    [
      "a tool without a function",
      () => qwen3.encodeChat!(chat, { tools: [{ type: "function" }] }),
      TypeError,
    ],
    ["an unknown option of encodeChat", () => qwen3.encodeChat!(chat, { tool: [] } as never), TypeError],
    [
      "template arguments in a list",
      () => qwen3.encodeChat!(chat, { templateArguments: [] as never }),
      TypeError,
    ],
    ["an empty template", () => qwen3.encodeChat!(chat, { chatTemplate: "" }), RangeError],
    [
      "both ways to end a chat",
      () => qwen3.encodeChat!(chat, { continueFinalMessage: true, addGenerationPrompt: true }),
      RangeError,
    ],
  ])("%s is the caller's mistake", (_, act, mistake) => {
    expect(act).toThrow(mistake);
  });

  it.each([
    ["a source that is a number", () => createHuggingFaceTokenizer(5 as never), TypeError],
    ["an empty path", () => createHuggingFaceTokenizer(""), RangeError],
    ["a source without tokenizerJson", () => createHuggingFaceTokenizer({} as never), TypeError],
    ["an unknown field of a source", () => createHuggingFaceTokenizer({ tokenizer: {} } as never), TypeError],
    [
      "a configuration in text",
      () => createHuggingFaceTokenizer({ tokenizerJson: {}, tokenizerConfig: "" as never }),
      TypeError,
    ],
    [
      "a clock that is a date",
      () => createHuggingFaceTokenizer(QWEN3, { now: new Date() as never }),
      TypeError,
    ],
    ["a negative memo", () => createHuggingFaceTokenizer(QWEN3, { memoBytes: -1 }), RangeError],
    [
      "a fast path in words",
      () => createHuggingFaceTokenizer(QWEN3, { fastPath: "yes" as never }),
      TypeError,
    ],
  ])("%s is the caller's mistake", async (_, act, mistake) => {
    await expect(act()).rejects.toThrow(mistake);
  });

  it("an image names the way to score it", () => {
    expect(() => qwen3.encodeChat!(image, {})).toThrow(
      expect.objectContaining({ code: "ERR_KVBLOCK_INPUT", message: expect.stringContaining("scoreTokens") }),
    );
  });

  it("an aborted signal stops before any work", () => {
    const signal = AbortSignal.abort();
    expect(() => qwen3.encode("a", { signal })).toThrow(expect.objectContaining({ name: "AbortError" }));
    expect(() => qwen3.encodeChat!(chat, { signal })).toThrow(
      expect.objectContaining({ name: "AbortError" }),
    );
  });

  it("a closed tokenizer says so", async () => {
    const tokenizer = await createHuggingFaceTokenizer({ tokenizerJson: characterTokenizer() });
    await tokenizer.close!();
    await tokenizer.close!();
    expect(() => tokenizer.encode("a", {})).toThrow(expect.objectContaining({ code: "ERR_KVBLOCK_CLOSED" }));
  });
});
