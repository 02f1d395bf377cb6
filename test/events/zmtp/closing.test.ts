/** `close` at any moment: nothing is told after it, and nothing is left that keeps the process. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type EventSocket, openEventSocket } from "kvblock/events";
import { describe, expect, test } from "vitest";
import { portRun } from "../../support/ports.js";
import { bindPublisher, closers, connected, message, until } from "../sockets.js";
import {
  closeServer,
  fakePublisher,
  greeting,
  type Peer,
  type RawServer,
  rawServer,
  ready,
  wireMessage,
} from "./wire.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const [good, pub] = [greeting(), ready("PUB")];
const FRAMES = Buffer.concat(
  Array.from({ length: 100 }, (_, seq) => wireMessage(message(seq, Buffer.alloc(2000)))),
);

/** A subscription that writes down all that is called. */
async function open(
  endpoint: string,
  onFrame: (socket: () => EventSocket) => unknown = () => {},
): Promise<{ socket: EventSocket; called: string[] }> {
  const called: string[] = [];
  const socket: EventSocket = await openEventSocket({
    endpoint,
    heartbeatIntervalMs: 20,
    reconnectIntervalMs: 5,
    reconnectMaxIntervalMs: 5,
    onFrame: ({ seq }) => {
      called.push(`frame ${seq}`);
      return onFrame(() => socket);
    },
    onRejected: ({ message: why }) => called.push(`rejected: ${why}`),
    onTransport: ({ endpoints }) => called.push(endpoints[0]!.state),
  });
  closers.push(() => socket.close());
  return { socket, called };
}

/** One whose taker holds the first frame till it is released. */
async function openHolding(
  endpoint: string,
): Promise<Awaited<ReturnType<typeof open>> & { release: () => void }> {
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const opened = await open(endpoint, () => held);
  await until("held", () => opened.called.includes("frame 0"));
  return { ...opened, release };
}

/** What Node names of what keeps the process, as far as a connection has it. */
const handles = (): string[] =>
  process
    .getActiveResourcesInfo()
    .filter((name) => /^(TCP|Timeout|GetAddrInfo)/.test(name))
    .sort();

/** A server that counts its clients; at the end they are gone and no other has come. */
async function expectGone(server: RawServer): Promise<void> {
  await until("all gone", () => server.peers.every(({ isGone }) => isGone));
  const count = server.peers.length;
  await wait(60);
  expect(server.peers.length).toBe(count);
}

describe("closed", () => {
  const stages: [string, (peer: Peer) => void, number][] = [
    ["before the peer greets", () => {}, 64],
    ["amid its greeting", ({ socket }) => void socket.write(good.subarray(0, 30)), 64],
    ["before its READY", ({ socket }) => void socket.write(good), 65],
  ];

  test.each(stages)("%s, nothing is told but that", async (_, greet, said) => {
    const server = await rawServer(greet);
    const { socket, called } = await open(server.endpoint);
    await until("heard of us", () => (server.peers[0]?.said.length ?? 0) >= said);
    await socket.close();
    server.peers[0]!.socket.write(Buffer.concat([good, pub, FRAMES]));
    await expectGone(server);
    expect(called).toEqual(["closed"]);
    expect(server.peers.length).toBe(1);
  });

  test.each(["127.0.0.1", "localhost"])("while it connects to %s, no handshake follows", async (host) => {
    const [, endpoint] = await bindPublisher();
    const { socket, called } = await open(endpoint.replace("127.0.0.1", host));
    await socket.close();
    await wait(60);
    expect(called).toEqual(["closed"]);
  });

  test("while a frame is held, none of the others is handed over, not when it is let go either", async () => {
    const server = await fakePublisher(({ socket }) => void socket.write(FRAMES));
    const { socket, called, release } = await openHolding(server.endpoint);
    await socket.close();
    release();
    await expectGone(server);
    expect(called).toEqual(["connected", "frame 0", "closed"]);
  });

  test("while a frame is held whose connection was lost, nothing more is told", async () => {
    const server = await fakePublisher(({ socket }) => void socket.end(wireMessage(message(0))));
    const { socket, called, release } = await openHolding(server.endpoint);
    await wait(20);
    await socket.close();
    release();
    await expectGone(server);
    expect(called).toEqual(["connected", "frame 0", "closed"]);
  });

  test.each([false, true])(
    "by its taker, no further frame of what was read comes (in a promise: %s)",
    async (isLater) => {
      const server = await fakePublisher(({ socket }) => void socket.write(FRAMES));
      const { socket, called } = await open(server.endpoint, (socket) => {
        if (!isLater) return void socket().close();
        return Promise.resolve().then(() => void socket().close());
      });
      await until("closed", () => called.includes("closed"));
      await expectGone(server);
      expect(called).toEqual(["connected", "frame 0", "closed"]);
      // Nor is it read from what had come.
      expect(socket.transport.received).toBe(1);
    },
  );

  test("while it waits to connect again, it does not", async () => {
    const server = await rawServer(({ socket }) => void socket.end("no ZeroMQ"));
    const { socket, called } = await open(server.endpoint);
    await until("refused", () => called.some((told) => told.startsWith("rejected")));
    const before = called.length;
    await socket.close();
    await expectGone(server);
    expect(called.slice(before)).toEqual(["closed"]);
  });

  test("by whoever is told that a connection was lost, nothing more is told", async () => {
    const server = await rawServer(({ socket }) => void socket.end("no ZeroMQ"));
    const called: string[] = [];
    const socket = await openEventSocket({
      endpoint: server.endpoint,
      reconnectIntervalMs: 5,
      onRejected: () => called.push("rejected"),
      onTransport: ({ endpoints }) => {
        called.push(endpoints[0]!.state);
        if (endpoints[0]!.state === "disconnected") void socket.close();
      },
    });
    closers.push(() => socket.close());
    await until("closed", () => called.includes("closed"));
    await expectGone(server);
    expect(called).toEqual(["disconnected", "closed"]);
  });
});

describe("after close", () => {
  test("no connection and no timer is left, whatever went on", async () => {
    const before = handles();
    const port = await portRun(1);
    const servers = [
      await rawServer(() => {}),
      await fakePublisher(({ socket }) => void socket.write(FRAMES)),
      await rawServer(({ socket }) => void socket.end("no")),
    ];
    const held = new Promise<void>(() => {});
    const endpoints = [
      ...servers.map(({ endpoint }) => endpoint),
      `tcp://127.0.0.1:${port}`,
      `tcp://localhost:${port}`,
    ];
    const opened = await Promise.all(endpoints.map((endpoint) => open(endpoint, () => held)));
    await until(
      "all under way",
      () => servers.every(({ peers }) => peers.length > 0) && opened[1]!.called.length > 1,
    );
    expect(handles().length).toBeGreaterThan(before.length + 3);
    await Promise.all(opened.map(({ socket }) => socket.close()));
    for (const server of servers) await closeServer(server);
    await until("nothing left", () => handles().length <= before.length);
  });

  test("the process ends by itself, and does not while a subscription is open", async () => {
    const [publisher, endpoint] = await bindPublisher();
    const script = `
      import { openEventSocket } from "kvblock/events";
      const port = ${await portRun(1)};
      const idle = await openEventSocket({
        endpoint: ["127.0.0.1", "localhost"].map((host) => "tcp://" + host + ":" + port),
      });
      const socket = await openEventSocket({ endpoint: "${endpoint}", onFrame: async () => {
        console.log("heard");
        await idle.close();
        await socket.close();
        await new Promise(() => {});
      } });`;
    const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "--eval", script], {
      cwd: root,
    });
    closers.push(() => child.kill());
    let output = "";
    for (const out of [child.stdout, child.stderr]) out.on("data", (text) => (output += text));
    const ended = once(child, "exit");
    let isUp = false;
    publisher.events.on("handshake", () => {
      isUp = true;
    });
    await until("connected", () => isUp);
    await wait(200);
    expect(child.exitCode).toBe(null);
    await publisher.send(message(1));
    expect(await ended).toEqual([0, null]);
    expect(output).toBe("heard\n");
  });

  test("another may be opened to the same publisher, and closed, again and again", async () => {
    const [publisher, endpoint] = await bindPublisher();
    for (let round = 0; round < 5; round++) {
      const { socket, called } = await open(endpoint);
      await connected(socket);
      await publisher.send(message(round));
      await until("heard", () => called.length > 1);
      await socket.close();
      expect(called).toEqual(["connected", `frame ${round}`, "closed"]);
    }
  });
});
