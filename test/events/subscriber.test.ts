/** The subscription on real ZeroMQ sockets, over loopback: publishers bound and connecting, lost, wrong and hostile. */
import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import type { KvBlockError, KvFrame } from "kvblock";
import {
  type EventSocket,
  type EventSocketOptions,
  openEventSocket,
  type TransportSnapshot,
} from "kvblock/events";
import { afterEach, describe, expect, test, vi } from "vitest";
import zmq from "zeromq";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  vi.doUnmock("zeromq");
  for (const close of closers.splice(0).reverse()) await close();
});

async function bindPublisher(
  options: object = {},
  endpoint = "tcp://127.0.0.1:0",
): Promise<[zmq.Publisher, string]> {
  const publisher = new zmq.Publisher({ linger: 0, ...options });
  closers.push(() => publisher.close());
  await publisher.bind(endpoint);
  return [publisher, publisher.lastEndpoint!];
}

async function subscribe(options: EventSocketOptions): Promise<EventSocket> {
  const socket = await openEventSocket({ reconnectIntervalMs: 20, ...options });
  closers.push(() => socket.close());
  return socket;
}

const until = (what: string, holds: () => boolean): Promise<void> =>
  vi.waitFor(() => expect(holds(), what).toBe(true), { timeout: 10_000, interval: 5 });

/** Until subscriptions have reached the publishers: a PUB drops what is sent before. */
const connected = async (socket: EventSocket, count = 1): Promise<void> => {
  await until("connected", () => socket.transport.connected === count);
  await wait(50);
};

const message = (
  seq: number,
  payload: Uint8Array | string = "p",
  topic = "kv@pod@model",
): (string | Uint8Array)[] => {
  const number = Buffer.alloc(8);
  number.writeBigUInt64BE(BigInt(seq));
  return [topic, number, payload];
};

async function take(socket: EventSocket, count: number): Promise<KvFrame[]> {
  const frames: KvFrame[] = [];
  if (count > 0) for await (const frame of socket) if (frames.push(frame) === count) break;
  return frames;
}

const seqs = (frames: readonly KvFrame[]): number[] => frames.map(({ seq }) => Number(seq));

/** A tcp port whose next ones are free too, as far as can be told. */
async function portRun(length: number): Promise<number> {
  for (;;) {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    server.close();
    await once(server, "close");
    if (port + length < 65_536) return port;
  }
}

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
    for (const endpoint of ["inproc://kvblock-test", `ipc:///tmp/kvblock-test-${process.pid}.sock`]) {
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

  test("lets the host's loop turn while frames keep coming", async () => {
    const [publisher, endpoint] = await bindPublisher({ sendHighWaterMark: 0 });
    const socket = await subscribe({ endpoint });
    await connected(socket);
    for (let seq = 0; seq < 2000; seq++) await publisher.send(message(seq));
    await wait(100);
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    let taken = 0;
    const start = performance.now();
    for await (const _ of socket) {
      const busyUntil = performance.now() + 0.2;
      while (performance.now() < busyUntil);
      if (++taken === 2000) break;
    }
    clearInterval(timer);
    // 400 ms of work without a pause, in slices of 2 ms.
    expect(turns).toBeGreaterThan((performance.now() - start) / 20);
  });
});

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
    await until("reported", () => socket.transport.rejected === 1);
    await connected(socket);
    await publisher.send(message(3));
    expect(seqs(await take(socket, 2))).toEqual([1, 3]);
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

describe("CURVE", () => {
  const server = zmq.curveKeyPair();
  const client = zmq.curveKeyPair();

  test("connects to an engine that asks for it, with keys as text or bytes", async () => {
    const [publisher, endpoint] = await bindPublisher({
      curveServer: true,
      curveSecretKey: server.secretKey,
    });
    const keys = { serverKey: server.publicKey, publicKey: client.publicKey, secretKey: client.secretKey };
    const asBytes = {
      serverKey: z85(keys.serverKey),
      publicKey: z85(keys.publicKey),
      secretKey: z85(keys.secretKey),
    };
    for (const curve of [keys, asBytes]) {
      const socket = await subscribe({ endpoint, curve });
      await connected(socket);
      await publisher.send(message(1));
      expect(seqs(await take(socket, 1))).toEqual([1]);
      await socket.close();
    }
  });

  test("serves engines that connect to a bound socket", async () => {
    const curve = { server: true, secretKey: server.secretKey } as const;
    const socket = await subscribe({ endpoint: "tcp://127.0.0.1:0", bind: true, curve });
    const publisher = new zmq.Publisher({
      linger: 0,
      curveServerKey: server.publicKey,
      curvePublicKey: client.publicKey,
      curveSecretKey: client.secretKey,
    });
    closers.push(() => publisher.close());
    publisher.connect(socket.endpoints[0]!);
    await connected(socket);
    await publisher.send(message(1));
    expect(seqs(await take(socket, 1))).toEqual([1]);
  });

  test("with a wrong key, or none, never connects; it is reported, and tried again", async () => {
    const [, endpoint] = await bindPublisher({ curveServer: true, curveSecretKey: server.secretKey });
    const wrong = { serverKey: client.publicKey, publicKey: client.publicKey, secretKey: client.secretKey };
    const mistaken = await subscribe({ endpoint, curve: wrong });
    const plain = await subscribe({ endpoint });
    await until("refusal", () => mistaken.transport.endpoints[0]?.state === "disconnected");
    await until("report", () => plain.transport.rejected >= 2);
    expect([mistaken.transport.connected, plain.transport.connected]).toEqual([0, 0]);
  });

  /** Z85 (ZeroMQ RFC 32) to bytes. */
  function z85(text: string): Uint8Array {
    const digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    const bytes = Buffer.alloc((text.length / 5) * 4);
    for (let i = 0; i < text.length; i += 5)
      bytes.writeUInt32BE(
        [...text.slice(i, i + 5)].reduce((n, c) => n * 85 + digits.indexOf(c), 0),
        (i / 5) * 4,
      );
    return bytes;
  }
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

describe("opening fails", () => {
  test("with the fix named when zeromq is missing", async () => {
    vi.doMock("zeromq", () => {
      throw new Error("Cannot find package 'zeromq'");
    });
    await expect(openEventSocket({ endpoint: "tcp://127.0.0.1:5557" })).rejects.toMatchObject({
      code: "ERR_KVBLOCK_SUBSCRIBE",
      message: expect.stringMatching(/npm install zeromq/),
      cause: expect.anything(),
    });
  });

  test("for a port that is taken, leaving nothing open", async () => {
    const [, endpoint] = await bindPublisher();
    await expect(
      openEventSocket({ endpoint: ["tcp://127.0.0.1:0", endpoint], bind: true }),
    ).rejects.toMatchObject({
      code: "ERR_KVBLOCK_SUBSCRIBE",
      message: expect.stringContaining(`cannot bind ${endpoint}`),
    });
  });

  const endpoint = "tcp://127.0.0.1:5557";
  const key = "a".repeat(40);
  test.each<[string, object, typeof TypeError, RegExp]>([
    ["no endpoint", {}, TypeError, /"endpoint" expected/],
    ["an empty list", { endpoint: [] }, RangeError, /at least one/],
    ["an endpoint twice", { endpoint: [endpoint, endpoint] }, RangeError, /different endpoints/],
    ["an endpoint without scheme", { endpoint: "127.0.0.1:5557" }, RangeError, /tcp:\/\/host:port/],
    ["vLLM's bind address", { endpoint: "tcp://*:5557" }, RangeError, /host to connect to/],
    ["port 0 to connect to", { endpoint: "tcp://127.0.0.1:0" }, RangeError, /ports 1 … 65535/],
    ["a port over 65535", { endpoint: "tcp://127.0.0.1:65536", bind: true }, RangeError, /ports/],
    ["ranks past the last port", { endpoint: "tcp://h:65535", dataParallelSize: 2 }, RangeError, /ports/],
    ["ranks on ipc", { endpoint: "ipc:///tmp/x", dataParallelSize: 2 }, RangeError, /"dataParallelSize"/],
    [
      "ranks on a bound socket",
      { endpoint, bind: true, dataParallelSize: 2 },
      RangeError,
      /"dataParallelSize"/,
    ],
    [
      "ranks that overlap",
      { endpoint: [endpoint, "tcp://127.0.0.1:5558"], dataParallelSize: 2 },
      RangeError,
      /different/,
    ],
    ["an unknown option", { endpoint, topic: "" }, TypeError, /"topic" is not an option/],
    ["a near miss", { endpoint, topicfilter: "" }, TypeError, /did you mean topicFilter\?/],
    ["a topic filter that is no string", { endpoint, topicFilter: 1 }, TypeError, /"topicFilter"/],
    ["no limit", { endpoint, maxFrameBytes: 0 }, RangeError, /"maxFrameBytes" expected integer >= 1/],
    ["a clock that is a number", { endpoint, now: 5 }, TypeError, /"now" expected function/],
    [
      "reconnect intervals upside down",
      { endpoint, reconnectIntervalMs: 9, reconnectMaxIntervalMs: 8 },
      RangeError,
      /"reconnectMaxIntervalMs"/,
    ],
    [
      "a short key",
      { endpoint, curve: { serverKey: key, publicKey: key, secretKey: "abc" } },
      RangeError,
      /"curve.secretKey" expected 32 bytes/,
    ],
    [
      "a server with a client's keys",
      { endpoint, curve: { server: true, publicKey: key, secretKey: key } },
      TypeError,
      /"curve.publicKey" is a client's/,
    ],
    ["a client without keys", { endpoint, curve: { secretKey: key } }, TypeError, /"curve.serverKey"/],
  ])("for %s", async (_, options, mistake, text) => {
    const refused = await openEventSocket(options as EventSocketOptions).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(mistake);
    expect((refused as Error).message).toMatch(text);
  });
});
