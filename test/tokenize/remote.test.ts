/** The remote tokenizer, over HTTP on loopback: against the model engine, and against servers that misbehave. */
import type { ChatMessage, Tokenizer } from "kvblock";
import {
  createHuggingFaceTokenizer,
  createRemoteTokenizer,
  firstTokenizer,
  type RemoteTokenizerOptions,
  scoreInputFromOpenAI,
} from "kvblock/tokenize";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { type Engine, startEngine } from "../../examples/engine/engine.js";
import { loadTokenizer } from "../../examples/engine/tokenizer.js";
import { INSTANT } from "../examples/engine-support.js";
import { closeAll, serve } from "../examples/gateway-support.js";
import { QWEN3 } from "./qwen3.js";

let engine: Engine;
let local: Tokenizer;
beforeAll(async () => {
  local = await createHuggingFaceTokenizer(QWEN3);
  engine = await startEngine({ model: "qwen", tokenizer: await loadTokenizer(QWEN3), timing: INSTANT });
});
afterAll(async () => {
  await engine.close();
  await closeAll();
});

const chat: ChatMessage[] = [
  { role: "system", content: "You are terse." },
  { role: "user", content: [{ type: "text", text: "Name a fox. 🦊" }] },
  { role: "assistant", content: "Rey" },
];
const tools =
  '[{"type":"function","function":{"name":"f","parameters":{"a":1.0,"b":12345678901234567890,"c":1e-05,"10":1,"2":-0.0}}}]';

/** A server that counts what it is asked, and answers what it is told to. */
async function stub(answer: unknown, { status = 200, afterMs = 0 } = {}) {
  const asked: { path: string; body: unknown; headers: Record<string, unknown> }[] = [];
  let open = 0;
  let most = 0;
  const { url } = await serve(async (request, response) => {
    most = Math.max(most, ++open);
    response.on("close", () => open--);
    let text = "";
    for await (const chunk of request) text += chunk;
    asked.push({ path: request.url!, body: JSON.parse(text), headers: request.headers });
    if (afterMs > 0) await new Promise((resolve) => setTimeout(resolve, afterMs));
    response
      .writeHead(status, { "content-type": "application/json" })
      .end(typeof answer === "string" ? answer : JSON.stringify(answer));
  });
  return { url, asked, most: () => most };
}

function remoteOf(options: RemoteTokenizerOptions) {
  const remote = createRemoteTokenizer(options);
  onTestFinished(() => remote.close?.());
  return remote;
}

describe.each(["tokenize", "render"] as const)("over %s of the model engine", (endpoint) => {
  const remote = (): ReturnType<typeof createRemoteTokenizer> =>
    remoteOf({ url: engine.url, model: "qwen", endpoint, timeoutMs: 20_000 });

  it("a prompt has the engine's tokens", async () => {
    for (const text of ["hello", "ça va 狐狸 🦊", "<|im_start|>user\nx<|im_end|>", "\ud800"])
      expect(await remote().encode(text, {})).toEqual(await local.encode(text, {}));
  });

  it("a chat has the engine's tokens, with tools, a final message to continue, and the template's arguments", async () => {
    const input = scoreInputFromOpenAI(
      `{"messages":${JSON.stringify(chat.slice(0, 2))},"tools":${tools},"chat_template_kwargs":{"enable_thinking":false}}`,
    );
    if (input.kind !== "chat") throw new Error("no chat");
    for (const [messages, options] of [
      [chat.slice(0, 2), {}],
      [chat, { continueFinalMessage: true }],
      [chat, { addGenerationPrompt: false }],
      [input.messages, input.options],
      [
        chat,
        {
          chatTemplate: "{{ documents }}{{ x }}{{ messages[0].content }}",
          documents: [{ a: 1 }],
          templateArguments: { x: 5 },
        },
      ],
    ] as const) {
      expect(await remote().encodeChat(messages, options)).toEqual(
        await local.encodeChat!(messages, options),
      );
    }
  });

  it("what the engine refuses is a typed error", async () => {
    await expect(remote().encodeChat(chat, { chatTemplate: "{% if" })).rejects.toMatchObject({
      code: "ERR_KVBLOCK_REMOTE",
      message: expect.stringMatching(/answered 400 \(BadRequestError\)$/),
    });
    const unknown = remoteOf({ url: engine.url, model: "nobody", endpoint });
    await expect(unknown.encode("x", {})).rejects.toThrow("404");
  });
});

describe("what is sent", () => {
  const answer = { tokens: [1, 2, 3], count: 3, max_model_len: 10 };

  it("is what vLLM's /tokenize reads", async () => {
    const { url, asked } = await stub(answer);
    const remote = remoteOf({ url: `${url}/base`, headers: { authorization: "Bearer x" } });
    await remote.encode("text", { addSpecialTokens: false });
    const input = scoreInputFromOpenAI(`{"messages":[{"role":"user","content":"x"}],"tools":${tools}}`);
    await remote.encodeChat(chat.slice(0, 1), { ...input.options, templateArguments: {} });
    expect(asked).toMatchObject([
      { path: "/base/tokenize", body: { prompt: "text", add_special_tokens: false } },
      { path: "/base/tokenize" },
    ]);
    expect(asked[0]!.headers.authorization).toBe("Bearer x");
    expect(asked[1]!.body).toEqual({
      messages: chat.slice(0, 1),
      add_generation_prompt: true,
      continue_final_message: false,
      add_special_tokens: false,
      tools: JSON.parse(tools),
    });
  });

  it("keeps the spelling of numbers", async () => {
    let sent = "";
    const fetch: RemoteTokenizerOptions["fetch"] = async (_, { body }) => {
      sent = body;
      return new Response(JSON.stringify(answer));
    };
    const input = scoreInputFromOpenAI(`{"messages":[{"role":"user","content":"x"}],"tools":${tools}}`);
    await remoteOf({ url: "http://nowhere", fetch }).encodeChat(chat, input.options);
    expect(sent).toContain('"parameters":{"a":1.0,"b":12345678901234567890,"c":0.00001,"10":1,"2":-0.0}');
  });

  it("is asked once where the same was asked before", async () => {
    const { url, asked } = await stub(answer);
    const remote = remoteOf({ url });
    for (const text of ["a", "b", "a", "b"])
      expect(Array.from(await remote.encode(text, {}))).toEqual([1, 2, 3]);
    await remote.encode("a", { addSpecialTokens: false });
    expect(asked).toHaveLength(3);
    const forgetful = remoteOf({ url, cacheBytes: 0 });
    for (let i = 0; i < 2; i++) await forgetful.encode("a", {});
    expect(asked).toHaveLength(5);
  });

  it("keeps no more answers than it may", async () => {
    const { url, asked } = await stub(answer);
    const remote = remoteOf({ url, cacheBytes: 2000 });
    for (let round = 0; round < 2; round++) for (let i = 0; i < 20; i++) await remote.encode(`text ${i}`, {});
    expect(asked).toHaveLength(40);
  });

  it("is so many at once, and so many that wait", async () => {
    const { url, asked, most } = await stub(answer, { afterMs: 60 });
    const remote = remoteOf({ url, maxConcurrent: 2, maxQueued: 3 });
    const ends = await Promise.allSettled(Array.from({ length: 7 }, (_, i) => remote.encode(`${i}`, {})));
    expect(ends.map(({ status }) => status)).toEqual([...Array(5).fill("fulfilled"), "rejected", "rejected"]);
    expect(ends[6]).toMatchObject({ reason: { code: "ERR_KVBLOCK_BUSY" } });
    expect(asked).toHaveLength(5);
    expect(most()).toBe(2);
    expect((await remote.encode("after", {})).length).toBe(3);
  });
});

describe("what goes wrong", () => {
  it.each<[string, unknown, number, string]>([
    ["no tokens", { tokens: [], count: 0 }, 200, "without token ids"],
    ["tokens that are none", { tokens: [1, -1] }, 200, "without token ids"],
    ["another shape", { ids: [1] }, 200, "without token ids"],
    ["two rendered prompts", [{ token_ids: [1] }, { token_ids: [2] }], 200, "without token ids"],
    ["null", null, 200, "without token ids"],
    ["no JSON", "<html>", 200, "no JSON"],
    [
      "a failure",
      { error: { type: "InternalServerError", message: "of a secret" } },
      500,
      "answered 500 (InternalServerError)",
    ],
    ["a failure that is no JSON", "secret", 503, "answered 503"],
  ])(
    "%s is a typed error, which never shows the prompt or the answer",
    async (_, answer, status, message) => {
      const { url, asked } = await stub(answer, { status });
      const remote = remoteOf({ url });
      for (let i = 1; i <= 2; i++) {
        const error = await Promise.resolve(remote.encode("the secret prompt", {})).catch(
          (cause: unknown) => cause,
        );
        expect(error).toMatchObject({
          code: "ERR_KVBLOCK_REMOTE",
          message: expect.stringContaining(message),
        });
        expect(String(error)).not.toContain("secret");
        // A failure is not kept.
        expect(asked).toHaveLength(i);
      }
    },
  );

  it("nobody there", async () => {
    const { url, close } = await serve(() => {});
    await close();
    await expect(remoteOf({ url }).encode("x", {})).rejects.toMatchObject({ code: "ERR_KVBLOCK_REMOTE" });
  });

  it("an engine that takes too long, a caller that leaves, a tokenizer that is closed", async () => {
    const { url } = await stub({ tokens: [1] }, { afterMs: 3000 });
    await expect(remoteOf({ url, timeoutMs: 50 }).encode("x", {})).rejects.toMatchObject({
      code: "ERR_KVBLOCK_TIMEOUT",
    });
    const remote = remoteOf({ url });
    const leave = new AbortController();
    const left = expect(remote.encode("x", { signal: leave.signal })).rejects.toThrow("left");
    leave.abort(new Error("left"));
    await left;
    const open = expect(remote.encode("y", {})).rejects.toMatchObject({ code: "ERR_KVBLOCK_CLOSED" });
    void remote.close?.();
    await open;
    await expect(remote.encode("z", {})).rejects.toMatchObject({ code: "ERR_KVBLOCK_CLOSED" });
  });

  it.each([
    [{}, '"url" expected'],
    [{ url: "10.0.0.7:8000" }, '"url" expected http or https URL'],
    [{ url: "http://x", endpoint: "tokenise" }, "did you mean"],
    [{ url: "http://x", timeout: 5 }, "did you mean timeoutMs?"],
    [{ url: "http://x", maxConcurrent: 0 }, '"maxConcurrent" expected'],
    [{ url: "http://x", fetch: "fetch" }, '"fetch" expected'],
  ])("%j is refused", (options, message) => {
    expect(() => createRemoteTokenizer(options as never)).toThrow(message);
  });
});

describe("firstTokenizer", () => {
  const remote = (): Tokenizer => remoteOf({ url: "http://127.0.0.1:9", timeoutMs: 1000 });

  it("asks the next where one fails, and says so", async () => {
    const onFallback = vi.fn();
    const both = firstTokenizer([remote(), local], { onFallback });
    expect(await both.encode("hello", {})).toEqual(await local.encode("hello", {}));
    expect(await both.encodeChat(chat, {})).toEqual(await local.encodeChat!(chat, {}));
    expect(onFallback.mock.calls).toMatchObject([
      [{ code: "ERR_KVBLOCK_REMOTE" }, 0],
      [{ code: "ERR_KVBLOCK_REMOTE" }, 0],
    ]);
  });

  it("asks nobody else where the first answers", async () => {
    const second = { encode: vi.fn(() => [1]), encodeChat: vi.fn(() => [1]) };
    const both = firstTokenizer([local, second]);
    await both.encode("hello", {});
    await both.encodeChat(chat, {});
    expect([second.encode, second.encodeChat].map((spy) => spy.mock.calls.length)).toEqual([0, 0]);
  });

  it("passes over what renders no chats and what gives no tokens, and tells what failed where all do", async () => {
    const empty: Tokenizer = { encode: () => [], encodeChat: () => Promise.resolve([]) };
    expect(
      await firstTokenizer([{ encode: () => [1] }, empty, { ...empty, encodeChat: () => [7] }]).encodeChat(
        chat,
        {},
      ),
    ).toEqual([7]);
    await expect(firstTokenizer([empty, remote()]).encode("x", {})).rejects.toMatchObject({
      code: "ERR_KVBLOCK_TOKENIZE",
      cause: { errors: [{ code: "ERR_KVBLOCK_TOKENIZE" }, { code: "ERR_KVBLOCK_REMOTE" }] },
    });
    await expect(firstTokenizer([remote()]).encode("x", {})).rejects.toMatchObject({
      code: "ERR_KVBLOCK_REMOTE",
    });
  });

  it("ends with a caller's mistake and a caller that leaves", async () => {
    const second = { encode: vi.fn(() => [1]) };
    const both = firstTokenizer([local, second]);
    await expect(both.encode("", {})).rejects.toThrow(RangeError);
    await expect(both.encode("x", { signal: AbortSignal.abort(new Error("left")) })).rejects.toThrow("left");
    expect(second.encode).not.toHaveBeenCalled();
    expect(firstTokenizer([local, { ...second, degraded: "slow" }]).degraded).toBe("slow");
    expect(() => firstTokenizer([])).toThrow(RangeError);
    expect(() => firstTokenizer({} as never)).toThrow(TypeError);
  });
});
