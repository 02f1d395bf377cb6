/** Lost frames come back from the engine's replay socket, over real sockets. */
import { afterEach, describe, expect, it } from "vitest";
import { Publisher as EnginePublisher } from "../../examples/engine/publisher.js";
import { type Diagnostic, Indexer, type KvFrame } from "../../src/index.js";
import { removedFrame, storedFrame } from "../../src/testing.js";

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of cleanUp.splice(0).reverse()) await close();
});

const model = "model";
const pod = "pod";
const tokens = (first: number): number[] => Array.from({ length: 64 }, (_, i) => first + i);
const prompt = (first: number): number[] => [...tokens(first), 1];

/** An engine's sockets, its frames numbered by themselves. */
async function engine(bufferSteps = 100, replayDialect: "plain" | "topic" = "topic") {
  const publisher = await EnginePublisher.open({
    endpoint: "tcp://127.0.0.1:*",
    connect: false,
    replayEndpoint: "tcp://127.0.0.1:*",
    replayDialect,
    bufferSteps,
  });
  cleanUp.push(() => publisher.close());
  let at = 1;
  const publish = async ({ topic, payload }: KvFrame): Promise<void> => publisher.publish(topic, payload);
  const about = (first: number): Parameters<typeof storedFrame>[0] => ({
    pod,
    model,
    tokens: tokens(first),
    blockSize: 16,
    at: 1000 * at++,
  });
  return {
    publisher,
    store: (first: number) => publish(storedFrame(about(first))),
    remove: (first: number) => publish(removedFrame(about(first))),
  };
}

async function follow(options: Parameters<Indexer["subscribe"]>[0]) {
  const diagnostics: Diagnostic[] = [];
  const indexer = await Indexer.create({ onDiagnostic: (one) => diagnostics.push(one) });
  cleanUp.push(() => indexer.close());
  const subscription = await indexer.subscribe(options);
  await until(() => (subscription.transport?.connected ?? 0) > 0);
  return { indexer, diagnostics, subscription };
}

async function until(true_: () => boolean): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (true_()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("waited five seconds");
}

const blocksOf = (indexer: Indexer, first: number): number =>
  indexer.scoreTokens(prompt(first), { model }).get(pod)?.blocks ?? 0;

describe("replay", () => {
  it.each(["plain", "topic"] as const)(
    "shows a router that joined late all that was announced before (%s)",
    async (dialect) => {
      const { publisher, store, remove } = await engine(100, dialect);
      await store(1000);
      await store(2000);
      await remove(1000);
      const { indexer, diagnostics } = await follow({
        endpoint: publisher.endpoint,
        replayEndpoint: publisher.replayEndpoint!,
        pod,
        model,
      });
      await store(3000);
      await until(() => blocksOf(indexer, 3000) === 4);
      expect([1000, 2000, 3000].map((first) => blocksOf(indexer, first))).toEqual([0, 4, 4]);
      expect(indexer.pods()[0]).toMatchObject({ state: "live", complete: true, frames: 4 });
      expect(diagnostics).toEqual([]);
    },
  );

  it("leaves the past alone when only gaps are to be repaired", async () => {
    const { publisher, store } = await engine();
    await store(1000);
    const { indexer } = await follow({
      endpoint: publisher.endpoint,
      replayEndpoint: publisher.replayEndpoint!,
      replay: "gap-only",
    });
    await store(2000);
    await until(() => blocksOf(indexer, 2000) === 4);
    expect(blocksOf(indexer, 1000)).toBe(0);
    expect(indexer.pods()[0]).toMatchObject({ state: "live", complete: false });
  });

  it("says what the engine could not give back, and goes on with live events", async () => {
    const { publisher, store } = await engine(2);
    for (const first of [500, 1000, 2000, 3000]) await store(first);
    const { indexer, diagnostics } = await follow({
      endpoint: publisher.endpoint,
      replayEndpoint: publisher.replayEndpoint!,
    });
    // Whether asked at the connection or at the first live frame: the engine has its last two.
    await until(() => blocksOf(indexer, 3000) === 4);
    await store(4000);
    await until(() => blocksOf(indexer, 4000) === 4);
    expect([1000, 2000, 3000].map((first) => blocksOf(indexer, first))).toEqual([0, 4, 4]);
    expect(indexer.pods()[0]).toMatchObject({ complete: false });
    expect(diagnostics.map(({ code }) => code)).toContain("replay-incomplete");
    await store(5000);
    await until(() => blocksOf(indexer, 5000) === 4);
  });

  it("lets live events flow when the replay socket does not answer", async () => {
    const { publisher, store } = await engine();
    await store(1000);
    const { indexer, diagnostics } = await follow({
      endpoint: publisher.endpoint,
      replayEndpoint: "tcp://127.0.0.1:1",
      replayTimeoutMs: 100,
    });
    await store(2000);
    await until(() => blocksOf(indexer, 2000) === 4);
    expect(indexer.pods()[0]).toMatchObject({ state: "live", complete: false });
    expect(diagnostics.map(({ code }) => code)).toEqual(["replay-incomplete", "joined-late"]);
  });

  it("refuses replay endpoints that cannot be meant", async () => {
    const indexer = await Indexer.create({ onDiagnostic: null });
    cleanUp.push(() => indexer.close());
    const endpoint = "tcp://127.0.0.1:5557";
    for (const wrong of [
      { endpoint, replayEndpoint: ["tcp://127.0.0.1:1", "tcp://127.0.0.1:2"] },
      { endpoint, bind: true, replayEndpoint: "tcp://127.0.0.1:1" },
      { endpoint, replayEndpoint: "http://127.0.0.1" },
      { endpoint, replay: "always" as "full" },
    ])
      await expect(indexer.subscribe(wrong)).rejects.toThrow(/"replay/);
  });

  it("stops holding events as soon as it is closed", async () => {
    const { publisher, store } = await engine();
    await store(1000);
    const { indexer } = await follow({
      endpoint: publisher.endpoint,
      replayEndpoint: "tcp://127.0.0.1:1",
      replayTimeoutMs: 60_000,
    });
    await store(2000);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const started = performance.now();
    await indexer.close();
    expect(performance.now() - started).toBeLessThan(1000);
  });
});
