/** A pooled tokenizer gives what the same tokenizer gives on the calling thread, whatever the order of answers. */
import type { ChatMessage, Tokenizer } from "kvblock";
import { createHuggingFaceTokenizer, scoreInputFromOpenAI } from "kvblock/tokenize";
import { beforeAll, describe, expect, it } from "vitest";
import { byteLevelJson } from "../tokenize/byte-level-json.js";
import { QWEN3, qwen3Config } from "../tokenize/qwen3.js";
import { poolOf, WORKER } from "./pools.js";

const ERRING = new URL("./erring-worker.mjs", import.meta.url);
const NOWHERE = new URL("./nowhere.mjs", import.meta.url);
/** The general implementation joins what it takes for unknown; here that is an ordinary letter. */
const DISPUTED = byteLevelJson({ model: { unk_token: "a", fuse_unk: true } });

let inline: Tokenizer;
beforeAll(async () => {
  inline = await createHuggingFaceTokenizer(QWEN3);
});

const texts = Array.from({ length: 40 }, (_, i) =>
  `${i}: the quick brown fox, ça va, 狐狸 🦊. `.repeat(1 + ((i * 7) % 40)),
);
const chat: ChatMessage[] = [
  { role: "system", content: "You are terse." },
  { role: "user", content: "Name a fox. ".repeat(30) },
];

describe("a pooled tokenizer", () => {
  it.each([
    ["two threads, never inline", { workers: 2, inlineBelow: 0 }],
    ["two threads, short prompts inline", { workers: 2, inlineBelow: 500 }],
    ["no thread", { workers: 0 }],
  ])("gives the tokens of the inline one, each to its own prompt: %s", async (_, options) => {
    const tokenizer = await (await poolOf(options)).tokenizer(QWEN3);
    const found = await Promise.all(texts.map((text) => tokenizer.encode(text, {})));
    for (const [i, text] of texts.entries()) expect(found[i]).toEqual(await inline.encode(text, {}));
    expect(await tokenizer.encodeChat(chat, {})).toEqual(await inline.encodeChat!(chat, {}));
    expect(await tokenizer.encode(texts[0]!, { addSpecialTokens: false })).toEqual(
      await inline.encode(texts[0]!, { addSpecialTokens: false }),
    );
  });

  it("keeps the numbers of tools as they were written, on their way to a thread", async () => {
    const body = JSON.stringify({
      messages: chat,
      tools: [
        { type: "function", function: { name: "f", parameters: { a: "FLOAT", b: "BIG", "10": 1, "2": 2 } } },
      ],
    })
      .replace('"FLOAT"', "1.0")
      .replace('"BIG"', "12345678901234567890");
    const input = scoreInputFromOpenAI(body);
    if (input.kind !== "chat") throw new Error("no chat");
    const tokenizer = await (await poolOf({ workers: 1 })).tokenizer(QWEN3);
    const plain = await inline.encodeChat!(JSON.parse(body).messages, { tools: JSON.parse(body).tools });
    const exact = await inline.encodeChat!(input.messages, input.options);
    expect(exact).not.toEqual(plain);
    expect(await tokenizer.encodeChat(input.messages, input.options)).toEqual(exact);
  });

  it("prints the date of the pool's clock", async () => {
    const template = "{{ strftime_now('%Y-%m-%d') }}";
    const source = {
      tokenizerJson: await tokenizerJson(),
      tokenizerConfig: qwen3Config(),
      chatTemplate: template,
    };
    let day = 1;
    const pool = await poolOf({ workers: 1 });
    const tokenizer = await pool.tokenizer(source, { now: () => new Date(2031, 4, day) });
    for (day = 3; day < 6; day++)
      expect(await tokenizer.encodeChat(chat, {})).toEqual(await inline.encode(`2031-05-0${day}`, {}));
  });

  it.each([
    ["the threads', where no copy is here", 0, WORKER, { tokenizerJson: DISPUTED }],
    ["the threads', where a copy is here", 1024, ERRING, QWEN3],
    ["the copy's here, without threads", 1024, NOWHERE, { tokenizerJson: DISPUTED }],
  ])("says that it is degraded, by the word that there is: %s", async (_, inlineBelow, workerUrl, source) => {
    const pool = await poolOf({ workers: 2, inlineBelow, workerUrl });
    expect((await pool.tokenizer(source)).degraded).toMatch("disagree on sample text");
  });

  it("loads OpenAI encodings too", async () => {
    const tokenizer = await (await poolOf({ workers: 1, inlineBelow: 0 })).tokenizer({
      encoding: "o200k_base",
    });
    expect(Array.from(await tokenizer.encode("hello world", {}))).toEqual([24912, 2375]);
    await expect(tokenizer.encodeChat(chat, {})).rejects.toMatchObject({ code: "ERR_KVBLOCK_TOKENIZE" });
  });

  it("throws what the tokenizer throws, of the same class and code", async () => {
    const pool = await poolOf({ workers: 1, inlineBelow: 0 });
    const tokenizer = await pool.tokenizer(QWEN3);
    await expect(tokenizer.encodeChat([{ role: 1 } as never], {})).rejects.toThrow(TypeError);
    await expect(
      tokenizer.encodeChat(chat, { addGenerationPrompt: true, continueFinalMessage: true }),
    ).rejects.toThrow(RangeError);
    await expect(tokenizer.encodeChat(chat, { chatTemplate: "{% if" })).rejects.toMatchObject({
      code: "ERR_KVBLOCK_TOKENIZE",
      message: "the request's chatTemplate: the chat template does not parse",
      cause: expect.objectContaining({ name: expect.any(String) }),
    });
    await expect(tokenizer.encodeChat(chat, { templateArguments: { f: () => 1 } })).rejects.toMatchObject({
      code: "ERR_KVBLOCK_INPUT",
    });
    await expect(tokenizer.encode("", {})).rejects.toThrow(RangeError);
    await expect(pool.tokenizer("/nowhere/at/all")).rejects.toMatchObject({ code: "ERR_KVBLOCK_TOKENIZE" });
    expect((await tokenizer.encode("still there", {})).length).toBeGreaterThan(0);
  });
});

async function tokenizerJson(): Promise<object> {
  const { readFile } = await import("node:fs/promises");
  return JSON.parse(await readFile(`${QWEN3}/tokenizer.json`, "utf8")) as object;
}
