/** The engine's HTTP API, endpoint by endpoint over loopback. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Engine } from "../../examples/engine/engine.js";
import { decodeTokens } from "../../examples/engine/tokenizer.js";
import { byteTokenizer, END, post, START, startByteEngine, utf8 } from "./engine-support.js";

let engine: Engine;
beforeAll(async () => {
  engine = await startByteEngine({ loras: ["adapter"] });
});
afterAll(() => engine.close());

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
    const first = await post(engine, "/v1/completions", body, { "x-request-id": "mine" });
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
    const second = await post(engine, "/v1/completions", body);
    expect(second.body.id).toMatch(/^cmpl-[0-9a-f]{32}$/);
    expect(second.body.usage.prompt_tokens_details).toEqual({ cached_tokens: 8 });
  });

  it("takes token ids, several prompts and several answers each", async () => {
    const { body } = await post(engine, "/v1/completions", {
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
    const { body: whole } = await post(engine, "/v1/completions", body);
    expect(whole.choices[0]).toMatchObject({ text: "one, t", finish_reason: "stop", stop_reason: "wo" });
    const { data } = await events("/v1/completions", body);
    const chunks = data.slice(0, -1).map((line) => JSON.parse(line).choices[0]);
    expect(chunks.map(({ text }) => text).join("")).toBe("one, t");
    expect(chunks.at(-1)).toMatchObject({ finish_reason: "stop", stop_reason: "wo" });
  });

  it("keeps an adapter's, a salt's and the base model's blocks apart", async () => {
    const cached = async (extra: object): Promise<number> => {
      const { body } = await post(engine, "/v1/completions", {
        prompt: "salted prompt",
        max_tokens: 1,
        ...extra,
      });
      return body.usage.prompt_tokens_details?.cached_tokens ?? 0;
    };
    for (const extra of [{}, { model: "adapter" }, { cache_salt: "tenant" }]) {
      expect(await cached(extra)).toBe(0);
      expect(await cached(extra)).toBe(12);
    }
  });
});

describe("the prefix cache behind it", () => {
  const cachedTokens = async (of: Engine, body: object): Promise<number> => {
    const answer = await post(of, "/v1/completions", { max_tokens: 1, ...body });
    return answer.body.usage.prompt_tokens_details?.cached_tokens ?? 0;
  };

  it("is not read by a request for prompt logprobs", async () => {
    const prompt = "looked up or not";
    expect(await cachedTokens(engine, { prompt })).toBe(0);
    expect(await cachedTokens(engine, { prompt, prompt_logprobs: 1 })).toBe(0);
    expect(await cachedTokens(engine, { prompt })).toBe(12);
  });

  it("makes a prompt take the time of what is not cached", async () => {
    const timing = { requestOverheadMs: 0, prefillTokensPerSecond: 500, decodeStepMs: 0 };
    const slow = await startByteEngine({ timing });
    try {
      const prompt = "0123456789".repeat(39);
      const timed = async (): Promise<number> => {
        const start = performance.now();
        await cachedTokens(slow, { prompt });
        return performance.now() - start;
      };
      expect(await timed()).toBeGreaterThan(770); // 390 tokens
      expect(await timed()).toBeLessThan(600); // 2 tokens
    } finally {
      await slow.close();
    }
  });
});

describe("/v1/chat/completions", () => {
  const messages = [{ role: "user", content: "say this" }];

  it("gives the user message back and stops at the end of the turn", async () => {
    const { body } = await post(engine, "/v1/chat/completions", { model: "base", messages });
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
    expect((await post(engine, "/tokenize", { prompt: "hé" })).body).toEqual({
      count: 3,
      max_model_len: 400,
      tokens: [0x68, 0xc3, 0xa9],
      token_strs: null,
    });
    const chat = await post(engine, "/tokenize", { messages: [{ role: "user", content: "a" }] });
    expect(chat.body.tokens).toEqual([START, ...utf8("user\na"), END, 10, START, ...utf8("assistant\n")]);
    expect((await post(engine, "/detokenize", { tokens: [0x68, 0xc3, 0xa9, END] })).body).toEqual({
      prompt: "hé",
    });
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
    await post(engine, "/v1/completions", body);
    expect(engine.blocks.peek({ tokens: utf8(body.prompt) })).toBe(3);
    expect((await post(engine, "/reset_prefix_cache", "")).status).toBe(200);
    expect(engine.blocks.peek({ tokens: utf8(body.prompt) })).toBe(0);
  });
});

it("text of tokens leaves special ones out and joins split characters", () => {
  expect(decodeTokens(byteTokenizer, [START, 0xe2, 0x82, 0xac, END])).toBe("€");
});
