/** Where the gateway's tokens come from, and that they are the engine's whatever a body says of them. */
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Engine, startEngine } from "../../examples/engine/engine.js";
import { qwen3Directory } from "../../examples/engine/qwen3.js";
import { type EngineTokenizer, loadTokenizer } from "../../examples/engine/tokenizer.js";
import { checkConfig } from "../../examples/mini-gateway/config.js";
import { startGateway } from "../../examples/mini-gateway/gateway.js";
import { WORKER } from "../pool/pools.js";
import { INSTANT } from "./engine-support.js";
import { closeAll, closing, hears, serve, until } from "./gateway-support.js";

let engineTokenizer: EngineTokenizer;
beforeAll(async () => {
  engineTokenizer = await loadTokenizer(qwen3Directory());
});
afterEach(closeAll);

const model = "qwen";

interface Served {
  promptTokens: number;
  predictedCachedTokens: number;
  cachedTokens: number;
}

/** One engine, and a gateway whose tokenizer is as configured. */
async function routed(tokenizer: (engine: Engine) => unknown, config: object = {}) {
  const engine = closing(
    await startEngine({
      model,
      tokenizer: engineTokenizer,
      seed: "0",
      timing: INSTANT,
      maxModelLen: 65_536,
      maxBatchedTokens: 65_536,
    }),
  );
  const lines: string[] = [];
  const gateway = closing(
    await startGateway(
      checkConfig({
        port: 0,
        metricsPort: 0,
        models: { [model]: { tokenizer: tokenizer(engine) } },
        pods: [{ url: engine.url, events: engine.eventsEndpoint }],
        probeIntervalMs: 60_000,
        scoreTimeoutMs: 20_000,
        tokenizerTimeoutMs: 10_000,
        ...config,
      }),
      { write: (line) => lines.push(line), workerUrl: WORKER },
    ),
  );
  await hears(gateway, 1);
  const said = (message: string): Record<string, unknown>[] =>
    lines
      .filter((line) => line.includes(`  gateway  ${message} {`))
      .map((line) => JSON.parse(line.slice(line.indexOf("{"))));
  /** The second of two equal requests, once the first one's events are there. */
  const ask = async (path: string, body: object): Promise<Served> => {
    for (let i = 0; i < 2; i++) {
      const served = said("Served").length;
      const { frames } = gateway.indexer.stats();
      const response = await fetch(gateway.url + path, {
        method: "POST",
        body: JSON.stringify({ max_tokens: 1, ...body }),
      });
      expect(response.status, await response.text()).toBe(200);
      await until(() => said("Served").length > served, "the request to be logged");
      if (i === 0) await until(() => gateway.indexer.stats().frames > frames, "the prompt's events");
    }
    return said("Served").at(-1) as unknown as Served;
  };
  return { engine, gateway, ask, said, lines };
}

const LONG = "the quick brown fox jumps over the lazy dog. ".repeat(60);
const CHAT = [
  { role: "system", content: LONG },
  { role: "user", content: "Which animal?" },
];

/** What the gateway predicts is what the engine has. */
function expectExact({ promptTokens, predictedCachedTokens, cachedTokens }: Served): void {
  expect(cachedTokens).toBe(Math.floor((promptTokens - 1) / 16) * 16);
  expect(predictedCachedTokens).toBe(cachedTokens);
}

describe("tokens of a body are the engine's", () => {
  it("by threads: texts, token ids, lists, truncation, special tokens, the template's arguments, long prompts", async () => {
    const { ask, said, lines } = await routed(qwen3Directory, { tokenizerWorkers: 1 });
    const ids = Array.from({ length: 300 }, (_, i) => 1000 + i);
    for (const [path, body] of [
      ["/v1/completions", { prompt: LONG }],
      ["/v1/completions", { prompt: `a${LONG}`, add_special_tokens: false }],
      ["/v1/completions", { prompt: `b${LONG}`, truncate_prompt_tokens: 100 }],
      ["/v1/completions", { prompt: `c${LONG}`, truncate_prompt_tokens: 100, truncation_side: "right" }],
      ["/v1/completions", { prompt: ids }],
      ["/v1/completions", { prompt: [ids.map((id) => id + 500)] }],
      ["/v1/completions", { prompt: ids.map((id) => id + 900), truncate_prompt_tokens: 77 }],
      ["/v1/completions", { prompt: LONG.repeat(30) }],
      ["/v1/chat/completions", { messages: CHAT }],
      [
        "/v1/chat/completions",
        { messages: CHAT, chat_template_kwargs: { enable_thinking: false }, truncate_prompt_tokens: 90 },
      ],
      [
        "/v1/chat/completions",
        { messages: CHAT, tools: [{ type: "function", function: { name: "f", parameters: { x: 1.5 } } }] },
      ],
    ] as const) {
      const served = await ask(path, body);
      expectExact(served);
      expect(served.promptTokens).toBeGreaterThan(70);
    }
    // Two prompts in one body are counted together.
    const two = await ask("/v1/completions", { prompt: [`x ${LONG}`, `y ${LONG}`] });
    expect(two.predictedCachedTokens).toBe(two.cachedTokens);
    expect(two.cachedTokens).toBeGreaterThan(1000);
    expect(said("Scoring failed, routing by load")).toEqual([]);
    expect(lines.filter((line) => /workers-unavailable|token-count-mismatch/.test(line))).toEqual([]);
  }, 60_000);

  it("by asking the engine", async () => {
    const { ask, said } = await routed(({ url }) => url);
    expectExact(await ask("/v1/chat/completions", { messages: CHAT }));
    expectExact(await ask("/v1/completions", { prompt: LONG, truncate_prompt_tokens: 100 }));
    expect(said("Scoring failed, routing by load")).toEqual([]);
  }, 60_000);

  it("by the next in the list where the first fails, which the log says", async () => {
    const dead = await serve((_, response) => response.writeHead(503).end());
    const { ask, said } = await routed(() => [dead.url, qwen3Directory()], { tokenizerWorkers: 1 });
    expectExact(await ask("/v1/chat/completions", { messages: CHAT }));
    expect(said("Tokenizer failed, asking the next")).toMatchObject(
      Array(2).fill({ model, tokenizer: dead.url, error: expect.stringContaining("503") }),
    );
  }, 60_000);
});

describe("a gateway", () => {
  it("without scoring routes by load and tokenizes nothing", async () => {
    const { ask, said } = await routed(({ url }) => url, { scoring: false });
    expect(await ask("/v1/chat/completions", { messages: CHAT })).toMatchObject({
      reason: "load",
      predictedCachedTokens: 0,
    });
    expect(said("Got pod scores")).toEqual([]);
    expect(said("Scoring failed, routing by load")).toEqual([]);
  }, 60_000);

  it("whose threads cannot start tokenizes on its own, and says so", async () => {
    const lines: string[] = [];
    const gateway = closing(
      await startGateway(
        checkConfig({
          port: 0,
          metricsPort: null,
          models: { [model]: { tokenizer: qwen3Directory() } },
          pods: [{ url: "http://127.0.0.1:9", events: "tcp://127.0.0.1:1" }],
        }),
        { write: (line) => lines.push(line), workerUrl: new URL("./nowhere.mjs", import.meta.url) },
      ),
    );
    expect(lines.join("\n")).toContain("[workers-unavailable]");
    expect((await gateway.indexer.tokenizePrompt("hello", { model })).length).toBe(1);
  }, 60_000);
});
