/**
 * OpenAI bodies: what vLLM's `CompletionRequest` and `ChatCompletionRequest` would make of them.
 */
import { type ScoreInput, scoreInputFromOpenAI, truncateTokens } from "kvblock/tokenize";
import { describe, expect, it } from "vitest";

const messages = [{ role: "user", content: "hi" }];

/** The input without what it has by default. */
function prompts(body: object): ScoreInput {
  return scoreInputFromOpenAI({ model: "m", ...body });
}

describe("a completions body", () => {
  it.each([
    ["a text", "hello", ["hello"]],
    ["several texts", ["a", "b"], ["a", "b"]],
    ["token ids", [1, 2, 0xffff_ffff], [[1, 2, 0xffff_ffff]]],
    ["lists of token ids", [[1], [2, 3]], [[1], [2, 3]]],
  ])("gives %s", (_, prompt, expected) => {
    expect(prompts({ prompt })).toEqual({
      kind: "prompts",
      model: "m",
      prompts: expected,
      options: { addSpecialTokens: true },
      readsPrefixCache: true,
    });
  });

  it("carries what decides the tokens and the hash", () => {
    expect(
      prompts({
        prompt: "a",
        add_special_tokens: false,
        cache_salt: "s",
        truncate_prompt_tokens: 7,
        truncation_side: "right",
      }),
    ).toMatchObject({
      options: { addSpecialTokens: false },
      cacheSalt: "s",
      truncation: { tokens: 7, side: "right" },
    });
  });

  it("leaves the model to the engine when it names none", () => {
    expect(scoreInputFromOpenAI({ prompt: "a" })).not.toHaveProperty("model");
  });

  it.each([
    [{ truncate_prompt_tokens: 5 }, { tokens: 5, side: "left" }],
    [{ truncate_prompt_tokens: 0 }, { tokens: 0, side: "left" }],
    [
      { truncate_prompt_tokens: 5, truncation_side: "left" },
      { tokens: 5, side: "left", cutsSpecialTokens: true },
    ],
    [
      { truncate_prompt_tokens: 5, truncation_side: "right" },
      { tokens: 5, side: "right", cutsSpecialTokens: true },
    ],
    [
      { truncate_prompt_tokens: 5, truncation_side: null },
      { tokens: 5, side: "left" },
    ],
    [{ truncate_prompt_tokens: -1 }, undefined],
    [{ truncate_prompt_tokens: null }, undefined],
  ])("%j is truncation %j", (fields, truncation) => {
    expect(prompts({ prompt: "a", ...fields }).truncation).toEqual(truncation);
  });
});

describe("a chat body", () => {
  it("has the defaults of the chat endpoint", () => {
    expect(scoreInputFromOpenAI({ model: "m", messages })).toEqual({
      kind: "chat",
      model: "m",
      messages,
      options: {
        addGenerationPrompt: true,
        continueFinalMessage: false,
        addSpecialTokens: false,
        templateArguments: {},
      },
      readsPrefixCache: true,
    });
  });

  it("carries all that the template is given", () => {
    const tools = [{ type: "function", function: { name: "f" } }];
    const documents = [{ title: "t", text: "d" }];
    expect(
      scoreInputFromOpenAI({
        messages,
        tools,
        tool_choice: "none",
        documents,
        add_generation_prompt: false,
        continue_final_message: true,
        add_special_tokens: true,
        chat_template: "x",
        chat_template_kwargs: { a: 1 },
        cache_salt: "s",
        truncate_prompt_tokens: 9,
      }),
    ).toMatchObject({
      options: {
        tools,
        documents,
        addGenerationPrompt: false,
        continueFinalMessage: true,
        addSpecialTokens: true,
        chatTemplate: "x",
        templateArguments: { a: 1 },
      },
      cacheSalt: "s",
      truncation: { tokens: 9, side: "left" },
    });
  });

  it("continues a final message without a generation prompt, asked for or not", () => {
    expect(scoreInputFromOpenAI({ messages, continue_final_message: true })).toMatchObject({
      options: { addGenerationPrompt: false },
    });
  });

  it.each([
    [{ reasoning_effort: "low" }, { enable_thinking: true, reasoning_effort: "low" }],
    [{ reasoning_effort: "none" }, { enable_thinking: false, reasoning_effort: "none" }],
    [
      { reasoning_effort: "low", chat_template_kwargs: { enable_thinking: false, reasoning_effort: "x" } },
      { enable_thinking: false, reasoning_effort: "low" },
    ],
    [{ reasoning_effort: null, chat_template_kwargs: null }, {}],
  ])("%j gives the template %j", (fields, templateArguments) => {
    expect(scoreInputFromOpenAI({ messages, ...fields })).toMatchObject({ options: { templateArguments } });
  });

  it("takes null for absent", () => {
    const body = {
      messages,
      tools: null,
      documents: null,
      chat_template: null,
      cache_salt: null,
      prompt: null,
    };
    expect(scoreInputFromOpenAI(body)).toEqual(scoreInputFromOpenAI({ messages }));
  });
});

describe("requests that read no cached block", () => {
  it.each([
    [{ prompt: "a", prompt_logprobs: 0 }, false],
    [{ prompt: "a", prompt_logprobs: null }, true],
    [{ prompt: "a", logprobs: 1 }, true],
    [{ prompt: "a", echo: true }, true],
    [{ prompt: "a", echo: true, logprobs: 1 }, false],
    [{ messages, prompt_logprobs: 5 }, false],
    [{ messages, logprobs: true, top_logprobs: 2 }, true],
    [{ messages, echo: true }, false],
    [{ messages, echo: true, top_logprobs: null }, true],
  ])("%j: readsPrefixCache %s", (body, reads) => {
    expect(scoreInputFromOpenAI(body).readsPrefixCache).toBe(reads);
  });
});

describe("a raw body", () => {
  const body = '{"messages":[{"role":"user","content":"héllo"}],"model":"m"}';

  it("is read from text and from bytes", () => {
    expect(scoreInputFromOpenAI(body)).toEqual(scoreInputFromOpenAI(JSON.parse(body)));
    expect(scoreInputFromOpenAI(new TextEncoder().encode(body))).toEqual(scoreInputFromOpenAI(body));
  });

  it.each([
    ["no JSON", "{"],
    ["bytes that are no UTF-8", Uint8Array.of(0x22, 0xff, 0x22)],
    ["a JSON text", '"prompt"'],
  ])("of %s is an input error", (_, raw) => {
    expect(() => scoreInputFromOpenAI(raw)).toThrow(expect.objectContaining({ code: "ERR_KVBLOCK_INPUT" }));
  });
});

describe("a body with nothing to score", () => {
  const part = (content: unknown): object => ({ messages: [{ role: "user", content: [content] }] });

  it.each([
    [undefined, "the body"],
    [null, "the body"],
    [[], "the body"],
    [{}, '"messages"'],
    [{ input: "a" }, '"prompt"'],
    [{ prompt: "" }, '"prompt"'],
    [{ prompt: [] }, '"prompt"'],
    [{ prompt: 5 }, '"prompt"'],
    [{ prompt: [""] }, '"prompt[0]"'],
    [{ prompt: ["a", 1] }, '"prompt[1]"'],
    [{ prompt: [1, "a"] }, '"prompt[1]"'],
    [{ prompt: [1, -1] }, '"prompt[1]"'],
    [{ prompt: [1.5] }, '"prompt[0]"'],
    [{ prompt: [2 ** 32] }, '"prompt[0]"'],
    [{ prompt: [[1], []] }, '"prompt[1]"'],
    [{ prompt: [[1], "a"] }, '"prompt[1]"'],
    [{ prompt: [[1, 2.5]] }, '"prompt[0][1]"'],
    [{ prompt: "a", prompt_embeds: "AAAA" }, "scoreTokens"],
    [{ prompt: "a", add_special_tokens: 1 }, '"add_special_tokens"'],
    [{ prompt: "a", model: 1 }, '"model"'],
    [{ prompt: "a", cache_salt: 5 }, '"cache_salt"'],
    [{ prompt: "a", truncate_prompt_tokens: 1.5 }, '"truncate_prompt_tokens"'],
    [{ prompt: "a", truncate_prompt_tokens: -2 }, '"truncate_prompt_tokens"'],
    [{ prompt: "a", truncate_prompt_tokens: 1, truncation_side: "top" }, '"truncation_side"'],
    [{ messages: [] }, '"messages"'],
    [{ messages: "hi" }, '"messages"'],
    [{ messages: ["hi"] }, "messages[0]"],
    [{ messages: [{ content: "hi" }] }, "messages[0]"],
    [{ messages: [{ role: "user", content: 5 }] }, "messages[0].content"],
    [{ messages, tools: {} }, '"tools"'],
    [{ messages, documents: "d" }, '"documents"'],
    [{ messages, chat_template: 5 }, '"chat_template"'],
    [{ messages, chat_template_kwargs: [] }, '"chat_template_kwargs"'],
    [{ messages, add_generation_prompt: "no" }, '"add_generation_prompt"'],
    [{ messages, add_generation_prompt: true, continue_final_message: true }, '"add_generation_prompt"'],
    [part({ type: "image_url", image_url: { url: "u" } }), "scoreTokens"],
    [part({ type: "input_audio", input_audio: {} }), "messages[0].content[0]"],
    [part({ image_url: "u" }), '"image_url"'],
    [part({ type: "text", text: 5 }), '"text"'],
    [part({ type: "thinking" }), '"thinking"'],
    [part({}), "no type"],
  ])("%j names %s", (body, place) => {
    expect(() => scoreInputFromOpenAI(body)).toThrow(
      expect.objectContaining({ code: "ERR_KVBLOCK_INPUT", message: expect.stringContaining(place) }),
    );
  });

  it("never repeats a prompt in its message", () => {
    for (const body of [
      { prompt: ["secret", 5] },
      { prompt: [5, "secret"] },
      { messages: "secret" },
      { messages: ["secret"] },
      { messages: [{ role: "user", content: [{ type: "text", text: { secret: 1 } }] }] },
      { messages, tools: "secret" },
      { prompt: { secret: 1 } },
    ])
      expect(() => scoreInputFromOpenAI(body)).toThrow(
        expect.objectContaining({ message: expect.not.stringContaining("secret") }),
      );
  });
});

describe("truncated tokens", () => {
  const tokens = Uint32Array.of(1, 2, 3, 4);

  it.each([
    [{ tokens: 2, side: "left" }, [3, 4]],
    [{ tokens: 2, side: "right" }, [1, 2]],
    [{ tokens: 0, side: "left" }, []],
    [{ tokens: 4, side: "left" }, [1, 2, 3, 4]],
    [{ tokens: 9, side: "right" }, [1, 2, 3, 4]],
    [undefined, [1, 2, 3, 4]],
  ] as const)("%j keeps %j", (truncation, kept) => {
    expect([...truncateTokens(tokens, truncation)]).toEqual(kept);
    expect([...truncateTokens([...tokens], truncation)]).toEqual(kept);
  });
});
