/** What a subscription asks of an engine's replay socket, on real ZeroMQ sockets. */
import { setTimeout as wait } from "node:timers/promises";
import { decode, encode } from "@msgpack/msgpack";
import type { Repair } from "kvblock/events";
import { expect, test } from "vitest";
import { Publisher } from "../../examples/engine/publisher.js";
import { portRun } from "../support/ports.js";
import { closers, connected, subscribe, take, until } from "./sockets.js";

/** An engine process that has published this many batches; the time of each says which process it was. */
async function engine(born: number, port: number, bufferSteps = 100) {
  const publisher = await Publisher.open({
    endpoint: `tcp://127.0.0.1:${port}`,
    connect: false,
    replayEndpoint: `tcp://127.0.0.1:${port + 1}`,
    replayDialect: "topic",
    bufferSteps,
  });
  closers.push(() => publisher.close());
  const publish = (): void =>
    publisher.publish("kv@pod@model", encode([born + Number(publisher.published) + 0.5, [], 0]));
  return { publisher, publish };
}

test.each([
  ["from its first frame on", "full", 100, [0, 1, 2, 3, 4, 5, 6], { state: "repaired", start: 0n }],
  ["as far as the engine has it", "full", 4, [2, 3, 4, 5, 6], { state: "partly", start: 0n }],
  [
    "beside the gap, where only gaps are wanted",
    "gap-only",
    100,
    [2, 3, 4, 5, 6],
    { state: "partly", start: 2n },
  ],
] as const)(
  "an engine restarted behind a gap is heard anew, %s",
  async (_, replay, bufferSteps, then, end) => {
    const port = await portRun(2);
    const old = await engine(1000, port);
    const repairs: Repair[] = [];
    const socket = await subscribe({
      endpoint: `tcp://127.0.0.1:${port}`,
      replayEndpoint: `tcp://127.0.0.1:${port + 1}`,
      replay,
      // Time for the new process to publish unheard.
      reconnectIntervalMs: 500,
      onRepair: (repair) => repairs.push(repair),
    });
    await connected(socket);
    if (replay === "full") await until("asked", () => repairs.at(-1)?.state === "repaired");
    for (let seq = 0; seq <= 2; seq++) old.publish();
    await take(socket, 3);
    await old.publisher.close();
    await until("lost", () => socket.transport.connected === 0);
    const { publish } = await engine(2000, port, bufferSteps);
    for (let seq = 0; seq <= 5; seq++) publish();
    // Asked at the connection: nothing need be heard of the new process.
    const replayed = take(socket, then.length - 1);
    await until("asked", () => repairs.at(-1)?.start === end.start && repairs.at(-1)?.state === end.state);
    await connected(socket);
    publish();
    const frames = [...(await replayed), ...(await take(socket, 1))];
    expect(frames.map(({ payload }) => (decode(payload) as [number])[0] - 2000.5)).toEqual(then);
    expect(repairs.at(-1)).toMatchObject({ ...end, until: null });
    // And at the first connection, where all is wanted.
    expect(repairs).toHaveLength(replay === "full" ? 4 : 2);
  },
);

test("closed while it asks, a subscription asks no more and ends at once", async () => {
  const port = await portRun(2);
  const { publish } = await engine(1000, port);
  publish();
  const repairs: Repair[] = [];
  const socket = await subscribe({
    endpoint: `tcp://127.0.0.1:${port}`,
    replayEndpoint: "tcp://127.0.0.1:1",
    replayTimeoutMs: 60_000,
    onRepair: (repair) => repairs.push(repair),
  });
  await connected(socket);
  publish();
  await until("asked", () => repairs.length === 1);
  publish();
  await socket.close();
  await wait(100);
  expect(repairs.map(({ state }) => state)).toEqual(["asking", "failed"]);
  expect(repairs[1]!.error).toMatchObject({ name: "AbortError" });
});
