/** Subscriptions over real ZeroMQ sockets on loopback: what the transport says reaches the scores. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Indexer, KvFrame, SubscribeOptions, Subscription } from "kvblock";
import { describe, expect, it } from "vitest";
import zmq from "zeromq";
import { bindPublisher, closers, until } from "../events/sockets.js";
import { chain, exact, frame, indexerOf, stored } from "./frames.js";

const one = chain();
const prompt = [...one.tokens, 1];
const hash = exact(one);

const parts = ({ topic, seq, payload }: KvFrame): [string, Uint8Array, Uint8Array] => {
  const number = new Uint8Array(8);
  new DataView(number.buffer).setBigUint64(0, seq);
  return [topic, number, payload];
};

async function subscribed(
  indexer: Indexer,
  options: SubscribeOptions,
  connections = 1,
): Promise<Subscription> {
  const subscription = await indexer.subscribe({ reconnectIntervalMs: 20, ...options });
  closers.push(() => subscription.close());
  await until("connected", () => subscription.transport!.connected === connections);
  await new Promise((resolve) => setTimeout(resolve, 50)); // until the publisher knows of the subscription
  return subscription;
}

describe("a connecting subscription", () => {
  it("an engine's frames become scores", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    const [publisher, endpoint] = await bindPublisher();
    const subscription = await subscribed(indexer, { endpoint });
    expect(subscription.endpoints).toEqual([endpoint]);
    await publisher.send(parts(frame([stored(one)])));
    await until("a match", () => indexer.scoreTokens(prompt, { model: "base" }).best?.blocks === 6);
    expect(codes()).toEqual([]);
    await subscription.close();
    await subscription.ended;
    expect(indexer.pods()[0]).toMatchObject({ state: "stale" });
  });

  it("a publisher that goes away is stale until it is heard again; the other stays live", async () => {
    const { indexer } = await indexerOf({ hash });
    const [publisher, endpoint] = await bindPublisher();
    const [other, otherEndpoint] = await bindPublisher();
    const subscription = await subscribed(indexer, { endpoint: [endpoint, otherEndpoint] }, 2);
    await publisher.send(parts(frame([stored(one)], { pod: "pod-a" })));
    await other.send(parts(frame([stored(one)], { pod: "pod-b" })));
    const states = (): string[] => indexer.pods().map(({ state }) => state);
    await until("both live", () => states().join() === "live,live");
    publisher.close();
    await until("one stale", () => states().join() === "stale,live");
    expect(indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")).toMatchObject({
      blocks: 6,
      state: "stale",
    });
    const [again] = await bindPublisher({}, endpoint);
    await until("connected again", () => subscription.transport?.reconnects === 1);
    // Nobody knows yet whose connection it is, nor what was missed.
    expect(states().join()).toBe("stale,live");
    await until("a new generation", () => {
      void again.send(parts(frame([stored(one, 0, 1)], { seq: 0, ts: 9000 })));
      return indexer.pods()[0]!.generation === 1;
    });
    expect(states().join()).toBe("live,live");
    expect(indexer.scoreTokens(prompt, { model: "base" }).toJSON()).toEqual({ "pod-b": 6, "pod-a": 1 });
  });

  it("an unusable message is counted and told", async () => {
    const { indexer, told } = await indexerOf({ hash });
    const [publisher, endpoint] = await bindPublisher();
    await subscribed(indexer, { endpoint });
    await publisher.send(["kv@pod@model", "only two parts"]);
    await until("told", () => told.length > 0);
    expect(told).toMatchObject([{ code: "frame-rejected", evidence: { source: endpoint } }]);
    expect(indexer.stats()).toMatchObject({ frames: 0, skips: { "malformed-message": 1 } });
  });

  it("an endpoint that cannot be opened is a typed error", async () => {
    const { indexer } = await indexerOf({ hash });
    const [, endpoint] = await bindPublisher();
    await expect(indexer.subscribe({ endpoint, bind: true })).rejects.toMatchObject({
      code: "ERR_KVBLOCK_SUBSCRIBE",
    });
  });
});

describe("a bound subscription", () => {
  it("hears all engines that connect to it; an empty topic there is told", async () => {
    const { indexer, told } = await indexerOf({ hash });
    const subscription = await indexer.subscribe({ endpoint: "tcp://127.0.0.1:0", bind: true });
    closers.push(() => subscription.close());
    const engines = ["pod-a", "pod-b", "nameless"].map(() => new zmq.Publisher({ linger: 0 }));
    for (const engine of engines) {
      closers.push(() => engine.close());
      engine.connect(subscription.endpoints[0]!);
    }
    await until("connected", () => subscription.transport!.connected === 3);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await engines[0]!.send(parts(frame([stored(one)], { pod: "pod-a" })));
    await engines[1]!.send(parts(frame([stored(one, 0, 3)], { pod: "pod-b" })));
    await engines[2]!.send(parts({ ...frame([stored(one)]), topic: "" }));
    await until("three frames", () => indexer.stats().frames === 3);
    expect(indexer.scoreTokens(prompt, { model: "base" }).toJSON()).toEqual({ "pod-a": 6, "pod-b": 3 });
    expect(told).toMatchObject([
      { code: "topic-unusable", evidence: { topic: "", source: subscription.endpoints[0] } },
    ]);
  });
});

it("closing the indexer leaves nothing that keeps the process alive", () => {
  const script = `
    import { Indexer } from "kvblock";
    const indexer = await Indexer.create();
    await indexer.subscribe({ endpoint: "tcp://127.0.0.1:9" });
    await indexer.subscribe({ endpoint: "tcp://127.0.0.1:0", bind: true });
    await indexer.close();
    console.log("closed");`;
  const { stdout, status, signal } = spawnSync(
    process.execPath,
    ["--import", "tsx", "--input-type=module", "--eval", script],
    { cwd: fileURLToPath(new URL("../..", import.meta.url)), timeout: 20_000, encoding: "utf8" },
  );
  expect({ stdout: stdout.trim(), status, signal }).toEqual({ stdout: "closed", status: 0, signal: null });
});
