/** What a connection that is made, lost, half-open or made again says of an engine, over real sockets. */
import { createServer, connect as dial, type Socket } from "node:net";
import { type Diagnostic, Indexer, type KvFrame, type SubscribeOptions } from "kvblock";
import { storedFrame } from "kvblock/testing";
import { describe, expect, it } from "vitest";
import { Publisher, type ReplayDialect } from "../../examples/engine/publisher.js";
import { closers, until } from "../events/sockets.js";
import { portRun } from "../support/ports.js";

const pod = "pod";
const model = "model";
const tokens = (first: number): number[] => Array.from({ length: 64 }, (_, i) => first + i);
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Sockets at ports that another life's may not have given back yet: libzmq closes behind the scenes. */
async function opened(options: Parameters<typeof Publisher.open>[0]): Promise<Publisher> {
  for (let tries = 0; ; tries++) {
    try {
      return await Publisher.open(options);
    } catch (error) {
      if (tries === 100) throw error;
      await wait(20);
    }
  }
}

/** An engine process on two ports, whose batches' times say which life it is. */
async function engine(port: number, life = 1, options: { dialect?: ReplayDialect; topic?: string } = {}) {
  const publisher = await opened({
    endpoint: `tcp://127.0.0.1:${port}`,
    connect: false,
    replayEndpoint: `tcp://127.0.0.1:${port + 1}`,
    replayDialect: options.dialect ?? "topic",
    bufferSteps: 100,
  });
  closers.push(() => publisher.close());
  let at = 1_000_000 * life;
  return {
    close: () => publisher.close(),
    store(first: number): void {
      const frame: KvFrame = storedFrame({ pod, model, tokens: tokens(first), blockSize: 16, at: at++ });
      publisher.publish(options.topic ?? frame.topic, frame.payload);
    },
  };
}

async function follow(options: SubscribeOptions & { endpoint: string }) {
  const told: Diagnostic[] = [];
  const indexer = await Indexer.create({ onDiagnostic: (one) => told.push(one) });
  closers.push(() => indexer.close());
  const subscription = await indexer.subscribe({
    reconnectIntervalMs: 20,
    reconnectMaxIntervalMs: 100,
    ...options,
  });
  const isConnected = (): boolean => subscription.transport!.connected === 1;
  await until("connected", isConnected);
  return {
    indexer,
    told,
    subscription,
    isConnected,
    state: () => indexer.pods()[0]?.state,
    blocks: (first: number) => indexer.scoreTokens([...tokens(first), 1], { model }).get(pod)?.blocks ?? 0,
  };
}

const at = (port: number): string => `tcp://127.0.0.1:${port}`;

/** A tcp path to a port that can be cut, or go silent: what connects then is taken and never answered. */
async function pathTo(port: number) {
  const sockets = new Set<Socket>();
  let mode: "open" | "cut" | "silent" = "open";
  const server = createServer((near) => {
    sockets.add(near.on("error", () => {}));
    if (mode === "cut") return near.destroy();
    if (mode === "silent") return;
    const far = dial(port, "127.0.0.1");
    sockets.add(far.on("error", () => near.destroy()));
    near.on("data", (bytes) => mode === "open" && far.write(bytes)).on("close", () => far.destroy());
    far.on("data", (bytes) => mode === "open" && near.write(bytes)).on("close", () => near.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const reset = (): void => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  closers.push(() => {
    reset();
    server.close();
  });
  return {
    endpoint: at((server.address() as { port: number }).port),
    set(next: typeof mode, resets = next !== "silent"): void {
      mode = next;
      if (resets) reset();
    },
  };
}

describe("an idle engine", () => {
  it.each([
    ["that says the topic in its replays", { dialect: "topic" }, {}],
    ["that does not, of a pod and model that are given", { dialect: "plain", topic: "" }, { pod, model }],
  ] as const)("%s is known without any live frame", async (_name, how, given) => {
    const port = await portRun(2);
    const { store } = await engine(port, 1, how);
    for (const first of [1000, 2000]) store(first);
    const { indexer, told, blocks } = await follow({
      endpoint: at(port),
      replayEndpoint: at(port + 1),
      ...given,
    });
    await until("its history", () => blocks(1000) === 4 && blocks(2000) === 4);
    await until("the end of it", () => indexer.pods()[0]!.state === "live");
    expect(indexer.pods()).toMatchObject([{ complete: true, frames: 2, lastSeq: "1" }]);
    store(3000);
    await until("a live frame", () => blocks(3000) === 4);
    expect(indexer.pods()).toMatchObject([{ complete: true, frames: 3, duplicateFrames: 0 }]);
    expect(told).toEqual([]);
  });

  it("whose pod nobody can tell is known when its first live frame tells it", async () => {
    const port = await portRun(2);
    const { store } = await engine(port, 1, { dialect: "plain" });
    for (const first of [1000, 2000]) store(first);
    const { indexer, told, blocks } = await follow({ endpoint: at(port), replayEndpoint: at(port + 1) });
    await wait(300);
    expect(indexer.stats()).toMatchObject({ frames: 0, skips: {} });
    store(3000);
    await until("all of it", () => [1000, 2000, 3000].every((first) => blocks(first) === 4));
    expect(told).toEqual([]);
  });

  it.each<[string, Pick<SubscribeOptions, "topicFilter" | "replay">]>([
    ["whose topic is not wanted is not replayed either", { topicFilter: "kv@other" }],
    ["is let alone where only gaps are to be repaired", { replay: "gap-only" }],
  ])("%s", async (_what, options) => {
    const port = await portRun(2);
    const { store } = await engine(port);
    store(1000);
    const { indexer } = await follow({ endpoint: at(port), replayEndpoint: at(port + 1), ...options });
    await wait(300);
    expect(indexer.stats().frames).toBe(0);
  });

  it("that never answers holds live frames no longer than the time-out, and is told", async () => {
    const port = await portRun(2);
    const { store } = await engine(port);
    store(1000);
    const { told, blocks, indexer } = await follow({
      endpoint: at(port),
      replayEndpoint: "tcp://127.0.0.1:1",
      replayTimeoutMs: 300,
    });
    await wait(100); // until the publisher knows of the subscription
    const started = performance.now();
    store(2000);
    await until("the live frame", () => blocks(2000) === 4);
    expect(performance.now() - started).toBeLessThan(1500);
    store(3000);
    await until("the next", () => blocks(3000) === 4);
    expect(told.map(({ code }) => code)).toEqual(["replay-incomplete", "joined-late"]);
    expect(indexer.pods()).toMatchObject([{ state: "live", complete: false }]);
  });
});

describe("a lost connection", () => {
  it("to an engine that did not change is live again on its word, and with what was missed meanwhile", async () => {
    const port = await portRun(2);
    const { store } = await engine(port);
    const path = await pathTo(port);
    const { state, blocks, isConnected, indexer, told } = await follow({
      endpoint: path.endpoint,
      replayEndpoint: at(port + 1),
    });
    await wait(150);
    store(1000);
    await until("live", () => state() === "live" && blocks(1000) === 4);
    const age = indexer.pods()[0]!.lastEventAgeMs!;
    path.set("cut");
    await until("stale", () => state() === "stale");
    path.set("open");
    // No frame comes; the last one comes again.
    await until("live again", () => state() === "live");
    expect(indexer.pods()[0]).toMatchObject({ complete: true, generation: 0, duplicateFrames: 1 });
    expect(indexer.pods()[0]!.lastEventAgeMs).toBeGreaterThan(age);
    path.set("cut");
    await until("stale", () => state() === "stale");
    await until("down", () => !isConnected());
    store(2000);
    store(3000);
    path.set("open");
    await until("what was missed", () => blocks(2000) === 4 && blocks(3000) === 4);
    await until("live", () => state() === "live");
    expect(indexer.pods()[0]).toMatchObject({ complete: true, gaps: 0, lastSeq: "2" });
    expect(told).toEqual([]);
  });

  it("without replay stays stale until the next frame", async () => {
    const port = await portRun(2);
    const { store } = await engine(port);
    const path = await pathTo(port);
    const { state, isConnected } = await follow({ endpoint: path.endpoint });
    await wait(150);
    store(1000);
    await until("live", () => state() === "live");
    path.set("cut");
    await until("stale", () => state() === "stale");
    path.set("open");
    await until("connected", isConnected);
    await wait(200);
    expect(state()).toBe("stale");
    store(2000);
    await until("live", () => state() === "live");
  });

  it("whose process died and came back at once: the new one's history, without a frame of it", async () => {
    const port = await portRun(2);
    const old = await engine(port);
    const { state, blocks, indexer, told } = await follow({
      endpoint: at(port),
      replayEndpoint: at(port + 1),
      heartbeatIntervalMs: 60_000, // the end of a process is told by its system, not by a heartbeat
    });
    await wait(150);
    for (const first of [1000, 2000, 3000]) old.store(first);
    await until("the first life", () => blocks(3000) === 4);
    await old.close();
    const next = await engine(port, 2);
    next.store(2000);
    await until("the second life", () => indexer.pods()[0]!.generation === 1 && state() === "live");
    expect([1000, 2000, 3000].map(blocks)).toEqual([0, 4, 0]);
    expect(indexer.pods()[0]).toMatchObject({ complete: true, lastSeq: "0" });
    expect(told.map(({ code }) => code)).toEqual(["engine-restarted"]);
  });

  it("whose process came back and has published nothing stays stale until it does", async () => {
    const port = await portRun(2);
    const old = await engine(port);
    const { state, blocks, isConnected, indexer, told } = await follow({
      endpoint: at(port),
      replayEndpoint: at(port + 1),
    });
    await wait(150);
    old.store(1000);
    await until("the first life", () => blocks(1000) === 4);
    await old.close();
    await until("stale", () => state() === "stale");
    const next = await engine(port, 2);
    await until("connected", isConnected);
    await wait(300);
    expect(state()).toBe("stale");
    next.store(2000);
    await until("the second life", () => blocks(2000) === 4 && state() === "live");
    expect(blocks(1000)).toBe(0);
    expect(indexer.pods()[0]).toMatchObject({ complete: true, generation: 1 });
    expect(told.map(({ code }) => code)).toEqual(["engine-restarted"]);
  });

  it("half-open is found by heartbeats: stale within four of their intervals, and live on the way back", async () => {
    const port = await portRun(2);
    const { store } = await engine(port);
    const path = await pathTo(port);
    const { state } = await follow({
      endpoint: path.endpoint,
      replayEndpoint: at(port + 1),
      heartbeatIntervalMs: 200,
    });
    await wait(150);
    store(1000);
    await until("live", () => state() === "live");
    await wait(1000);
    // Heartbeats are answered: idle is not stale.
    expect(state()).toBe("live");
    path.set("silent");
    const started = performance.now();
    await until("stale", () => state() === "stale");
    // A ping is sent within one interval and missed for three; the rest is the machine's.
    expect(performance.now() - started).toBeGreaterThan(400);
    expect(performance.now() - started).toBeLessThan(4 * 200 + 700);
    // Long enough to be connecting anew; what was begun meanwhile is never answered, and given up.
    await wait(500);
    path.set("open", false);
    await until("live again", () => state() === "live");
  });

  it("is stale also where frames that came before it are read after", async () => {
    const port = await portRun(2);
    const { store, close } = await engine(port);
    const { state, indexer, isConnected } = await follow({
      endpoint: at(port),
      // The host is slow: ZeroMQ keeps what has come.
      onFrame: () => {
        for (const end = performance.now() + 4; performance.now() < end; );
      },
    });
    await wait(100);
    for (let n = 0; n < 200; n++) store(1000 + n);
    await until("the first", () => indexer.stats().frames > 2);
    await close();
    await until("down", () => !isConnected());
    await until("the last", () => indexer.stats().frames === 200);
    await wait(20);
    expect(state()).toBe("stale");
  });
});
