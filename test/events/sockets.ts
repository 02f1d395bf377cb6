/** Publishers, subscriptions and messages for the tests on real sockets; all are closed after each test. */
import { setTimeout as wait } from "node:timers/promises";
import type { KvFrame } from "kvblock";
import { type EventSocket, type EventSocketOptions, openEventSocket } from "kvblock/events";
import { afterEach, expect, vi } from "vitest";
import zmq from "zeromq";

/** What to close after the test, last first. */
export const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

export async function bindPublisher(
  options: object = {},
  endpoint = "tcp://127.0.0.1:0",
): Promise<[zmq.Publisher, string]> {
  const publisher = new zmq.Publisher({ linger: 0, ...options });
  closers.push(() => publisher.close());
  await publisher.bind(endpoint);
  return [publisher, publisher.lastEndpoint!];
}

export async function subscribe(options: EventSocketOptions): Promise<EventSocket> {
  const socket = await openEventSocket({ reconnectIntervalMs: 20, ...options });
  closers.push(() => socket.close());
  return socket;
}

export const until = (what: string, holds: () => boolean): Promise<void> =>
  vi.waitFor(() => expect(holds(), what).toBe(true), { timeout: 10_000, interval: 5 });

/** Until subscriptions have reached the publishers: a PUB drops what is sent before. */
export const connected = async (socket: EventSocket, count = 1): Promise<void> => {
  await until("connected", () => socket.transport.connected === count);
  await wait(50);
};

export const message = (
  seq: number,
  payload: Uint8Array | string = "p",
  topic = "kv@pod@model",
): (string | Uint8Array)[] => {
  const number = Buffer.alloc(8);
  number.writeBigUInt64BE(BigInt(seq));
  return [topic, number, payload];
};

export async function take(socket: EventSocket, count: number): Promise<KvFrame[]> {
  const frames: KvFrame[] = [];
  if (count > 0) for await (const frame of socket) if (frames.push(frame) === count) break;
  return frames;
}

export const seqs = (frames: readonly KvFrame[]): number[] => frames.map(({ seq }) => Number(seq));
