/** Frames of libzmq publishers over our own transport: every size, topic and number, as libzmq reads them. */
import { randomUUID } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KvBlockError, KvFrame } from "kvblock";
import { describe, expect, test } from "vitest";
import type zmq from "zeromq";
import { seeded } from "../../support/random.js";
import { bindPublisher, connected, message, seqs, subscribe, take, until } from "../sockets.js";
import { fakePublisher, noise, type Part, wireMessage } from "./wire.js";

const SIZES = [0, 1, 8, 254, 255, 256, 65_535, 65_536, 300_000];

const numbered = (topic: Part, seq: bigint, payload: Part): Part[] => {
  const number = Buffer.alloc(8);
  number.writeBigUInt64BE(seq);
  return [topic, number, payload];
};

async function sendAll(publisher: zmq.Publisher, messages: readonly Part[][]): Promise<void> {
  for (const parts of messages) await publisher.send(parts as (string | Buffer)[]);
}

/** Compared without a report of what differs, which for megabytes takes minutes. */
function expectFrames(
  frames: readonly KvFrame[],
  sent: readonly { topic: string; seq: bigint; payload: Uint8Array }[],
): void {
  expect(frames.map(({ topic, seq, payload }) => [topic, seq, payload.length])).toEqual(
    sent.map(({ topic, seq, payload }) => [topic, seq, payload.length]),
  );
  for (const [i, { payload }] of frames.entries())
    if (Buffer.compare(payload, sent[i]!.payload) !== 0) expect.fail(`payload ${i} is another`);
}

describe("frames from a libzmq publisher", () => {
  test("of every size, up to 15 MiB, arrive byte for byte and in order", async () => {
    const [publisher, endpoint] = await bindPublisher({ sendHighWaterMark: 0 });
    const socket = await subscribe({ endpoint });
    await connected(socket);
    const random = seeded(1);
    const block = noise(1 << 20, random);
    const big = Buffer.concat(Array.from({ length: 15 }, (_, i) => block.map((byte) => byte ^ i)));
    const payloads = [...SIZES, ...SIZES].map((size) => noise(size, random));
    payloads.splice(7, 0, big);
    const sent = payloads.map((payload, i) => ({ topic: "kv@pod@model", seq: BigInt(i), payload }));
    await sendAll(
      publisher,
      sent.map(({ topic, seq, payload }) => numbered(topic, seq, payload)),
    );
    expectFrames(await take(socket, sent.length), sent);
    expect(socket.transport).toMatchObject({ received: sent.length, rejected: 0, reconnects: 0 });
  });

  test("have their sequence numbers whole, also where a number would not hold them", async () => {
    const [publisher, endpoint] = await bindPublisher();
    const socket = await subscribe({ endpoint });
    await connected(socket);
    const random = seeded(2);
    const sent = [0n, 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n + 1n, 2n ** 63n];
    sent.push(2n ** 63n - 1n, 2n ** 64n - 2n, 2n ** 64n - 1n);
    for (let i = 0; i < 100; i++) sent.push(noise(8, random).readBigUInt64BE());
    await sendAll(
      publisher,
      sent.map((seq) => numbered("t", seq, "p")),
    );
    expect((await take(socket, sent.length)).map(({ seq }) => seq)).toEqual(sent);
  });

  test("have their topics whichever came before: of equal length, of none, of other alphabets", async () => {
    const [publisher, endpoint] = await bindPublisher({ sendHighWaterMark: 0 });
    const socket = await subscribe({ endpoint });
    await connected(socket);
    const topics = [
      "",
      "a",
      "b",
      "kv@a@m",
      "kv@b@m",
      "kv@a@n",
      "é",
      "è",
      "кв@под@м",
      "\u{1f600}",
      "\ufeffbom",
    ];
    topics.push("x".repeat(255), "x".repeat(254), `${"x".repeat(254)}y`, "x".repeat(256), "\0", "a\0");
    const random = seeded(3);
    const sent = Array.from({ length: 1000 }, () => topics[Math.floor(random() ** 2 * topics.length)]!);
    await sendAll(
      publisher,
      sent.map((topic, seq) => numbered(topic, BigInt(seq), "p")),
    );
    const frames = await take(socket, sent.length);
    expect(frames.map(({ topic }) => topic)).toEqual(sent);
    expect(frames.every(({ source }) => source === endpoint)).toBe(true);
  });
});

describe("a message that is no frame", () => {
  test.each<[string, Part[], RegExp]>([
    ["a topic that is not UTF-8", numbered(Buffer.from([0x6b, 0xff, 0xfe]), 1n, "p"), /UTF-8/],
    ["one part", ["kv"], /3 parts.*got 1/],
    ["two parts", numbered("kv", 1n, "p").slice(0, 2), /3 parts.*got 2/],
    ["four parts", [...numbered("kv", 1n, "p"), "more"], /3 parts.*got 4/],
    ["a sequence number of 7 bytes", ["kv", Buffer.alloc(7), "p"], /8 bytes, got 7/],
    ["a sequence number of 9 bytes", ["kv", Buffer.alloc(9), "p"], /8 bytes, got 9/],
    ["no bytes at all", [""], /got 1/],
  ])("with %s is counted and told, and the ones around it are right", async (_, wrong, why) => {
    const [publisher, endpoint] = await bindPublisher();
    const rejected: [KvBlockError, string][] = [];
    const socket = await subscribe({ endpoint, onRejected: (...told) => rejected.push(told) });
    await connected(socket);
    const frames = ["kv@a@m", "", "kv@a@m"].map((topic, i) => ({
      topic,
      seq: BigInt(i),
      payload: Buffer.from([i]),
    }));
    const [first, second, third] = frames.map(({ topic, seq, payload }) => numbered(topic, seq, payload));
    await sendAll(publisher, [first!, wrong, second!, wrong, wrong, third!]);
    expectFrames(await take(socket, 3), frames);
    const told = [
      expect.objectContaining({ code: "ERR_KVBLOCK_FRAME", message: expect.stringMatching(why) }),
      endpoint,
    ];
    expect(rejected).toEqual([told, told, told]);
    expect(socket.transport).toMatchObject({ received: 3, rejected: 3, connected: 1, reconnects: 0 });
  });
});

describe("our own transport and libzmq's", () => {
  test("read the same of one publisher", async () => {
    const [publisher, tcp] = await bindPublisher({ sendHighWaterMark: 0 });
    const ipc = `ipc://${join(tmpdir(), `kvblock-zmtp-${randomUUID()}.sock`)}`;
    await publisher.bind(ipc);
    const rejected = new Map<string, string[]>([tcp, ipc].map((endpoint) => [endpoint, []]));
    const onRejected = (error: KvBlockError, endpoint: string): unknown =>
      rejected.get(endpoint)!.push(error.message);
    const [ours, theirs] = [
      await subscribe({ endpoint: tcp, onRejected }),
      await subscribe({ endpoint: ipc, onRejected }),
    ];
    await connected(ours);
    await connected(theirs);
    const random = seeded(4);
    const any = <Value>(values: readonly Value[]): Value => values[Math.floor(random() * values.length)]!;
    const topics: Part[] = ["", "kv@a@m", "kv@b@m", "п", Buffer.from([0x80]), Buffer.from([0xc3])];
    const messages = Array.from({ length: 600 }, () => {
      const parts = numbered(
        any(topics),
        noise(8, random).readBigUInt64BE(),
        noise(any(SIZES.slice(0, 7)), random),
      );
      if (random() < 0.1) parts.splice(Math.floor(random() * 4), 1, ...(random() < 0.5 ? [] : ["x", ""]));
      return parts;
    });
    const frames = [...messages, numbered("the last", 1n, "")];
    await sendAll(publisher, frames);
    const untilLast = async (socket: typeof ours): Promise<KvFrame[]> => {
      const read: KvFrame[] = [];
      for await (const frame of socket) {
        read.push(frame);
        if (frame.topic === "the last") break;
      }
      return read;
    };
    const [own, other] = await Promise.all([untilLast(ours), untilLast(theirs)]);
    expect(own.length).toBeGreaterThan(200);
    expectFrames(own, other);
    expect(own.map((frame) => Object.keys(frame).sort())).toEqual(
      other.map((frame) => Object.keys(frame).sort()),
    );
    // A Buffer's slice aliases: what is handed over has none.
    expect(own.every(({ payload }) => Object.getPrototypeOf(payload) === Uint8Array.prototype)).toBe(true);
    expect(rejected.get(tcp)!.length).toBeGreaterThan(100);
    expect(rejected.get(tcp)).toEqual(rejected.get(ipc));
  });
});

describe("a topic filter", () => {
  test("of any length is what a libzmq publisher goes by", async () => {
    const [publisher, endpoint] = await bindPublisher();
    for (const length of [1, 244, 245, 246, 255, 256, 300]) {
      const topicFilter = "é".repeat(length >> 1) + "x".repeat(length & 1);
      const socket = await subscribe({ endpoint, topicFilter });
      await connected(socket);
      await sendAll(
        publisher,
        ["", topicFilter.slice(0, -1), `${topicFilter}y`].map((t) => numbered(t, 1n, "p")),
      );
      expect((await take(socket, 1))[0]!.topic).toBe(`${topicFilter}y`);
      await socket.close();
    }
  });

  test("holds also where the publisher ignores it", async () => {
    const topics = ["kv@ab@m", "", "kv@a@m", "kv@a", "KV@a@m", "kv@a@n", "x kv@a@"];
    const { endpoint } = await fakePublisher(({ socket }) => {
      for (const [seq, topic] of topics.entries()) socket.write(wireMessage(message(seq, "p", topic)));
    });
    const rejected: KvBlockError[] = [];
    const socket = await subscribe({
      endpoint,
      topicFilter: "kv@a@",
      onRejected: (error) => rejected.push(error),
    });
    expect(seqs(await take(socket, 2))).toEqual([2, 5]);
    await until("counted", () => socket.transport.received === 2);
    expect(rejected).toEqual([]);
  });
});
