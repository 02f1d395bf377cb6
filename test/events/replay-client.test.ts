/** Replay from a real ROUTER socket, in both dialects, and from sockets that answer badly or not at all. */
import { afterEach, describe, expect, it } from "vitest";
import { Router } from "zeromq";
import { Publisher } from "../../examples/engine/publisher.js";
import { type ReplayedBatch, requestReplay } from "../../src/events/replay-client.js";

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of cleanUp.splice(0)) await close();
});

async function replay(
  endpoint: string,
  start: bigint,
  until: bigint,
  silenceMs = 2000,
): Promise<ReplayedBatch[]> {
  const got: ReplayedBatch[] = [];
  const signal = new AbortController().signal;
  const request = { endpoint, start, until, silenceMs, maxFrameBytes: 1 << 20, curve: null, signal };
  await requestReplay(request, (batch) => void got.push(batch));
  return got;
}

/** A ROUTER that answers each request with these messages. */
async function router(answers: (start: bigint) => Uint8Array[][]): Promise<string> {
  const socket = new Router({ linger: 0 });
  cleanUp.push(() => socket.close());
  await socket.bind("tcp://127.0.0.1:0");
  void (async () => {
    for await (const [identity, , start] of socket)
      for (const parts of answers(Buffer.from(start!).readBigUInt64BE()))
        await socket.send([identity!, ...parts]);
  })().catch(() => {});
  return socket.lastEndpoint!;
}

const none = new Uint8Array(0);
const seq = (n: number | bigint): Uint8Array => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(n));
  return bytes;
};
const end = [none, seq(2n ** 64n - 1n), none];
const batch = (n: number): Uint8Array[] => [none, seq(n), Uint8Array.of(n)];

describe("asking for a replay", () => {
  it.each(["plain", "topic"] as const)("gets what the engine has, in the %s dialect", async (dialect) => {
    const engine = await Publisher.open({
      endpoint: "tcp://127.0.0.1:*",
      connect: false,
      replayEndpoint: "tcp://127.0.0.1:*",
      replayDialect: dialect,
      bufferSteps: 5,
    });
    cleanUp.push(() => engine.close());
    for (let n = 0; n < 8; n++) await engine.publish("kv@pod@model", Uint8Array.of(n));
    const got = await replay(engine.replayEndpoint!, 4n, 7n);
    expect(got.map((one) => [Number(one.seq), [...one.payload]])).toEqual([
      [4, [4]],
      [5, [5]],
      [6, [6]],
    ]);
    expect(got[0]!.topic).toBe(dialect === "topic" ? "kv@pod@model" : null);
    // Only the last five are kept: it begins later than asked.
    expect((await replay(engine.replayEndpoint!, 0n, 8n)).map((one) => Number(one.seq))).toEqual([
      3, 4, 5, 6, 7,
    ]);
  });

  it("ends when it is told that no more is wanted", async () => {
    const endpoint = await router(() => [batch(3), batch(4), batch(5)]);
    const got: bigint[] = [];
    const signal = new AbortController().signal;
    const request = { endpoint, start: 3n, until: 100n, silenceMs: 2000, maxFrameBytes: 1024, curve: null };
    await requestReplay({ ...request, signal }, (one) => got.push(one.seq) < 2);
    expect(got).toEqual([3n, 4n]);
  });

  it("ends at the end mark", async () => {
    const endpoint = await router(() => [batch(3), batch(4), end]);
    expect((await replay(endpoint, 3n, 100n)).map((one) => Number(one.seq))).toEqual([3, 4]);
  });

  it("fails in time where nobody listens, nobody answers, or the answer never ends", async () => {
    const failure = { code: "ERR_KVBLOCK_SUBSCRIBE" };
    await expect(replay("tcp://127.0.0.1:1", 0n, 9n, 100)).rejects.toMatchObject(failure);
    await expect(replay(await router(() => []), 0n, 9n, 100)).rejects.toMatchObject(failure);
    await expect(replay(await router(() => [batch(3)]), 0n, 9n, 100)).rejects.toMatchObject(failure);
  });

  it("fails where the answer goes round in circles or is no replay", async () => {
    const failure = { code: "ERR_KVBLOCK_SUBSCRIBE", cause: { code: "ERR_KVBLOCK_FRAME" } };
    const circle = await router(() => [batch(3), batch(4), batch(3), end]);
    await expect(replay(circle, 0n, 9n)).rejects.toMatchObject(failure);
    const nonsense = await router(() => [[none, none, none, none, none, none]]);
    await expect(replay(nonsense, 0n, 9n)).rejects.toMatchObject(failure);
  });

  it("stops when it is told to", async () => {
    const endpoint = await router(() => []);
    const controller = new AbortController();
    const asked = requestReplay(
      {
        endpoint,
        start: 0n,
        until: 9n,
        silenceMs: 60_000,
        maxFrameBytes: 1024,
        curve: null,
        signal: controller.signal,
      },
      () => {},
    );
    setTimeout(() => controller.abort(new Error("enough")), 50);
    await expect(asked).rejects.toThrow("enough");
  });
});
