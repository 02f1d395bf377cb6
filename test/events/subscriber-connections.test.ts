/** Connections that are lost, wrong or hostile, and the end of a subscription, on real ZeroMQ sockets. */
import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import type { KvBlockError } from "kvblock";
import { type EventSocket, openEventSocket, type TransportSnapshot } from "kvblock/events";
import { describe, expect, test } from "vitest";
import { portRun } from "../support/ports.js";
import { bindPublisher, connected, message, seqs, subscribe, take, until } from "./sockets.js";

describe("a connection", () => {
  test("that is lost is made again, and both are told", async () => {
    const port = await portRun(1);
    const endpoint = `tcp://127.0.0.1:${port}`;
    const [first] = await bindPublisher({}, endpoint);
    const seen: TransportSnapshot[] = [];
    const socket = await subscribe({ endpoint, onTransport: (transport) => seen.push(transport) });
    expect(socket.transport.endpoints[0]?.state).toBe("connecting");
    await connected(socket);
    first.close();
    await until("loss", () => socket.transport.endpoints[0]?.state === "disconnected");
    expect(socket.transport.connected).toBe(0);
    const [second] = await bindPublisher({}, endpoint);
    await connected(socket);
    await second.send(message(1));
    expect(seqs(await take(socket, 1))).toEqual([1]);
    expect(socket.transport).toMatchObject({ reconnects: 1, rejected: 0 });
    await socket.close();
    expect(seen.map((transport) => transport.endpoints[0]?.state)).toEqual([
      "connected",
      "disconnected",
      "connected",
      "closed",
    ]);
  });

  test("that sends an oversize message loses that message and lives on", async () => {
    const [publisher, endpoint] = await bindPublisher();
    const rejected: [KvBlockError, string][] = [];
    const socket = await subscribe({
      endpoint,
      maxFrameBytes: 1000,
      onRejected: (error, source) => rejected.push([error, source]),
    });
    await connected(socket);
    await publisher.send(message(1));
    await publisher.send(message(2, new Uint8Array(1001)));
    expect(seqs(await take(socket, 1))).toEqual([1]);
    await until("reported", () => socket.transport.rejected === 1);
    await connected(socket);
    await publisher.send(message(3));
    expect(seqs(await take(socket, 1))).toEqual([3]);
    expect(rejected).toEqual([
      [
        expect.objectContaining({
          code: "ERR_KVBLOCK_FRAME",
          message: expect.stringMatching(/maxFrameBytes \(1000\)/),
        }),
        endpoint,
      ],
    ]);
    expect(socket.transport.reconnects).toBe(1);
  });

  test("cannot bring a message whose parts together are oversize", async () => {
    const [publisher, endpoint] = await bindPublisher();
    const rejected: KvBlockError[] = [];
    const socket = await subscribe({
      endpoint,
      maxFrameBytes: 1000,
      onRejected: (error) => rejected.push(error),
    });
    await connected(socket);
    await publisher.send(message(1, new Uint8Array(600), "t".repeat(600)));
    await publisher.send(message(2));
    expect(seqs(await take(socket, 1))).toEqual([2]);
    expect(rejected).toEqual([expect.objectContaining({ message: expect.stringMatching(/1208 bytes/) })]);
  });

  test("counts and reports messages that are no frames, and goes on", async () => {
    const [publisher, endpoint] = await bindPublisher();
    const rejected: KvBlockError[] = [];
    const socket = await subscribe({ endpoint, onRejected: (error) => rejected.push(error) });
    await connected(socket);
    await publisher.send("lone");
    await publisher.send(["topic", "short", "payload"]);
    await publisher.send(message(9));
    expect(seqs(await take(socket, 1))).toEqual([9]);
    expect(rejected.map(({ code }) => code)).toEqual(["ERR_KVBLOCK_FRAME", "ERR_KVBLOCK_FRAME"]);
    expect(socket.transport).toMatchObject({ received: 1, rejected: 2 });
  });

  test("to a peer that speaks no ZeroMQ stays down, and comes up when a publisher takes its place", async () => {
    const port = await portRun(1);
    const endpoint = `tcp://127.0.0.1:${port}`;
    const web = createServer((peer) => {
      peer.on("error", () => undefined);
      peer.end("HTTP/1.1 400 Bad Request\r\n\r\n");
    }).listen(port, "127.0.0.1");
    await once(web, "listening");
    const socket = await subscribe({ endpoint });
    await until("refusal", () => socket.transport.endpoints[0]?.state === "disconnected");
    expect(socket.transport.connected).toBe(0);
    web.close();
    const [publisher] = await bindPublisher({}, endpoint);
    await connected(socket);
    await publisher.send(message(1));
    expect(seqs(await take(socket, 1))).toEqual([1]);
  });
});

describe("closing", () => {
  test("ends an iteration that waits, once and for all", async () => {
    const [, endpoint] = await bindPublisher();
    const socket = await subscribe({ endpoint });
    const frames = take(socket, 1);
    await connected(socket);
    await socket.close();
    await socket.close();
    expect(await frames).toEqual([]);
    expect(await take(socket, 1)).toEqual([]);
    expect(socket.transport).toMatchObject({ connected: 0, endpoints: [{ state: "closed" }] });
  });

  test("while frames stream in ends the iteration", async () => {
    const [publisher, endpoint] = await bindPublisher();
    const socket = await subscribe({ endpoint });
    await connected(socket);
    let sending = true;
    const sender = (async () => {
      for (let seq = 0; sending; seq++) {
        await publisher.send(message(seq));
        if (seq % 50 === 0) await wait(0);
      }
    })();
    let taken = 0;
    for await (const _ of socket) if (++taken === 200) void socket.close();
    sending = false;
    await sender;
    expect(taken).toBe(200);
  });

  test("happens at an abort, and at the end of an `await using`", async () => {
    const [, endpoint] = await bindPublisher();
    const abort = new AbortController();
    const socket = await subscribe({ endpoint, signal: abort.signal });
    const frames = take(socket, 1);
    abort.abort();
    expect(await frames).toEqual([]);
    let kept: EventSocket;
    {
      await using inner = await openEventSocket({ endpoint });
      kept = inner;
    }
    expect(kept.transport.endpoints[0]?.state).toBe("closed");
    await expect(openEventSocket({ endpoint, signal: AbortSignal.abort() })).rejects.toThrow(
      expect.objectContaining({ name: "AbortError" }),
    );
  });
});
