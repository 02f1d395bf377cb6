/** What the host hears of wrong peers: never so much of it at once that its loop is held, and it may throw. */
import { once } from "node:events";
import { createServer } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { bindPublisher, closers, connected, message, seqs, subscribe, take, until } from "../sockets.js";
import { command, fakePublisher, greeting, rawServer, wireMessage } from "./wire.js";

describe("a host", () => {
  test("that throws when it is told of a loss ends its subscription with that", async () => {
    const failure = new Error("the host's");
    const [publisher, endpoint] = await bindPublisher();
    const socket = await subscribe({
      endpoint,
      onTransport: ({ endpoints }) => {
        if (endpoints[0]?.state === "disconnected") throw failure;
      },
    });
    await connected(socket);
    const ended = expect(socket[Symbol.asyncIterator]().next()).rejects.toBe(failure);
    publisher.close();
    await ended;
    expect(socket.transport.endpoints[0]?.state).toBe("closed");
  });

  test("that throws when it is told of a wrong peer ends its subscription with that", async () => {
    const failure = new Error("the host's");
    const web = createServer((peer) => peer.on("error", () => {}).end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    closers.push(() => web.close());
    await once(web.listen(0, "127.0.0.1"), "listening");
    const { port } = web.address() as { port: number };
    const socket = await subscribe({
      endpoint: `tcp://127.0.0.1:${port}`,
      onRejected: () => {
        throw failure;
      },
    });
    await expect(socket[Symbol.asyncIterator]().next()).rejects.toBe(failure);
  });

  test("has its loop turn while a peer sends nothing but what is no frame", async () => {
    const COUNT = 20_000;
    const many = Buffer.concat(Array.from({ length: COUNT }, () => wireMessage([""])));
    const { endpoint } = await fakePublisher(({ socket }) => {
      socket.write(Buffer.concat([many, wireMessage(message(1))]));
    });
    let rejected = 0;
    const socket = await subscribe({ endpoint, onRejected: () => void rejected++ });
    const frames = take(socket, 1);
    let most = 0;
    for (let before = 0; rejected < COUNT; before = rejected) {
      await nextTurn();
      most = Math.max(most, rejected - before);
    }
    expect(seqs(await frames)).toEqual([1]);
    expect(most).toBeLessThanOrEqual(2 * 64);
  });

  test("is spared a READY of megabytes: it ends the connection", async () => {
    const property = Buffer.from("\0\0\0\0\0", "latin1");
    const server = await rawServer(({ socket }) => {
      socket.write(greeting());
      socket.write(command("READY", Buffer.concat(Array.from({ length: 1 << 18 }, () => property))));
    });
    const told: string[] = [];
    const socket = await subscribe({
      endpoint: server.endpoint,
      onRejected: ({ message: why }) => told.push(why),
    });
    await until("told", () => told.length > 0);
    expect(told[0]).toMatch(/handshake/);
    expect(socket.transport.connected).toBe(0);
  });
});
