/** What the engine refuses, and what it does when blocks, clients or ports fail. */
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Engine } from "../../examples/engine/engine.js";
import { INSTANT, post, startByteEngine } from "./engine-support.js";

let engine: Engine;
beforeAll(async () => {
  engine = await startByteEngine();
});
afterAll(() => engine.close());

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
    [
      "a salt that has no UTF-8",
      "/v1/completions",
      { prompt: "a", cache_salt: "\ud800" },
      400,
      "BadRequestError",
      "lone surrogate",
    ],
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
    const answer = await post(engine, path, body);
    expect(answer.status).toBe(code);
    expect(answer.body.error).toMatchObject({ code, type, message: expect.stringContaining(message) });
    expect("param" in answer.body.error).toBe(true);
  });

  it("a body over the limit", async () => {
    const small = await startByteEngine({ bodyLimitBytes: 100 });
    try {
      const answer = await post(small, "/v1/completions", { prompt: "x".repeat(101) });
      expect(answer.status).toBe(413);
      expect(answer.body.error.message).toBe("The body is larger than 100 bytes.");
    } finally {
      await small.close();
    }
  });
});

describe("many requests at once", () => {
  it("all finish in a pool that holds one of them, by preemption, each with the text it has alone", async () => {
    const tight = await startByteEngine({ maxModelLen: 80, numBlocks: 21, maxBatchedTokens: 32 });
    try {
      const prompts = Array.from({ length: 6 }, (_, i) => `${i}${"abcdefg".slice(i)}`.repeat(4).slice(0, 30));
      const answers = await Promise.all(
        prompts.map((prompt) => post(tight, "/v1/completions", { prompt, max_tokens: 40 })),
      );
      for (const [index, { body }] of answers.entries()) {
        const alone = await post(tight, "/v1/completions", { prompt: prompts[index], max_tokens: 40 });
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
    const slow = await startByteEngine({ timing: { ...INSTANT, decodeStepMs: 10 } });
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
  const slow = await startByteEngine({ timing: { ...INSTANT, decodeStepMs: 20 } });
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
  await expect(startByteEngine({ port: Number(new URL(engine.url).port) })).rejects.toThrow("EADDRINUSE");
});

it("refuses a pool in which the longest request could never run", async () => {
  await expect(startByteEngine({ numBlocks: 100 })).rejects.toThrow('"numBlocks" expected integer >= 101');
});
