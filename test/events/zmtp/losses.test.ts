/** A connection that ends: what came before its end is handed over, and then the end is told. */
import { setTimeout as wait } from "node:timers/promises";
import type { KvBlockError, KvFrame } from "kvblock";
import type { TransportSnapshot } from "kvblock/events";
import { describe, expect, test } from "vitest";
import { portRun } from "../../support/ports.js";
import { bindPublisher, closers, connected, message, seqs, subscribe, take, until } from "../sockets.js";
import { fakePublisher, type RawServer, wireMessage } from "./wire.js";

/** Frames whose taker holds the first. */
async function holding(
  endpoint: string,
  heartbeatIntervalMs: number,
): Promise<{ taken: KvFrame[]; states: string[]; rejected: KvBlockError[]; release: () => void }> {
  const taken: KvFrame[] = [];
  const states: string[] = [];
  const rejected: KvBlockError[] = [];
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  await subscribe({
    endpoint,
    heartbeatIntervalMs,
    reconnectIntervalMs: 10_000,
    reconnectMaxIntervalMs: 10_000,
    onRejected: (error) => rejected.push(error),
    onTransport: ({ endpoints }: TransportSnapshot) =>
      states.push(`${endpoints[0]!.state} at ${taken.length}`),
    onFrame: (frame) => {
      taken.push(frame);
      return taken.length === 1 ? held : undefined;
    },
  });
  return { taken, states, rejected, release };
}

const stream = (count: number, size: number): Buffer =>
  Buffer.concat(
    Array.from({ length: count }, (_, seq) => wireMessage(message(seq, Buffer.alloc(size, seq)))),
  );
const upTo = (count: number): number[] => Array.from({ length: count }, (_, seq) => seq);

/** A publisher that, once it is subscribed to, says all of it and is gone: it hears nothing any more. */
const sayAndGo = (said: Uint8Array): Promise<RawServer> =>
  fakePublisher((peer) => {
    peer.socket.on("data", () => {
      if (peer.saidAfterReady.length === 0) return;
      peer.socket
        .removeAllListeners("data")
        .resume()
        .on("finish", () => peer.socket.destroy());
      peer.socket.end(said);
    });
  });

describe("frames that came before a connection was lost are handed over, then the loss is told,", () => {
  test.each([
    ["the rest of one read", 20, 10, 0],
    ["the rest of one read, though our pings were refused", 20, 10, 20],
    ["what was in the system's buffers too", 20, 20_000, 0],
  ])("%s", async (_, count, size, heartbeatIntervalMs) => {
    const server = await sayAndGo(stream(count, size));
    const { taken, states, rejected, release } = await holding(server.endpoint, heartbeatIntervalMs);
    await until("gone", () => server.peers[0]?.isGone === true && taken.length === 1);
    await wait(150);
    expect(states).toEqual(["connected at 0"]);
    release();
    await until("told", () => states.length === 2);
    expect(seqs(taken)).toEqual(upTo(count));
    expect(states).toEqual(["connected at 0", `disconnected at ${count}`]);
    expect(rejected).toEqual([]);
  });

  // A ping to a peer that is gone would end the socket, and with it what the system still has of it.
  test("what was in the system's buffers, although the peer is gone for many heartbeats", async () => {
    // Little enough to be in our system's buffers, not the peer's, which are gone once it refuses a ping.
    const server = await sayAndGo(stream(20, 5000));
    const { taken, states, release } = await holding(server.endpoint, 20);
    await until("gone", () => server.peers[0]?.isGone === true && taken.length === 1);
    await wait(200);
    release();
    await until("told", () => states.length === 2);
    expect(seqs(taken)).toEqual(upTo(20));
    expect(states).toEqual(["connected at 0", "disconnected at 20"]);
  });

  test("also where a breach ends it", async () => {
    const said = Buffer.concat([stream(20, 20_000), Buffer.from([0x80, 0])]);
    const server = await fakePublisher(({ socket }) => void socket.write(said));
    const { taken, states, rejected, release } = await holding(server.endpoint, 0);
    await until("taken", () => taken.length === 1);
    release();
    await until("told", () => states.length === 2);
    expect(seqs(taken)).toEqual(upTo(20));
    await until("why", () => rejected.length === 1);
    expect(rejected[0]!.message).toMatch(/framing/);
  });

  test("but not a message whose end did not come", async () => {
    const said = stream(5, 1000);
    for (const cut of [1, 999, 1003, 1020, 1027]) {
      const server = await sayAndGo(said.subarray(0, said.length - cut));
      const { taken, states, rejected, release } = await holding(server.endpoint, 0);
      await until("taken", () => taken.length === 1);
      release();
      await until("told", () => states.length === 2);
      expect(seqs(taken)).toEqual(upTo(4));
      expect(rejected).toEqual([]);
    }
  });
});

describe("a connection made again", () => {
  test("begins with a new message, whatever part of one came last", async () => {
    const whole = wireMessage(message(1, "first"));
    let cut = 0;
    const server = await fakePublisher(({ socket }) => {
      if (++cut < whole.length) socket.end(whole.subarray(0, cut));
      else socket.write(whole);
    });
    const rejected: KvBlockError[] = [];
    const socket = await subscribe({
      endpoint: server.endpoint,
      reconnectIntervalMs: 1,
      onRejected: (error) => rejected.push(error),
    });
    const [frame] = await take(socket, 1);
    expect(Buffer.from(frame!.payload).toString()).toBe("first");
    expect(socket.transport).toMatchObject({ received: 1, rejected: 0, reconnects: whole.length - 1 });
    expect(rejected).toEqual([]);
  });

  test("hears all that a libzmq publisher sends after it, each time that one comes back", async () => {
    const port = await portRun(1);
    const endpoint = `tcp://127.0.0.1:${port}`;
    const socket = await subscribe({ endpoint });
    for (let life = 0; life < 5; life++) {
      const [publisher] = await bindPublisher({ linger: 1000 }, endpoint);
      await connected(socket);
      for (let seq = 0; seq < 50; seq++) await publisher.send(message(life * 50 + seq, Buffer.alloc(5000)));
      expect(seqs(await take(socket, 50))).toEqual(upTo(50).map((seq) => life * 50 + seq));
      publisher.close();
      await until("lost", () => socket.transport.connected === 0);
      // libzmq lets go of its port a while later.
      await until("free", () => socket.transport.endpoints[0]?.state === "disconnected");
      await wait(50);
    }
    expect(socket.transport).toMatchObject({ received: 250, rejected: 0, reconnects: 4 });
  });
});

describe("an address", () => {
  const hear = async (bound: string, options: object, asked: (port: string) => string): Promise<void> => {
    const [publisher, at] = await bindPublisher(options, bound);
    const endpoint = asked(/:(\d+)$/.exec(at)![1]!);
    const socket = await subscribe({ endpoint });
    await connected(socket);
    await publisher.send(message(1, Buffer.alloc(200_000, 7)));
    const [frame] = await take(socket, 1);
    expect(frame).toMatchObject({ seq: 1n, source: endpoint });
    expect(frame!.payload.every((byte) => byte === 7)).toBe(true);
    await socket.close();
  };

  test("by name is heard where the publisher has IPv4 only", async () => {
    await hear("tcp://127.0.0.1:0", {}, (port) => `tcp://localhost:${port}`);
  });

  test("of IPv6 is heard", async ({ skip }) => {
    const hasIt = await bindPublisher({ ipv6: true }, "tcp://[::1]:0").catch(() => undefined);
    if (hasIt === undefined) skip("this machine has no ::1");
    await hear("tcp://[::1]:0", { ipv6: true }, (port) => `tcp://[::1]:${port}`);
  });

  test("that names no host is tried again, told as not there, and closed without a trace", async () => {
    const socket = await subscribe({ endpoint: "tcp://no-such-host.invalid:5557", reconnectIntervalMs: 1 });
    closers.push(() => socket.close());
    await wait(100);
    expect(socket.transport).toMatchObject({
      connected: 0,
      rejected: 0,
      endpoints: [{ state: "connecting" }],
    });
  });
});
