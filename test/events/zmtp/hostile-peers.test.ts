/** Hostile peers, which may cost neither the process's memory and time, nor frames of others. */
import { setTimeout as wait } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { seeded } from "../../support/random.js";
import { bindPublisher, message, seqs, subscribe, take, until } from "../sockets.js";
import { mutated } from "./mutated.js";
import { command, fakePublisher, framed, MORE, record, wireMessage } from "./wire.js";

describe("a peer", () => {
  const PARTS = 50_000;
  const MIB = 1 << 20;

  test("that sends parts without end has one message rejected, and no memory for them", async () => {
    const empties = Buffer.concat(Array.from({ length: PARTS }, () => framed(MORE, "")));
    const large = Buffer.concat(Array.from({ length: 8 }, () => framed(MORE, Buffer.alloc(2 * MIB))));
    const { endpoint } = await fakePublisher(({ socket }) => {
      for (const parts of [empties, large])
        socket.write(Buffer.concat([parts, wireMessage(["last"]), wireMessage(message(1))]));
    });
    const told: string[] = [];
    const socket = await subscribe({ endpoint, onRejected: ({ message: why }) => told.push(why) });
    expect(seqs(await take(socket, 2))).toEqual([1, 1]);
    expect(told).toEqual([expect.stringMatching(`got ${PARTS + 1}`), expect.stringMatching("got 9")]);
    expect(socket.transport).toMatchObject({ received: 2, rejected: 2, connected: 1 });
  });

  test("that pings and reads no answers is owed no more of them than the system takes", async () => {
    // The system takes some 4 MB, which are 190 000 answers.
    const COUNT = 400_000;
    const ping = command("PING", Buffer.from("\0\0sixteen bytes ok", "latin1"));
    const pings = Buffer.concat(Array.from({ length: 10_000 }, () => ping));
    const server = await fakePublisher(({ socket }) => {
      socket.pause();
      void (async () => {
        for (let i = 0; i < COUNT; i += 10_000) {
          if (!socket.write(pings)) await new Promise((resolve) => socket.once("drain", resolve));
        }
        socket.write(wireMessage(message(1)));
      })();
    });
    const socket = await subscribe({ endpoint: server.endpoint });
    expect(seqs(await take(socket, 1))).toEqual([1]);
    expect(socket.transport).toMatchObject({ connected: 1, rejected: 0 });
    // Read now, it hears those that the system had taken: what we had kept would come after them.
    const [peer] = server.peers;
    peer!.socket.resume();
    let heard = -1;
    while (heard < peer!.said.length) {
      heard = peer!.said.length;
      await wait(100);
    }
    const answers = peer!.saidAfterReady.length / command("PONG", "sixteen bytes ok").length;
    expect(answers).toBeGreaterThan(10);
    expect(answers).toBeLessThan(0.75 * COUNT);
  });

  test("that pings with megabytes of context does not stop the loop", async () => {
    // RFC 37 allows 16 bytes.
    const ping = command("PING", Buffer.alloc(16 * MIB));
    const { endpoint } = await fakePublisher(({ socket }) => {
      socket.write(ping);
      socket.write(wireMessage(message(1)));
    });
    let [longest, last] = [0, performance.now()];
    const timer = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 1);
    try {
      const socket = await subscribe({ endpoint });
      await until("heard, or refused", () => socket.transport.received + socket.transport.rejected > 0);
      await wait(20);
    } finally {
      clearInterval(timer);
    }
    // Copied once it takes milliseconds.
    expect(longest).toBeLessThan(300);
  });

  test("that sends commands of no meaning is heard all the same", async () => {
    const odd = [
      framed(4, ""),
      framed(4, "\xff"),
      framed(5, "\x04PING"),
      command("PING"),
      command("PONG", "x"),
    ];
    odd.push(
      command("SUBSCRIBE", "kv"),
      command("READY"),
      command("ERROR", "\x03why"),
      framed(4, Buffer.alloc(300, 1)),
    );
    const { endpoint } = await fakePublisher(({ socket }) => {
      for (const said of odd) socket.write(Buffer.concat([said, wireMessage(message(1))]));
    });
    const socket = await subscribe({ endpoint });
    expect((await take(socket, odd.length)).length).toBe(odd.length);
  });

  test("whose bytes are changed anywhere costs the frames of no other", async () => {
    const chance = seeded(12);
    const { traffic } = await record(
      Array.from({ length: 8 }, (_, seq) => message(seq, "p".repeat(40 * seq))),
    );
    const bad = await fakePublisher(({ socket }) => void socket.end(mutated(traffic, chance)));
    const [publisher, good] = await bindPublisher();
    const taken: bigint[] = [];
    const socket = await subscribe({
      endpoint: [bad.endpoint, good],
      reconnectIntervalMs: 1,
      reconnectMaxIntervalMs: 5,
      onFrame: ({ source, seq }) => source === good && taken.push(seq),
    });
    await until("up", () => socket.transport.endpoints[1]!.state === "connected");
    await wait(50);
    for (let seq = 0; seq < 200; seq++) {
      await publisher.send(message(seq));
      if (seq % 10 === 0) await wait(5);
    }
    await until("all", () => taken.length === 200);
    await until("many times", () => bad.peers.length > 30);
    expect(taken).toEqual(Array.from({ length: 200 }, (_, seq) => BigInt(seq)));
  });
});
