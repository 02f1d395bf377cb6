/**
 * OpenAI encodings: ids as published (openai/tiktoken's own tests and `tiktoken_ext/openai_public.py`).
 */
import { createTiktokenTokenizer } from "kvblock/tiktoken";
import { afterEach, describe, expect, it, vi } from "vitest";

afterEach(() => {
  vi.doUnmock("tiktoken");
  vi.resetModules();
});

describe("a tiktoken tokenizer", () => {
  it.each([
    ["gpt2", "hello world", [31373, 995]],
    ["cl100k_base", "hello world", [15339, 1917]],
    ["cl100k_base", "hello <|endoftext|>", [15339, 220, 100257]],
    ["o200k_base", "x<|endofprompt|>", [87, 200018]],
    ["o200k_harmony", "<|start|>x<|message|>", [200006, 87, 200008]],
    ["o200k_harmony", "<|startoftext|><|endoftext|><|call|>", [199998, 199999, 200012]],
    ["o200k_harmony", "<|reserved_200000|><|reserved_201087|>", [200000, 201087]],
    ["o200k_harmony", "<|endofprompt|><|reserved_200018|>", [200018, 200018]],
  ])("%s encodes %j", async (encoding, text, ids) => {
    const tokenizer = await createTiktokenTokenizer(encoding);
    expect([...(await tokenizer.encode(text, {}))]).toEqual(ids);
    await tokenizer.close!();
  });

  it("knows no reserved token under a name that harmony gave away", async () => {
    const tokenizer = await createTiktokenTokenizer("o200k_harmony");
    expect((await tokenizer.encode("<|reserved_200006|>", {})).length).toBeGreaterThan(1);
    await tokenizer.close!();
  });

  it("is closed once and for all", async () => {
    const tokenizer = await createTiktokenTokenizer("gpt2");
    await tokenizer.close!();
    await tokenizer.close!();
    expect(() => tokenizer.encode("a", {})).toThrow(expect.objectContaining({ code: "ERR_KVBLOCK_CLOSED" }));
  });

  it("refuses an unknown encoding with the nearest name", async () => {
    await expect(createTiktokenTokenizer("o200k-base")).rejects.toThrow(
      expect.objectContaining({
        name: "TypeError",
        message: expect.stringContaining('did you mean "o200k_base"'),
      }),
    );
  });

  it.each([
    ["no text", 5, TypeError],
    ["an empty text", "", RangeError],
  ])("refuses %s", async (_, text, mistake) => {
    const tokenizer = await createTiktokenTokenizer("gpt2");
    expect(() => tokenizer.encode(text as string, {})).toThrow(mistake);
    expect(() => tokenizer.encode("a", { special: true } as never)).toThrow(TypeError);
    await tokenizer.close!();
  });

  it("names the package to install when it is missing", async () => {
    vi.doMock("tiktoken", () => {
      throw new Error("Cannot find package 'tiktoken'");
    });
    const { createTiktokenTokenizer: create } = await import("../src/tiktoken.js");
    await expect(create("gpt2")).rejects.toMatchObject({
      code: "ERR_KVBLOCK_TOKENIZE",
      message: expect.stringContaining("npm i tiktoken"),
      cause: expect.anything(),
    });
  });
});
