/** The engine's event sockets, read by plain zeromq sockets over loopback. */
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { Dealer, Request, Subscriber } from "zeromq";
import { Publisher, type PublisherOptions } from "../../examples/engine/publisher.js";

const ANY_PORT = "tcp://127.0.0.1:*";
const hex = (parts: Uint8Array[]): string[] => parts.map((part) => Buffer.from(part).toString("hex"));
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const u64 = (value: bigint): Uint8Array => {
  const seq = Buffer.alloc(8);
  seq.writeBigUInt64BE(value);
  return seq;
};

const open: { close(): void | Promise<void> }[] = [];
const closing = <T extends { close(): void | Promise<void> }>(resource: T): T => {
  open.push(resource);
  return resource;
};
afterEach(async () => {
  for (const resource of open.splice(0).reverse()) await resource.close();
});

const TOPIC = "kv@pod@model";

async function publisher(options: Partial<PublisherOptions> = {}): Promise<Publisher> {
  return closing(
    await Publisher.open({
      endpoint: ANY_PORT,
      connect: false,
      replayEndpoint: ANY_PORT,
      replayDialect: "topic",
      bufferSteps: 100,
      ...options,
    }),
  );
}

/** Messages are lost until a subscription has arrived, so keep publishing until the first one is received. */
async function firstMessages(
  pub: Publisher,
  sub: Subscriber,
  count: number,
  topic: string = TOPIC,
): Promise<Uint8Array[][]> {
  const received: Uint8Array[][] = [];
  const timer = setInterval(() => pub.publish(topic, bytes(`batch ${pub.published}`)), 5);
  try {
    while (received.length < count) received.push(await sub.receive());
  } finally {
    clearInterval(timer);
  }
  return received;
}

async function replay(pub: Publisher, start: bigint): Promise<string[][]> {
  const dealer = closing(new Dealer({ linger: 0, receiveTimeout: 5000 }));
  dealer.connect(pub.replayEndpoint!);
  await dealer.send([new Uint8Array(0), u64(start)]);
  const replies: string[][] = [];
  for (;;) {
    const reply = hex(await dealer.receive());
    replies.push(reply);
    if (reply.at(-2) === "ffffffffffffffff" && reply.at(-1) === "") return replies;
  }
}

describe("live batches", () => {
  it("carry topic, an 8-byte sequence without gaps, and the payload", async () => {
    const pub = await publisher();
    const sub = closing(new Subscriber({ receiveTimeout: 5000 }));
    sub.subscribe("kv@");
    sub.connect(pub.endpoint);
    const messages = await firstMessages(pub, sub, 3);
    const first = Buffer.from(messages[0]![1]!).readBigUInt64BE();
    for (const [index, message] of messages.entries()) {
      const seq = first + BigInt(index);
      expect(hex(message)).toEqual(hex([bytes(TOPIC), u64(seq), bytes(`batch ${seq}`)]));
    }
  });

  it("reach a subscriber that has bound its socket", async () => {
    const sub = closing(new Subscriber({ receiveTimeout: 5000 }));
    sub.subscribe();
    await sub.bind(ANY_PORT);
    const pub = await publisher({ endpoint: sub.lastEndpoint!, connect: true });
    const [message] = await firstMessages(pub, sub, 1, "");
    expect(message).toHaveLength(3);
    expect(message![0]).toHaveLength(0);
  });
});

describe("replay", () => {
  const { live: _live, ...frames } = JSON.parse(
    readFileSync(new URL("../vectors/zmq_frames.json", import.meta.url), "utf8"),
  ) as Record<string, { seen_by_DEALER: string[][] }> & { live: unknown };

  it.each([
    { replayDialect: "plain" as const, vector: "replay_reply_old (before PR 45177)" },
    { replayDialect: "topic" as const, vector: "replay_reply_new (PR 45177, ~v0.24)" },
  ])("in the $replayDialect dialect answers as the vector has it", async ({ replayDialect, vector }) => {
    const expected = frames[vector]!.seen_by_DEALER;
    const payload = Buffer.from(expected[0]!.at(-1)!, "hex");
    const pub = await publisher({ replayDialect });
    for (let seq = 0; seq <= 0x12; seq++)
      pub.publish("kv@10.0.0.1:8000@model", seq < 0x11 ? bytes("earlier") : payload);
    expect(await replay(pub, 0x11n)).toEqual(expected);
  });

  it("reaches back as far as the buffer", async () => {
    const pub = await publisher({ replayDialect: "plain", bufferSteps: 3 });
    for (let seq = 0; seq < 10; seq++) pub.publish(TOPIC, bytes(`${seq}`));
    const replies = await replay(pub, 0n);
    expect(replies.map((reply) => reply[1])).toEqual([
      ...hex([u64(7n), u64(8n), u64(9n)]),
      "ffffffffffffffff",
    ]);
  });

  it("of what is yet to come is the end mark alone", async () => {
    const pub = await publisher({ replayDialect: "topic" });
    expect(await replay(pub, 5n)).toEqual([["", "", "ffffffffffffffff", ""]]);
  });

  it("gives a REQ socket one answer, and survives its going and malformed requests", async () => {
    const pub = await publisher({ replayDialect: "plain" });
    pub.publish(TOPIC, bytes("0"));
    const request = closing(new Request({ linger: 0, receiveTimeout: 5000 }));
    request.connect(pub.replayEndpoint!);
    await request.send([u64(0n)]);
    expect(hex(await request.receive())).toEqual(hex([u64(0n), bytes("0")]));
    request.close();
    const dealer = closing(new Dealer({ linger: 0 }));
    dealer.connect(pub.replayEndpoint!);
    await dealer.send([u64(0n)]);
    await dealer.send([new Uint8Array(0), bytes("short")]);
    await dealer.send([new Uint8Array(0), u64(0n), bytes("more")]);
    expect(await replay(pub, 0n)).toHaveLength(2);
  });

  it("is not there when it is not asked for", async () => {
    const pub = await publisher({ replayEndpoint: null });
    expect(pub.replayEndpoint).toBeNull();
  });
});

it("a port in use is an error that names the endpoint, and leaves no socket open", async () => {
  const pub = await publisher();
  await expect(publisher({ endpoint: pub.endpoint })).rejects.toThrow(
    `cannot open the event sockets at ${pub.endpoint}`,
  );
});
