/** A gateway that starts after its engines, over real sockets: `pods[].replay` gives it what it missed. */
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Engine, EngineOptions } from "../../examples/engine/engine.js";
import { post, startByteEngine, utf8 } from "./engine-support.js";
import { closeAll, closing, complete, gatewayOf, hears, type TestGateway, until } from "./gateway-support.js";

afterEach(closeAll);

/** 40 tokens, ten blocks of four, of which the engine can reuse nine. */
const EARLY = "0123456789".repeat(4);
const LIVE = "a prompt that the gateway does hear of";

/** An engine that has computed one prompt before anybody listened. */
async function engineWithPast(options: Partial<EngineOptions> = {}): Promise<Engine> {
  const engine = closing(await startByteEngine(options));
  await compute(engine, EARLY);
  return engine;
}

async function compute(engine: Engine, prompt: string): Promise<void> {
  expect((await post(engine, "/v1/completions", { model: "base", prompt, max_tokens: 2 })).status).toBe(200);
}

/** A gateway that joins late and has heard one live event since. */
async function joinLate(engine: Engine, replay: string | undefined): Promise<TestGateway> {
  const test = await gatewayOf([{ url: engine.url, events: engine.eventsEndpoint, replay }]);
  const { gateway } = test;
  await hears(gateway, 1);
  // The prompts differ from their first block on: this one tells nothing of the early one.
  await compute(engine, LIVE);
  const isHeard = (): boolean =>
    gateway.indexer.scoreTokens(utf8(LIVE), { model: "base" }).best !== undefined;
  await until(isHeard, "the live event, and what was replayed before it");
  return test;
}

async function askEarly({ url, said }: TestGateway): Promise<Record<string, unknown>> {
  await (await complete(url, { model: "base", prompt: EARLY, max_tokens: 2 })).text();
  await until(() => said("Served").length === 1, "the request to be logged");
  return said("Served")[0];
}

describe("a gateway that joins late", () => {
  it.each(["plain", "topic"] as const)(
    "scores what was announced before it came, with a replay endpoint (%s)",
    async (replayDialect) => {
      const engine = await engineWithPast({ replayDialect });
      const test = await joinLate(engine, engine.replayEndpoint!);
      expect(await askEarly(test)).toMatchObject({
        reason: "score",
        predictedCachedTokens: 36,
        cachedTokens: 36,
      });
      expect(test.gateway.indexer.pods()[0]).toMatchObject({ complete: true, gaps: 0 });
      expect(test.gateway.indexer.diagnose()).toEqual([]);
    },
  );

  it("cannot without one, and says that it joined late", async () => {
    const engine = await engineWithPast();
    const test = await joinLate(engine, undefined);
    expect(await askEarly(test)).toMatchObject({
      reason: "load",
      predictedCachedTokens: 0,
      cachedTokens: 36,
    });
    expect(test.lines.join("\n")).toContain("[joined-late]");
  });

  it("is told where the engine's buffer no longer reaches back to the beginning", async () => {
    const engine = await engineWithPast({ bufferSteps: 1 });
    await compute(engine, "pushes the early prompt's event out of the buffer");
    // A buffer that begins with number 1 may be a publisher's that counts from there.
    await compute(engine, "and another one, so that it begins later");
    const test = await joinLate(engine, engine.replayEndpoint!);
    expect(await askEarly(test)).toMatchObject({
      reason: "load",
      predictedCachedTokens: 0,
      cachedTokens: 36,
    });
    // With the replay's end, which comes behind its frames.
    await vi.waitFor(() => expect(test.lines.join("\n")).toContain("[replay-incomplete]"));
  });
});
