/** Who is there, and who is not: pings in both directions, silence, and ZMTP 3.0, which knows neither. */
import { setTimeout as wait } from "node:timers/promises";
import { type EventSocketOptions, openEventSocket } from "kvblock/events";
import { beforeAll, describe, expect, test } from "vitest";
import { bindPublisher, closers, connected, message, seqs, subscribe, take, until } from "../sockets.js";
import {
  COMMAND,
  command,
  fakePublisher,
  framed,
  GREETING_BYTES,
  greeting,
  type Peer,
  type Recording,
  ready,
  record,
  wireMessage,
} from "./wire.js";

const INTERVAL = 50;
const PING = command("PING", Buffer.from([0, 0]));
const pingsOf = (peer: Peer): number => {
  let count = 0;
  for (let at = -1; (at = peer.said.indexOf(Buffer.from("PING"), at + 1)) >= 0; ) count++;
  return count;
};
let libzmq: Recording;
beforeAll(async () => {
  libzmq = await record([["p"]]);
});

describe("an idle connection to a libzmq publisher", () => {
  test.each([
    ["that pings, as we do", { heartbeatInterval: INTERVAL, heartbeatTimeout: 3 * INTERVAL }, INTERVAL],
    ["that pings, as we do not", { heartbeatInterval: INTERVAL, heartbeatTimeout: 3 * INTERVAL }, 0],
    [
      "that pings and tells us for how long",
      { heartbeatInterval: INTERVAL, heartbeatTimeToLive: 200 },
      INTERVAL,
    ],
    ["that does not ping, as we do", {}, INTERVAL],
  ])("%s stays up over many intervals", async (_, options, heartbeatIntervalMs) => {
    const [publisher, endpoint] = await bindPublisher(options);
    const socket = await subscribe({ endpoint, heartbeatIntervalMs });
    await connected(socket);
    const disconnects: unknown[] = [];
    publisher.events.on("disconnect", (event) => disconnects.push(event));
    await wait(16 * INTERVAL);
    expect(socket.transport).toMatchObject({ connected: 1, reconnects: 0, rejected: 0 });
    expect(disconnects).toEqual([]);
    await publisher.send(message(1));
    expect(seqs(await take(socket, 1))).toEqual([1]);
  });
});

describe("a peer that shook hands as libzmq does", () => {
  test("and then is silent is lost within about four intervals, and tried again", async () => {
    const server = await fakePublisher(undefined, libzmq);
    const lostAt: number[] = [];
    const socket = await subscribe({
      endpoint: server.endpoint,
      heartbeatIntervalMs: INTERVAL,
      onTransport: ({ connected }) => connected === 0 && lostAt.push(performance.now()),
    });
    await until("lost", () => lostAt.length > 0);
    const after = lostAt[0]! - server.peers[0]!.at;
    // Not before three went unanswered. How much later is the machine's, whose timers may come late.
    expect(after).toBeGreaterThan(3 * INTERVAL - 20);
    expect(after).toBeLessThan(4 * INTERVAL + 400);
    await until("tried again", () => server.peers.length > 1);
    await until("counted", () => socket.transport.reconnects > 0);
    expect(socket.transport.rejected).toBe(0);
  });

  test("and answers pings, or says anything else, stays", async () => {
    for (const answer of [command("PONG"), PING, wireMessage(message(1))]) {
      const server = await fakePublisher(({ socket }) => {
        const timer = setInterval(() => socket.write(answer), INTERVAL);
        socket.on("close", () => clearInterval(timer));
      }, libzmq);
      const socket = await subscribe({
        endpoint: server.endpoint,
        heartbeatIntervalMs: INTERVAL,
        onFrame: () => {},
      });
      await until("up", () => socket.transport.connected === 1);
      await wait(10 * INTERVAL);
      expect(socket.transport).toMatchObject({ connected: 1, reconnects: 0 });
      expect(server.peers.length).toBe(1);
      expect(pingsOf(server.peers[0]!)).toBeGreaterThan(3);
      await socket.close();
    }
  });

  test("is not pinged without heartbeats, and stays however silent", async () => {
    const server = await fakePublisher(undefined, libzmq);
    const socket = await subscribe({ endpoint: server.endpoint, heartbeatIntervalMs: 0 });
    await until("up", () => socket.transport.connected === 1);
    await wait(8 * INTERVAL);
    expect(socket.transport).toMatchObject({ connected: 1, reconnects: 0 });
    expect(pingsOf(server.peers[0]!)).toBe(0);
  });

  test("is answered each ping with a PONG that brings back its context", async () => {
    const contexts = ["", "a", "sixteen bytes ok"];
    const server = await fakePublisher(({ socket }) => {
      for (const context of contexts)
        socket.write(command("PING", Buffer.concat([Buffer.from([0, 100]), Buffer.from(context)])));
    }, libzmq);
    await subscribe({ endpoint: server.endpoint, heartbeatIntervalMs: 0 });
    const expected = Buffer.concat([
      command("SUBSCRIBE"),
      ...contexts.map((context) => command("PONG", context)),
    ]);
    await until("answered", () => server.peers[0]?.saidAfterReady.length === expected.length);
    expect(server.peers[0]!.saidAfterReady).toEqual(expected);
  });

  test("is not taken for lost while a frame of its is held, and is when it is silent after that", async () => {
    const server = await fakePublisher(({ socket }) => void socket.write(wireMessage(message(1))), libzmq);
    let release = (): void => {};
    let taken = 0;
    const socket = await subscribe({
      endpoint: server.endpoint,
      heartbeatIntervalMs: INTERVAL,
      onFrame: () => {
        taken++;
        return new Promise<void>((resolve) => {
          release = resolve;
        });
      },
    });
    await until("taken", () => taken === 1);
    await wait(12 * INTERVAL);
    expect(socket.transport).toMatchObject({ connected: 1, reconnects: 0 });
    // A loss would be told only when the frame is done with.
    expect(server.peers[0]!.isGone).toBe(false);
    release();
    await until("lost", () => server.peers[0]!.isGone);
  });
});

describe("a peer of ZMTP", () => {
  const subscribeTo = async (minor: number, options: Partial<EventSocketOptions>): Promise<Peer> => {
    const hello = Buffer.from(libzmq.greeting);
    hello[11] = minor;
    const server = await fakePublisher(undefined, { ...libzmq, greeting: hello });
    const socket = await openEventSocket({
      endpoint: server.endpoint,
      heartbeatIntervalMs: INTERVAL,
      ...options,
    });
    closers.push(() => socket.close());
    await until("subscribed", () => (server.peers[0]?.saidAfterReady.length ?? 0) > 0);
    return server.peers[0]!;
  };

  test.each(["", "kv@", "é", "x".repeat(254), "x".repeat(255), "x".repeat(300)])(
    "3.0 is told of topic %j in a message, one of 3.1 in a command",
    async (topicFilter) => {
      const old = await subscribeTo(0, { topicFilter });
      await wait(3 * INTERVAL);
      expect(old.saidAfterReady).toEqual(
        framed(0, Buffer.concat([Buffer.from([1]), Buffer.from(topicFilter)])),
      );
      const said = command("SUBSCRIBE", topicFilter);
      expect(said[0]! & COMMAND).toBe(COMMAND);
      const current = await subscribeTo(1, { topicFilter });
      expect(current.saidAfterReady.subarray(0, said.length)).toEqual(said);
    },
  );

  test("3.0 gets no PING and is not lost for its silence; one of 3.1 gets PINGs, as of RFC 37", async () => {
    const old = await subscribeTo(0, {});
    await wait(8 * INTERVAL);
    expect([old.isGone, pingsOf(old)]).toEqual([false, 0]);
    const current = await subscribeTo(1, {});
    await until("pinged", () => pingsOf(current) > 1);
    expect(current.saidAfterReady).toEqual(
      Buffer.concat([command("SUBSCRIBE"), ...Array.from({ length: pingsOf(current) }, () => PING)]),
    );
  });

  test("3.1 hears first what RFC 23 has a client say: a greeting of NULL, and READY as a SUB", async () => {
    const peer = await subscribeTo(1, {});
    expect(peer.said.subarray(0, GREETING_BYTES)).toEqual(greeting(1));
    expect(peer.said.subarray(GREETING_BYTES, GREETING_BYTES + ready().length)).toEqual(ready());
  });
});
