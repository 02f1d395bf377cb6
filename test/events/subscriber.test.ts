/** The subscription on real ZeroMQ sockets, over loopback: publishers bound and connecting, one and several. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import zmq from "zeromq";
import { portRun } from "../support/ports.js";
import { bindPublisher, connected, message, seqs, subscribe, take, until } from "./sockets.js";

describe("a subscription", () => {
  test("connects to a publisher and gives its frames", async () => {
    const [publisher, endpoint] = await bindPublisher();
    const socket = await subscribe({ endpoint, now: () => 42 });
    await connected(socket);
    await publisher.send(message(3, Uint8Array.of(0x90), ""));
    expect(await take(socket, 1)).toEqual([
      { topic: "", seq: 3n, payload: Uint8Array.of(0x90), receivedAt: 42, source: endpoint },
    ]);
    expect(socket.endpoints).toEqual([endpoint]);
    expect(socket.transport).toEqual({
      connected: 1,
      endpoints: [{ endpoint, state: "connected", connected: 1 }],
      received: 1,
      rejected: 0,
      reconnects: 0,
    });
  });

  test("binds, shows the port it got, and hears several publishers", async () => {
    const socket = await subscribe({ endpoint: "tcp://127.0.0.1:0", bind: true });
    const [endpoint] = socket.endpoints;
    expect(endpoint).toMatch(/^tcp:\/\/127\.0\.0\.1:[1-9]\d+$/);
    const publishers = [0, 1].map(() => {
      const publisher = new zmq.Publisher({ linger: 0 });
      publisher.connect(endpoint!);
      return publisher;
    });
    await connected(socket, 2);
    expect(socket.transport.endpoints).toEqual([{ endpoint, state: "listening", connected: 2 }]);
    await publishers[0]!.send(message(1));
    await publishers[1]!.send(message(2));
    expect(seqs(await take(socket, 2)).sort()).toEqual([1, 2]);
    for (const publisher of publishers) publisher.close();
    await until("peers gone", () => socket.transport.connected === 0);
    expect(socket.transport.endpoints[0]?.state).toBe("listening");
  });

  test("hears several endpoints and names each frame's source", async () => {
    const [first, one] = await bindPublisher();
    const [second, two] = await bindPublisher();
    const socket = await subscribe({ endpoint: [one, two] });
    await connected(socket, 2);
    for (let seq = 0; seq < 50; seq++)
      await Promise.all([first.send(message(seq)), second.send(message(seq))]);
    const frames = await take(socket, 100);
    for (const endpoint of [one, two])
      expect(seqs(frames.filter(({ source }) => source === endpoint))).toEqual(
        Array.from({ length: 50 }, (_, i) => i),
      );
  });

  test("connects to every data-parallel rank's port", async () => {
    const port = await portRun(3);
    const publishers = await Promise.all(
      [0, 1, 2].map((rank) => bindPublisher({}, `tcp://127.0.0.1:${port + rank}`)),
    );
    const socket = await subscribe({ endpoint: `tcp://127.0.0.1:${port}`, dataParallelSize: 3 });
    expect(socket.endpoints).toEqual(publishers.map(([, endpoint]) => endpoint));
    await connected(socket, 3);
    for (const [rank, [publisher]] of publishers.entries()) await publisher.send(message(rank));
    expect(seqs(await take(socket, 3)).sort()).toEqual([0, 1, 2]);
  });

  test("hears only the topics that begin with its filter", async () => {
    const [publisher, endpoint] = await bindPublisher();
    const socket = await subscribe({ endpoint, topicFilter: "kv@a@" });
    await connected(socket);
    for (const [seq, topic] of ["kv@ab@m", "", "kv@a@m", "kv@a", "kv@a@n"].entries())
      await publisher.send(message(seq, "p", topic));
    expect(seqs(await take(socket, 2))).toEqual([2, 4]);
  });

  test("talks over inproc and ipc", async () => {
    for (const endpoint of [
      "inproc://kvblock-test",
      `ipc://${join(tmpdir(), `kvblock-test-${process.pid}.sock`)}`,
    ]) {
      const [publisher] = await bindPublisher({}, endpoint);
      const socket = await subscribe({ endpoint });
      await connected(socket);
      await publisher.send(message(5));
      expect(seqs(await take(socket, 1))).toEqual([5]);
    }
  });

  test("keeps payloads valid while later messages arrive", async () => {
    const [publisher, endpoint] = await bindPublisher({ sendHighWaterMark: 0 });
    const socket = await subscribe({ endpoint });
    await connected(socket);
    const payload = (seq: number): Uint8Array => new Uint8Array([5, 40, 300, 9000][seq % 4]!).fill(seq);
    for (let seq = 0; seq < 2000; seq++) await publisher.send(message(seq, payload(seq)));
    const frames = await take(socket, 2000);
    expect(seqs(frames)).toEqual(Array.from({ length: 2000 }, (_, i) => i));
    for (const [seq, frame] of frames.entries()) expect(Buffer.compare(frame.payload, payload(seq))).toBe(0);
  });

  test("hands frames over as they come, and holds an endpoint back whose frame is not done with", async () => {
    const [first, one] = await bindPublisher();
    const [second, two] = await bindPublisher();
    const taken: string[] = [];
    let release = (): void => {};
    const socket = await subscribe({
      endpoint: [one, two],
      onFrame: ({ source, seq }) => {
        taken.push(`${source === one ? "one" : "two"} ${seq}`);
        if (source === one && seq === 0n)
          return new Promise<void>((resolve) => {
            release = resolve;
          });
      },
    });
    const ended = socket[Symbol.asyncIterator]().next();
    await connected(socket, 2);
    for (let seq = 0; seq < 3; seq++) {
      await first.send(message(seq));
      await second.send(message(seq));
    }
    await until("the other's", () => taken.length === 4);
    await wait(20);
    expect(taken.filter((name) => name.startsWith("one"))).toEqual(["one 0"]);
    expect(taken.filter((name) => name.startsWith("two"))).toEqual(["two 0", "two 1", "two 2"]);
    release();
    await until("its own", () => taken.length === 6);
    expect(taken.filter((name) => name.startsWith("one"))).toEqual(["one 0", "one 1", "one 2"]);
    await socket.close();
    expect(await ended).toEqual({ done: true, value: undefined });
  });

  test("ends with what its taker throws, and hands over nothing more", async () => {
    const [publisher, endpoint] = await bindPublisher();
    const failure = new Error("the host's");
    const taken: bigint[] = [];
    const socket = await subscribe({
      endpoint,
      onFrame: ({ seq }) => {
        taken.push(seq);
        if (seq === 1n) throw failure;
      },
    });
    await connected(socket);
    const ended = expect(socket[Symbol.asyncIterator]().next()).rejects.toBe(failure);
    for (let seq = 0; seq < 4; seq++) await publisher.send(message(seq));
    await ended;
    await wait(20);
    expect(taken).toEqual([0n, 1n]);
    expect(socket.transport.endpoints[0]?.state).toBe("closed");
  });

  test("lets the host's loop turn while frames keep coming", async () => {
    const [publisher, endpoint] = await bindPublisher({ sendHighWaterMark: 0 });
    const socket = await subscribe({ endpoint });
    await connected(socket);
    for (let seq = 0; seq < 2000; seq++) await publisher.send(message(seq));
    await wait(100);
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    let taken = 0;
    for await (const _ of socket) {
      const busyUntil = performance.now() + 0.2;
      while (performance.now() < busyUntil);
      if (++taken === 2000) break;
    }
    clearInterval(timer);
    // A slice of 2 ms has room for 10 frames and one that is under way, however long the machine takes for them.
    expect(turns).toBeGreaterThan(taken / 15);
  });
});
