/** Peers that are no publisher of ours: told with the reason, tried again in time, until one takes over. */
import { createServer as createWebServer } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import type { KvBlockError } from "kvblock";
import { describe, expect, test } from "vitest";
import zmq from "zeromq";
import { portRun } from "../../support/ports.js";
import { bindPublisher, closers, connected, message, seqs, subscribe, take, until } from "../sockets.js";
import {
  closeServer,
  command,
  framed,
  greeting,
  longHead,
  type Peer,
  rawServer,
  ready,
  wireMessage,
} from "./wire.js";

/** Starts one who is no publisher at the port, and returns what ends it. */
type Impostor = (port: number) => Promise<() => unknown>;

const says =
  (...said: Uint8Array[]): Impostor =>
  async (port) => {
    const server = await rawServer(({ socket }) => void socket.write(Buffer.concat(said)), port);
    return () => closeServer(server);
  };

const libzmq =
  (make: () => zmq.Socket & { bind(endpoint: string): Promise<void> }): Impostor =>
  async (port) => {
    const socket = make();
    closers.push(() => socket.close());
    await socket.bind(`tcp://127.0.0.1:${port}`);
    return () => socket.close();
  };

const webServer: Impostor = async (port) => {
  const server = createWebServer().listen(port, "127.0.0.1");
  closers.push(() => server.close());
  return () => server.close();
};

/** ZMTP 2.0's greeting (RFC 15): signature, revision 1, socket type PUB, an empty identity. */
const OLD = Buffer.from([0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 1, 1, 0, 0]);
const [good, pub] = [greeting(), ready("PUB")];
const keys = zmq.curveKeyPair();
const oversize = { linger: 0, sendHighWaterMark: 0 };

const impostors: [string, RegExp, Impostor][] = [
  ["a libzmq reply socket", /no publisher.*REP/, libzmq(() => new zmq.Reply(oversize))],
  ["a libzmq router", /no publisher.*ROUTER/, libzmq(() => new zmq.Router(oversize))],
  ["a libzmq subscriber", /no publisher.*SUB/, libzmq(() => new zmq.Subscriber({ linger: 0 }))],
  ["an HTTP server", /does not speak ZeroMQ/, webServer],
  ["a server that talks first", /does not speak ZeroMQ/, says(Buffer.from("220 mail.example ESMTP\r\n"))],
  [
    "a signature whose last byte is wrong",
    /does not speak ZeroMQ/,
    says(Buffer.from([0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7e])),
  ],
  ["a greeting of ZMTP 2", /ZMTP 2/, says(OLD)],
  [
    "a libzmq publisher with CURVE",
    /CURVE/,
    libzmq(() => new zmq.Publisher({ linger: 0, curveServer: true, curveSecretKey: keys.secretKey })),
  ],
  ["a greeting that asks for PLAIN", /PLAIN/, says(greeting(1, "PLAIN"))],
  ["a message before READY", /handshake/, says(good, wireMessage(message(1)), pub)],
  ["another command before READY", /handshake/, says(good, command("PING", Buffer.from([0, 0])), pub)],
  [
    "ERROR in READY's place",
    /refuses us: no room/,
    says(good, command("ERROR", Buffer.from("\x07no room", "latin1"))),
  ],
  ["READY without a socket type", /no publisher/, says(good, command("READY"))],
  [
    "READY whose property is cut short",
    /no publisher/,
    says(good, command("READY", Buffer.from("\x0bSocket-Ty"))),
  ],
  ["reserved flags", /framing/, says(good, pub, framed(0x10, "x"))],
  ["a part over the limit", /maxFrameBytes \(1000\)/, says(good, pub, longHead(0, 1001))],
  ["a part of 2^63 bytes", /maxFrameBytes \(1000\)/, says(good, pub, longHead(1, 1n << 63n))],
  ["a command over the limit", /maxFrameBytes \(1000\)/, says(good, pub, longHead(4, 1n << 32n))],
  ["a READY over the limit", /maxFrameBytes \(1000\)/, says(good, longHead(4, 1n << 32n))],
];

describe("a peer that is no publisher is told with why, tried again, and heard when it is one:", () => {
  test.each(impostors)("%s", async (_, why, start) => {
    const port = await portRun(1);
    const endpoint = `tcp://127.0.0.1:${port}`;
    const stop = await start(port);
    const told: { error: KvBlockError; source: string; at: number }[] = [];
    const socket = await subscribe({
      endpoint,
      maxFrameBytes: 1000,
      reconnectIntervalMs: 30,
      reconnectMaxIntervalMs: 60,
      onRejected: (error, source) => told.push({ error, source, at: performance.now() }),
    });
    await until("told thrice", () => told.length >= 3);
    for (const { error, source } of told) {
      expect(error).toMatchObject({ code: "ERR_KVBLOCK_FRAME", message: expect.stringMatching(why) });
      expect(error.message).toContain(endpoint);
      expect(source).toBe(endpoint);
    }
    // A timer of Node's may come a millisecond early.
    for (let i = 1; i < told.length; i++) expect(told[i]!.at - told[i - 1]!.at).toBeGreaterThan(28);
    expect(socket.transport.received).toBe(0);
    await stop();
    const [publisher] = await bindAgain(endpoint);
    await connected(socket);
    await publisher.send(message(7));
    expect(seqs(await take(socket, 1))).toEqual([7]);
    expect(socket.transport).toMatchObject({
      connected: 1,
      received: 1,
      endpoints: [{ state: "connected" }],
    });
  });

  /** libzmq lets go of a port a while after `close`. */
  async function bindAgain(endpoint: string): ReturnType<typeof bindPublisher> {
    for (let tries = 0; ; tries++)
      try {
        return await bindPublisher({}, endpoint);
      } catch (error) {
        if (tries === 100) throw error;
        await wait(20);
      }
  }
});

describe("attempts", () => {
  test("at a peer that breaks the protocol come at growing intervals, up to the largest", async () => {
    const server = await rawServer(({ socket }) => void socket.end("no"));
    const socket = await subscribe({
      endpoint: server.endpoint,
      reconnectIntervalMs: 20,
      reconnectMaxIntervalMs: 160,
    });
    await until("tried", () => server.peers.length >= 7);
    await socket.close();
    const waits = server.peers.slice(1).map(({ at }, i) => at - server.peers[i]!.at);
    for (const [i, least] of [20, 40, 80, 160, 160].entries()) expect(waits[i]!).toBeGreaterThan(least - 2);
    const count = server.peers.length;
    await wait(200);
    expect(server.peers.length).toBe(count);
  });

  test.each<[string, (peer: Peer) => void]>([
    ["says nothing", () => {}],
    ["says half a greeting", ({ socket }) => void socket.write(good.subarray(0, 40))],
    ["greets, and no more", ({ socket }) => void socket.write(good)],
    ["says half of READY", ({ socket }) => void socket.write(Buffer.concat([good, pub.subarray(0, 9)]))],
  ])("at a peer that %s are given up after a second, and made again", async (_, greet) => {
    const server = await rawServer(greet);
    const socket = await subscribe({ endpoint: server.endpoint, heartbeatIntervalMs: 10 });
    await until("tried again", () => server.peers.length === 2);
    expect(server.peers[1]!.at - server.peers[0]!.at).toBeGreaterThan(990);
    expect(server.peers[0]!.isGone).toBe(true);
    expect(socket.transport).toMatchObject({ connected: 0, rejected: 0, reconnects: 0 });
  });
});
