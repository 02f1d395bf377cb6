/** The engine's HTTP API, step by step over loopback, with a tokenizer of one token per byte. */
import { setTimeout } from "node:timers/promises";
import type { ChatMessage } from "kvblock";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Engine, type EngineOptions, startEngine } from "../../examples/engine/engine.js";
import { decodeTokens, type EngineTokenizer } from "../../examples/engine/tokenizer.js";

const END = 256;
const START = 257;
const utf8 = (text: string): number[] => [...new TextEncoder().encode(text)];

const byteTokenizer: EngineTokenizer = {
  encode: (text) => utf8(text),
  encodeChat: (messages: readonly ChatMessage[]) => [
    ...messages.flatMap(({ role, content }) => [START, ...utf8(`${role}\n${content}`), END, ...utf8("\n")]),
    START,
    ...utf8("assistant\n"),
  ],
  tokenBytes: (token) => (token < END ? Uint8Array.of(token) : new Uint8Array(0)),
  isSpecial: (token) => token >= END,
};

const INSTANT = { requestOverheadMs: 0, prefillTokensPerSecond: Number.POSITIVE_INFINITY, decodeStepMs: 0 };

function start(options: Partial<EngineOptions> = {}): Promise<Engine> {
  return startEngine({
    model: "base",
    tokenizer: byteTokenizer,
    maxModelLen: 400,
    blockSize: 4,
    seed: "0",
    timing: INSTANT,
    ...options,
  });
}

let engine: Engine;
beforeAll(async () => {
  engine = await start({ loras: ["adapter"] });
});
afterAll(() => engine.close());

interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: JSON of any shape
  body: any;
}

async function post(
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
  of: Engine = engine,
): Promise<Answer> {
  const response = await fetch(of.url + path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text === "" ? null : JSON.parse(text) };
}

/** The `data:` lines of a stream. */
async function events(path: string, body: object): Promise<{ type: string | null; data: string[] }> {
  const response = await fetch(engine.url + path, {
    method: "POST",
    body: JSON.stringify({ ...body, stream: true }),
  });
  const text = await response.text();
  const parts = text.split("\n\n");
  expect(parts.pop()).toBe("");
  return {
    type: response.headers.get("content-type"),
    data: parts.map((part) => {
      expect(part.startsWith("data: ")).toBe(true);
      return part.slice(6);
    }),
  };
}

describe("/v1/models", () => {
  it("lists the base model and its adapters in vLLM's shape", async () => {
    const response = await fetch(`${engine.url}/v1/models`);
    expect(response.headers.get("content-type")).toBe("application/json");
    const created = expect.any(Number);
    const permission = [
      {
        id: expect.stringMatching(/^modelperm-[0-9a-f]{32}$/),
        object: "model_permission",
        created,
        allow_create_engine: false,
        allow_sampling: true,
        allow_logprobs: true,
        allow_search_indices: false,
        allow_view: true,
        allow_fine_tuning: false,
        organization: "*",
        group: null,
        is_blocking: false,
      },
    ];
    const card = { object: "model", created, owned_by: "vllm", permission };
    expect(await response.json()).toEqual({
      object: "list",
      data: [
        { ...card, id: "base", root: "base", parent: null, max_model_len: 400 },
        { ...card, id: "adapter", root: "adapter", parent: "base", max_model_len: null },
      ],
    });
  });
});

describe("/v1/completions", () => {
  it("answers in vLLM's shape, under the caller's request id, and reports what it reused the second time", async () => {
    const body = { model: "base", prompt: "abcdabcdabcd", max_tokens: 5 };
    const first = await post("/v1/completions", body, { "x-request-id": "mine" });
    expect(first.status).toBe(200);
    expect(first.body).toEqual({
      id: "cmpl-mine",
      object: "text_completion",
      created: expect.any(Number),
      model: "base",
      choices: [
        {
          index: 0,
          text: "abcda",
          logprobs: null,
          finish_reason: "length",
          stop_reason: null,
          token_ids: null,
          prompt_logprobs: null,
          prompt_token_ids: null,
        },
      ],
      service_tier: null,
      system_fingerprint: null,
      usage: { prompt_tokens: 12, total_tokens: 17, completion_tokens: 5, prompt_tokens_details: null },
      kv_transfer_params: null,
    });
    const second = await post("/v1/completions", body);
    expect(second.body.id).toMatch(/^cmpl-[0-9a-f]{32}$/);
    expect(second.body.usage.prompt_tokens_details).toEqual({ cached_tokens: 8 });
  });

  it("takes token ids, several prompts and several answers each", async () => {
    const { body } = await post("/v1/completions", {
      prompt: [utf8("xyxy"), utf8("zz")],
      n: 2,
      max_tokens: 2,
    });
    expect(body.choices.map(({ index, text }: { index: number; text: string }) => [index, text])).toEqual([
      [0, "xy"],
      [1, "xy"],
      [2, "zz"],
      [3, "zz"],
    ]);
    expect(body.usage).toMatchObject({ prompt_tokens: 6, completion_tokens: 8, total_tokens: 14 });
  });

  it("streams one event per piece of text, then the usage when asked, then [DONE]", async () => {
    const { type, data } = await events("/v1/completions", {
      prompt: "é-é-",
      max_tokens: 5,
      stream_options: { include_usage: true },
    });
    expect(type).toBe("text/event-stream; charset=utf-8");
    expect(data.pop()).toBe("[DONE]");
    const chunks = data.map((line) => JSON.parse(line));
    const usage = chunks.pop();
    expect(usage).toMatchObject({ choices: [], usage: { prompt_tokens: 6, completion_tokens: 5 } });
    // Half a character is held back until it is whole.
    expect(chunks.map((chunk) => chunk.choices[0].text)).toEqual(["é", "-", "é"]);
    expect(chunks.map((chunk) => chunk.choices[0].finish_reason)).toEqual([null, null, "length"]);
    expect(chunks[0]).toEqual({
      id: usage.id,
      object: "text_completion",
      created: expect.any(Number),
      model: "base",
      choices: [{ index: 0, text: "é", logprobs: null, finish_reason: null, stop_reason: null }],
      usage: null,
    });
  });

  it("ends at a stop string, which is left out and named", async () => {
    const body = { prompt: "one, two. one, two. ", max_tokens: 50, stop: ["wo", ". "] };
    const { body: whole } = await post("/v1/completions", body);
    expect(whole.choices[0]).toMatchObject({ text: "one, t", finish_reason: "stop", stop_reason: "wo" });
    const { data } = await events("/v1/completions", body);
    const chunks = data.slice(0, -1).map((line) => JSON.parse(line).choices[0]);
    expect(chunks.map(({ text }) => text).join("")).toBe("one, t");
    expect(chunks.at(-1)).toMatchObject({ finish_reason: "stop", stop_reason: "wo" });
  });

  it("keeps an adapter's, a salt's and the base model's blocks apart", async () => {
    const cached = async (extra: object): Promise<number> => {
      const { body } = await post("/v1/completions", { prompt: "salted prompt", max_tokens: 1, ...extra });
      return body.usage.prompt_tokens_details?.cached_tokens ?? 0;
    };
    for (const extra of [{}, { model: "adapter" }, { cache_salt: "tenant" }]) {
      expect(await cached(extra)).toBe(0);
      expect(await cached(extra)).toBe(12);
    }
  });
});

describe("/v1/chat/completions", () => {
  const messages = [{ role: "user", content: "say this" }];

  it("gives the user message back and stops at the end of the turn", async () => {
    const { body } = await post("/v1/chat/completions", { model: "base", messages });
    expect(body).toMatchObject({
      id: expect.stringMatching(/^chatcmpl-[0-9a-f]{32}$/),
      object: "chat.completion",
      model: "base",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: "say this", tool_calls: [] },
          logprobs: null,
          finish_reason: "stop",
          stop_reason: null,
        },
      ],
      usage: { prompt_tokens: 27, completion_tokens: 9 },
      prompt_logprobs: null,
      kv_transfer_params: null,
    });
  });

  it("streams the role first, then the text", async () => {
    const { data } = await events("/v1/chat/completions", { messages, max_completion_tokens: 3 });
    expect(data.pop()).toBe("[DONE]");
    const chunks = data.map((line) => JSON.parse(line));
    expect(chunks.map(({ object }) => object)).toEqual(Array(4).fill("chat.completion.chunk"));
    expect(chunks.map(({ choices }) => choices[0].delta)).toEqual([
      { role: "assistant", content: "" },
      { content: "s" },
      { content: "a" },
      { content: "y" },
    ]);
    expect(chunks.at(-1).choices[0].finish_reason).toBe("length");
  });
});

describe("/tokenize and /detokenize", () => {
  it("say what the engine computes on", async () => {
    expect((await post("/tokenize", { prompt: "hé" })).body).toEqual({
      count: 3,
      max_model_len: 400,
      tokens: [0x68, 0xc3, 0xa9],
      token_strs: null,
    });
    const chat = await post("/tokenize", { messages: [{ role: "user", content: "a" }] });
    expect(chat.body.tokens).toEqual([START, ...utf8("user\na"), END, 10, START, ...utf8("assistant\n")]);
    expect((await post("/detokenize", { tokens: [0x68, 0xc3, 0xa9, END] })).body).toEqual({ prompt: "hé" });
  });
});

describe("errors have vLLM's envelope", () => {
  it.each([
    [
      "an unknown model",
      "/v1/completions",
      { model: "other", prompt: "a" },
      404,
      "NotFoundError",
      "The model `other` does not exist.",
    ],
    [
      "a body that is not JSON",
      "/v1/completions",
      "{",
      400,
      "BadRequestError",
      "The body is not valid JSON.",
    ],
    [
      "a body that is not an object",
      "/v1/completions",
      "[]",
      400,
      "BadRequestError",
      "The body is not a JSON object.",
    ],
    [
      "a prompt that is too long",
      "/v1/completions",
      { prompt: "x".repeat(400) },
      400,
      "BadRequestError",
      "maximum context length is 400",
    ],
    [
      "more tokens than fit",
      "/v1/completions",
      { prompt: "x", max_tokens: 400 },
      400,
      "BadRequestError",
      "too large: 400",
    ],
    ["no prompt", "/v1/completions", {}, 400, "BadRequestError", "prompt"],
    ["an empty prompt", "/v1/completions", { prompt: "" }, 400, "BadRequestError", "prompt"],
    ["no messages", "/v1/chat/completions", { messages: [] }, 400, "BadRequestError", "messages"],
    [
      "no tokens wanted",
      "/v1/completions",
      { prompt: "a", max_tokens: 0 },
      400,
      "BadRequestError",
      "at least 1",
    ],
    [
      "stream options without a stream",
      "/v1/completions",
      { prompt: "a", stream_options: {} },
      400,
      "BadRequestError",
      "stream=True",
    ],
    [
      "what is not modelled",
      "/v1/completions",
      { prompt: "a", logprobs: 3 },
      400,
      "BadRequestError",
      "`logprobs` is not supported",
    ],
    [
      "an empty stop string",
      "/v1/completions",
      { prompt: "a", stop: [""] },
      400,
      "BadRequestError",
      "stop must be",
    ],
    ["an unknown path", "/v1/embeddings", {}, 404, "NotFoundError", "Not Found"],
    ["a wrong method", "/v1/models", {}, 405, "MethodNotAllowed", "Method Not Allowed"],
  ])("%s", async (_, path, body, code, type, message) => {
    const answer = await post(path, body);
    expect(answer.status).toBe(code);
    expect(answer.body.error).toMatchObject({ code, type, message: expect.stringContaining(message) });
    expect("param" in answer.body.error).toBe(true);
  });

  it("a body over the limit", async () => {
    const small = await start({ bodyLimitBytes: 100 });
    try {
      const answer = await post("/v1/completions", { prompt: "x".repeat(101) }, {}, small);
      expect(answer.status).toBe(413);
      expect(answer.body.error.message).toBe("The body is larger than 100 bytes.");
    } finally {
      await small.close();
    }
  });
});

describe("/health and /metrics", () => {
  it("answer, with the block size and the number of blocks as labels", async () => {
    expect((await fetch(`${engine.url}/health`)).status).toBe(200);
    const metrics = await (await fetch(`${engine.url}/metrics`)).text();
    expect(metrics).toMatch(/^vllm:cache_config_info\{block_size="4",.*num_gpu_blocks="201"\} 1$/m);
    expect(metrics).toMatch(/^vllm:num_requests_running\{engine="0",model_name="base"\} 0$/m);
    expect(Number(/^vllm:prefix_cache_hits_total\{.*\} (\d+)$/m.exec(metrics)![1])).toBeGreaterThan(0);
  });
});

describe("/reset_prefix_cache", () => {
  it("forgets every block of an idle engine", async () => {
    const body = { prompt: "to be forgotten", max_tokens: 1 };
    await post("/v1/completions", body);
    expect(engine.blocks.peek({ tokens: utf8(body.prompt) })).toBe(3);
    expect((await post("/reset_prefix_cache", "")).status).toBe(200);
    expect(engine.blocks.peek({ tokens: utf8(body.prompt) })).toBe(0);
  });
});

describe("many requests at once", () => {
  it("all finish in a pool that holds one of them, by preemption, each with the text it has alone", async () => {
    const tight = await start({ maxModelLen: 80, numBlocks: 21, maxBatchedTokens: 32 });
    try {
      const prompts = Array.from({ length: 6 }, (_, i) => `${i}${"abcdefg".slice(i)}`.repeat(4).slice(0, 30));
      const answers = await Promise.all(
        prompts.map((prompt) => post("/v1/completions", { prompt, max_tokens: 40 }, {}, tight)),
      );
      for (const [index, { body }] of answers.entries()) {
        const alone = await post("/v1/completions", { prompt: prompts[index], max_tokens: 40 }, {}, tight);
        expect(body.choices[0].text).toBe(alone.body.choices[0].text);
        expect(body.usage.completion_tokens).toBe(40);
      }
      expect(tight.blocks.pool.usedBlocks).toBe(0);
    } finally {
      await tight.close();
    }
  });
});

describe("a client that goes away", () => {
  it.each([true, false])("frees its blocks, stream: %s", async (stream) => {
    const slow = await start({ timing: { ...INSTANT, decodeStepMs: 10 } });
    try {
      const controller = new AbortController();
      const request = fetch(`${slow.url}/v1/completions`, {
        method: "POST",
        body: JSON.stringify({ prompt: "abcabc", max_tokens: 390, stream }),
        signal: controller.signal,
      });
      if (stream) await (await request).body!.getReader().read();
      while (slow.blocks.pool.usedBlocks === 0) await setTimeout(2);
      controller.abort();
      if (!stream) await expect(request).rejects.toThrow("aborted");
      const deadline = Date.now() + 2000;
      while (slow.blocks.pool.usedBlocks > 0 && Date.now() < deadline) await setTimeout(5);
      expect(slow.blocks.pool.usedBlocks).toBe(0);
    } finally {
      await slow.close();
    }
  });
});

it("closing an engine cuts a stream short instead of waiting for it", async () => {
  const slow = await start({ timing: { ...INSTANT, decodeStepMs: 20 } });
  const response = await fetch(`${slow.url}/v1/completions`, {
    method: "POST",
    body: JSON.stringify({ prompt: "abcabc", max_tokens: 390, stream: true }),
  });
  const reader = response.body!.getReader();
  await reader.read();
  await slow.close();
  await slow.close();
  await expect(
    (async () => {
      while (!(await reader.read()).done);
    })(),
  ).rejects.toThrow();
});

it("a busy port is an error, and the event sockets are closed again", async () => {
  await expect(start({ port: Number(new URL(engine.url).port) })).rejects.toThrow("EADDRINUSE");
});

it("refuses a pool in which the longest request could never run", async () => {
  await expect(start({ numBlocks: 100 })).rejects.toThrow('"numBlocks" expected integer >= 101');
});

it("text of tokens leaves special ones out and joins split characters", () => {
  expect(decodeTokens(byteTokenizer, [START, 0xe2, 0x82, 0xac, END])).toBe("€");
});
