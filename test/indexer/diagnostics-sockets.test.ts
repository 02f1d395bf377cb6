/** What stands about endpoints, over real sockets: told of each, and withdrawn when it ends. */
import { getEventListeners } from "node:events";
import type { Diagnostic, Indexer, KvFrame, SubscribeOptions, Subscription } from "kvblock";
import { describe, expect, it } from "vitest";
import zmq from "zeromq";
import { bindPublisher, closers, until } from "../events/sockets.js";
import { chain, exact, frame, indexerOf as newIndexer, stored } from "./frames.js";

const one = chain();
const hash = exact(one);

const numbered = (seq: number): Uint8Array => {
  const number = new Uint8Array(8);
  new DataView(number.buffer).setBigUint64(0, BigInt(seq));
  return number;
};

/** An engine that publishes the frame of any number, and replays those it is told to keep. */
async function engine(pod: string) {
  const [publisher, endpoint] = await bindPublisher();
  const router = new zmq.Router({ linger: 0 });
  await router.bind("tcp://127.0.0.1:0");
  closers.push(() => router.close());
  const kept: number[] = [];
  const payload = (seq: number, ts = 1000 + seq): Uint8Array =>
    frame([stored(one)], { pod, seq, ts }).payload;
  void (async () => {
    for await (const [identity, , start] of router) {
      const from = Number(start!.readBigUInt64BE());
      for (const seq of kept.filter((seq) => seq >= from))
        await router.send([identity!, "", numbered(seq), payload(seq)]);
      await router.send([identity!, "", new Uint8Array(8).fill(0xff), ""]);
    }
  })();
  return {
    endpoint,
    replayEndpoint: router.lastEndpoint!,
    kept,
    send: (seq: number, ts?: number) => publisher.send([`kv@${pod}@base`, numbered(seq), payload(seq, ts)]),
    sendRaw: (...parts: string[]) => publisher.send(parts),
  };
}

async function indexerOf(): Promise<{
  indexer: Indexer;
  told: Diagnostic[];
  follow: (options: SubscribeOptions) => Promise<Subscription>;
  standing: (code: string) => (string | undefined)[];
  often: (code: string) => number;
}> {
  const { indexer, told } = await newIndexer({ hash });
  closers.push(() => indexer.close());
  return {
    indexer,
    told,
    async follow(options) {
      const subscription = await indexer.subscribe(options);
      const all = subscription.endpoints.length;
      await until("connected", () => subscription.transport!.connected === all);
      await new Promise((resolve) => setTimeout(resolve, 50)); // until the publisher knows of the subscription
      return subscription;
    },
    standing: (code) =>
      indexer
        .diagnose()
        .filter((found) => found.code === code)
        .map(({ source }) => source),
    often: (code) => told.filter((found) => found.code === code).length,
  };
}

describe("replay-incomplete", () => {
  it("is told of each endpoint, and ends with a complete replay of it", async () => {
    const [a, b] = [await engine("a"), await engine("b")];
    const { follow, standing, often } = await indexerOf();
    for (const [i, { endpoint, replayEndpoint, kept, send }] of [a, b].entries()) {
      await follow({ endpoint, replayEndpoint });
      kept.push(4, 5);
      await send(5);
      await until("told", () => often("replay-incomplete") === i + 1);
    }
    expect(standing("replay-incomplete")).toEqual([a.endpoint, b.endpoint]);
    b.kept.push(6, 7, 8);
    await b.send(8);
    await until("complete", () => standing("replay-incomplete").length === 1);
    expect(standing("replay-incomplete")).toEqual([a.endpoint]);
  });

  it("ends when the engine's new life is seen from its first frame", async () => {
    const { endpoint, send } = await engine("a");
    const { indexer, follow, standing, often } = await indexerOf();
    await follow({ endpoint, replayEndpoint: "tcp://127.0.0.1:1", replayTimeoutMs: 50 });
    await send(5);
    await until("told", () => often("replay-incomplete") === 1);
    expect(standing("replay-incomplete")).toEqual([endpoint]);
    await send(0, 9000);
    await until("restarted", () => indexer.pods()[0]!.generation === 1);
    expect(standing("replay-incomplete")).toEqual([]);
  });

  it("is not told of a replay that ended because its subscription was closed", async () => {
    const { endpoint, send } = await engine("a");
    const { follow, often } = await indexerOf();
    const subscription = await follow({
      endpoint,
      replayEndpoint: "tcp://127.0.0.1:1",
      replayTimeoutMs: 60_000,
    });
    await send(5);
    await new Promise((resolve) => setTimeout(resolve, 200));
    await subscription.close();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(often("replay-incomplete")).toBe(0);
  });
});

describe("frame-rejected", () => {
  it("is told of each endpoint, and ends when the host gives the endpoint up", async () => {
    const [a, b] = [await engine("a"), await engine("b")];
    const { indexer, follow, standing, often } = await indexerOf();
    const subscriptions = [await follow({ endpoint: a.endpoint }), await follow({ endpoint: b.endpoint })];
    await a.sendRaw("only", "two");
    await b.sendRaw("only", "two");
    await until("told", () => often("frame-rejected") === 2);
    await subscriptions[0]!.close();
    await until("forgotten", () => standing("frame-rejected").length === 1);
    expect(standing("frame-rejected")).toEqual([b.endpoint]);
    await indexer.close();
    // What stood at the end can still be read.
    expect(standing("frame-rejected")).toEqual([b.endpoint]);
  });
});

describe("subscription-failed", () => {
  it("is told of each endpoint, and ends when all that it followed is followed again", async () => {
    const [a, b, c] = [await engine("a"), await engine("b"), await engine("c")];
    const { follow, standing, often } = await indexerOf();
    const fail = async (...endpoint: string[]): Promise<void> => {
      const { ended } = await follow({
        endpoint,
        onFrame: () => {
          throw new Error("the host's own mistake");
        },
      });
      await [a, b, c].find((engine) => engine.endpoint === endpoint[0])!.send(0);
      await expect(ended).rejects.toThrow("the host's own mistake");
    };
    await fail(a.endpoint, b.endpoint);
    await fail(c.endpoint);
    expect(often("subscription-failed")).toBe(2);
    expect(standing("subscription-failed")).toEqual([`${a.endpoint}, ${b.endpoint}`, c.endpoint]);
    await follow({ endpoint: c.endpoint });
    await follow({ endpoint: b.endpoint });
    expect(standing("subscription-failed")).toEqual([`${a.endpoint}, ${b.endpoint}`]);
    await follow({ endpoint: a.endpoint });
    expect(standing("subscription-failed")).toEqual([]);
  });
});

describe("the host's signal", () => {
  async function* sourceOf(...frames: KvFrame[]): AsyncGenerator<KvFrame> {
    yield* frames;
  }
  // biome-ignore lint/correctness/useYield: it fails before its first frame
  async function* failing(): AsyncGenerator<KvFrame> {
    throw new Error("gone");
  }

  it("keeps no listener of subscriptions that have ended, by themselves, by failure or closed", async () => {
    const { indexer } = await newIndexer({ hash });
    const { signal } = new AbortController();
    const listeners = (): number => getEventListeners(signal, "abort").length;
    for (let i = 0; i < 20; i++) {
      await (await indexer.subscribe({ source: sourceOf(frame([])), signal })).ended;
      await (await indexer.subscribe({ source: failing(), signal })).ended.catch(() => {});
      await (await indexer.subscribe({ source: sourceOf(), signal })).close();
    }
    expect(listeners()).toBe(0);
    await indexer.subscribe({ source: new ReadableStream<KvFrame>(), signal });
    expect(listeners()).toBe(1);
    await indexer.close();
    expect(listeners()).toBe(0);
  });
});
