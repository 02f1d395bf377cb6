/** Where the gateway sends requests, and what it says and counts about them. */
import type { Tokenizer } from "kvblock";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Engine, EngineOptions } from "../../examples/engine/engine.js";
import { byteTokenizer, startByteEngine } from "./engine-support.js";
import {
  closeAll,
  closing,
  complete,
  gatewayOf,
  hears,
  serve,
  type TestGateway,
  until,
  upstream,
} from "./gateway-support.js";

afterEach(closeAll);

/** 40 tokens, ten blocks of four. */
const PROMPT = "0123456789".repeat(4);
const BODY = { model: "base", prompt: PROMPT, max_tokens: 2 };

async function engine(options: Partial<EngineOptions> = {}): Promise<Engine> {
  return closing(await startByteEngine(options));
}

/** A gateway that follows the engines' events, connected. */
async function following(
  engines: readonly Engine[],
  config: object = {},
  tokenizer?: Tokenizer,
): Promise<TestGateway> {
  const pods = engines.map(({ url, eventsEndpoint }) => ({ url, events: eventsEndpoint }));
  const gateway = await gatewayOf(pods, config, tokenizer);
  await hears(gateway.gateway, engines.length);
  return gateway;
}

async function ask(
  { url, gateway, said }: TestGateway,
  body: object,
): Promise<{ pod: string; status: number }> {
  const served = said("Served").length;
  const frames = gateway.indexer.stats().frames;
  const response = await complete(url, body);
  await response.text();
  await until(() => said("Served").length > served, "the request to be logged");
  // Enough for an event over loopback to arrive, if the request made one.
  for (let turn = 0; turn < 50 && gateway.indexer.stats().frames === frames; turn++)
    await new Promise((resolve) => setTimeout(resolve, 2));
  return said("Served").at(-1);
}

const nameOf = ({ url }: Engine): string => new URL(url).host;

describe("scores", () => {
  it("parses a body once; where it gives nothing to score, once more for its model", async () => {
    const gateway = await following([await engine()]);
    const parse = vi.spyOn(JSON, "parse");
    const parsed = (body: object): number =>
      parse.mock.calls.filter(([text]) => text === JSON.stringify(body)).length;
    await ask(gateway, BODY);
    // The engine, which runs here too, parses it itself.
    expect(parsed(BODY)).toBe(1);
    const unscored = { ...BODY, prompt: [] };
    await ask(gateway, unscored);
    expect(parsed(unscored)).toBe(2);
    parse.mockRestore();
    expect(gateway.said("Got pod scores")).toHaveLength(1);
    expect(gateway.said("Scoring failed, routing by load")).toHaveLength(1);
  });

  it("sends a prompt back to the pod that has it, and logs the scores as llm-d does", async () => {
    const engines = [await engine(), await engine()];
    const gateway = await following(engines);
    const first = await ask(gateway, BODY);
    expect(first).toMatchObject({ pod: nameOf(engines[0]!), reason: "load" });
    await ask(gateway, { ...BODY, prompt: "something else entirely" });
    const second = await ask(gateway, BODY);
    // 40 tokens are ten blocks; the engine computes the last token again.
    expect(second).toMatchObject({
      pod: first.pod,
      reason: "score",
      promptTokens: 40,
      predictedCachedTokens: 36,
      cachedTokens: 36,
    });
    const scored = gateway.lines.filter((line) => line.includes("Got pod scores"));
    const id = gateway.said("Got pod scores").map((fields) => fields["x-request-id"]);
    expect(scored.map((line) => line.replace(/^\S+Z {2}/, ""))).toEqual([
      `INFO  gateway  Got pod scores {"x-request-id": "${id[0]}", "model": "base", "resolvedTargetModel": "base", "scores": null}`,
      `INFO  gateway  Got pod scores {"x-request-id": "${id[1]}", "model": "base", "resolvedTargetModel": "base", "scores": null}`,
      `INFO  gateway  Got pod scores {"x-request-id": "${id[2]}", "model": "base", "resolvedTargetModel": "base", "scores": {"${first.pod}": 9}}`,
    ]);
  });

  it("compares its predictions with the engines' own counts, a zero that is left out included", async () => {
    const pod = await engine();
    const gateway = await following([pod]);
    for (let i = 0; i < 2; i++) await ask(gateway, BODY);
    expect(gateway.gateway.indexer.stats().accuracy).toEqual({
      observed: 1,
      exact: 1,
      overPredictedTokens: 0,
      underPredictedTokens: 0,
    });
    await ask(gateway, { ...BODY, prompt: "another prompt, which nobody has" });
    expect(gateway.gateway.indexer.stats().accuracy).toMatchObject({ observed: 2, exact: 2 });
  });

  it("reads the usage of streams", async () => {
    const gateway = await following([await engine()]);
    const body = { ...BODY, stream: true, stream_options: { include_usage: true } };
    for (let i = 0; i < 2; i++) await ask(gateway, body);
    expect(gateway.said("Served").at(-1)).toMatchObject({ promptTokens: 40, cachedTokens: 36 });
    expect(gateway.gateway.indexer.stats().accuracy).toMatchObject({ observed: 1, exact: 1 });
  });

  it("scores chats as the engine tokenizes them", async () => {
    const engines = [await engine(), await engine()];
    const gateway = await following(engines);
    const chat = { model: "base", messages: [{ role: "user", content: PROMPT }], max_tokens: 2 };
    const send = async (): Promise<void> => {
      const count = gateway.said("Served").length;
      const body = JSON.stringify(chat);
      await (await fetch(`${gateway.url}/v1/chat/completions`, { method: "POST", body })).text();
      await until(() => gateway.said("Served").length > count, "the request to be logged");
    };
    await send();
    await until(() => gateway.gateway.indexer.stats().admissions > 0, "events");
    await send();
    const [, second] = gateway.said("Served");
    expect(second.cachedTokens).toBeGreaterThan(0);
    expect(second).toMatchObject({ reason: "score", predictedCachedTokens: second.cachedTokens });
  });

  it("keeps salts apart as the engines do", async () => {
    const engines = [await engine(), await engine()];
    const gateway = await following(engines, {
      models: { base: { hash: { mode: "exact", algorithm: "sha256", seed: "0" } } },
    });
    await ask(gateway, { ...BODY, cache_salt: "a" });
    await ask(gateway, { ...BODY, cache_salt: "b" });
    const back = await ask(gateway, { ...BODY, cache_salt: "a" });
    expect(back).toMatchObject({ reason: "score", cachedTokens: 36, predictedCachedTokens: 36 });
    expect(gateway.said("Got pod scores").map(({ scores }) => scores)).toEqual([
      null,
      null,
      { [nameOf(engines[0]!)]: 9 },
    ]);
  });

  it("knows adapters and aliases, and asks the engine for the model that an alias means", async () => {
    const pod = await engine({ loras: ["adapter"] });
    const gateway = await following([pod], {
      models: { base: { aliases: ['nick "name"'], loras: ["adapter"] } },
    });
    await ask(gateway, BODY);
    const aliased = await ask(gateway, { ...BODY, model: 'nick "name"' });
    expect(aliased).toMatchObject({ status: 200, cachedTokens: 36, predictedCachedTokens: 36 });
    await ask(gateway, { ...BODY, model: "adapter" });
    const adapted = await ask(gateway, { ...BODY, model: "adapter" });
    expect(adapted).toMatchObject({ status: 200, cachedTokens: 36, predictedCachedTokens: 36 });
    expect(
      gateway.said("Got pod scores").map(({ model, resolvedTargetModel }) => [model, resolvedTargetModel]),
    ).toEqual([
      ["base", "base"],
      ['nick "name"', "base"],
      ["adapter", "adapter"],
      ["adapter", "adapter"],
    ]);
    const models = (await (await fetch(`${gateway.url}/v1/models`)).json()) as { data: { id: string }[] };
    expect(models.data.map(({ id }) => id)).toEqual(["base", "adapter", 'nick "name"']);
  });

  it("hears engines that connect to its own bound socket, told apart by their topics", async () => {
    const { port, close } = await serve(() => {});
    await close();
    const bindEvents = `tcp://127.0.0.1:${port}`;
    const engines = [
      await engine({ eventsEndpoint: bindEvents }),
      await engine({ eventsEndpoint: bindEvents }),
    ];
    const gateway = await gatewayOf(
      engines.map(({ url }) => ({ url })),
      { bindEvents },
    );
    await hears(gateway.gateway, 2);
    const first = await ask(gateway, BODY);
    await until(() => gateway.gateway.indexer.pods().length === 1, "its events");
    const second = await ask(gateway, BODY);
    expect(second).toMatchObject({ pod: first.pod, predictedCachedTokens: 36, cachedTokens: 36 });
    expect(gateway.gateway.indexer.pods()[0]!.pod).toBe(first.pod);
  });
});

describe("load", () => {
  it("goes elsewhere when the pod that has the prompt is too busy, and only then", async () => {
    const slow = { requestOverheadMs: 0, prefillTokensPerSecond: 1e9, decodeStepMs: 30 };
    const engines = [await engine({ timing: slow }), await engine({ timing: slow })];
    const gateway = await following(engines, { overloadMargin: 1 });
    const { pod } = await ask(gateway, BODY);
    const client = new AbortController();
    const long = { ...BODY, max_tokens: 300, stream: true };
    // The first two go to the pod that has the prompt: it may have one more than the other. The third may not.
    for (let i = 0; i < 2; i++) await complete(gateway.url, long, { signal: client.signal });
    const third = await ask(gateway, BODY);
    expect(third.pod).not.toBe(pod);
    client.abort();
    await until(() => gateway.said("Served").length === 4, "the long requests to end");
    expect(
      gateway
        .said("Served")
        .slice(2)
        .map((served) => served.pod),
    ).toEqual([pod, pod]);
  });

  it("spreads prompts that nobody has over the pods, the idle ones first", async () => {
    const held: (() => void)[] = [];
    const counts = [0, 0, 0];
    const pods = await Promise.all(
      counts.map((_, i) =>
        upstream((_, response) => {
          counts[i]!++;
          held.push(() => response.end("{}"));
        }),
      ),
    );
    const { url } = await gatewayOf(pods.map((pod) => ({ url: pod.url })));
    const answers = Array.from({ length: 6 }, (_, i) => complete(url, { ...BODY, prompt: `prompt ${i}` }));
    await until(() => held.length === 6, "all requests to arrive");
    expect(counts).toEqual([2, 2, 2]);
    for (const finish of held) finish();
    for (const answer of answers) await (await answer).text();
  });
});

describe("failing open", () => {
  it.each([
    [
      "throws",
      {
        encode: () => {
          throw new Error("no such merge");
        },
      },
      /failed/,
    ],
    ["is late", { encode: () => new Promise<number[]>(() => {}) }, /timeout/i],
  ] as const)("routes by load when the tokenizer %s", async (_, tokenizer, error) => {
    const pod = await engine();
    const gateway = await gatewayOf([{ url: pod.url }], { scoreTimeoutMs: 30 }, tokenizer as Tokenizer);
    const started = performance.now();
    expect(await ask(gateway, BODY)).toMatchObject({ status: 200, reason: "load" });
    expect(performance.now() - started).toBeLessThan(5000);
    expect(gateway.said("Scoring failed, routing by load")[0].error).toMatch(error);
    expect(gateway.said("Got pod scores")).toEqual([]);
  });

  it("leaves bodies that it cannot score to the engine's judgement", async () => {
    const gateway = await following([await engine()]);
    expect(await ask(gateway, { model: "base", max_tokens: 2 })).toMatchObject({ status: 400 });
    expect(gateway.said("Scoring failed, routing by load")).toHaveLength(1);
  });

  it("does not score what the engine computes anew whatever is cached", async () => {
    const gateway = await following([await engine()]);
    await ask(gateway, BODY);
    const served = await ask(gateway, { ...BODY, prompt_logprobs: 1 });
    expect(served).toMatchObject({ reason: "load", predictedCachedTokens: 0 });
    expect(gateway.said("Got pod scores")).toHaveLength(1);
  });

  it("serves on when an engine's events never come", async () => {
    const pod = await engine();
    const gateway = await gatewayOf([{ url: pod.url, events: "tcp://127.0.0.1:1" }], {}, byteTokenizer);
    expect(await ask(gateway, BODY)).toMatchObject({ status: 200, reason: "load" });
  });
});
