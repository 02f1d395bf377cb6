/** Indexers on publisher processes, for the tests of this folder; all are ended after each test. */
import { createServer, connect as dial, type Socket } from "node:net";
import { type Diagnostic, Indexer, type SubscribeOptions, type Subscription } from "kvblock";
import { MODEL, requestOf } from "../../benchmarks/soak/prompts.js";
import type { ProcessArguments } from "../../benchmarks/soak/publisher-process.js";
import { PublisherProcess } from "../../benchmarks/soak/publishers.js";
import { closers } from "../events/sockets.js";
import { portRun } from "../support/ports.js";

export const POD = "10.0.0.7";

/** A publisher process on free ports of loopback. */
export async function engine(options: Partial<ProcessArguments> & { withReplay?: boolean } = {}): Promise<{
  publisher: PublisherProcess;
  events: number;
  replay: number;
  endpoint: string;
  replayEndpoint: string;
}> {
  const { withReplay = true, ...rest } = options;
  const events = await portRun(2);
  const replay = events + 1;
  const publisher = await restart({ events, replay: withReplay ? replay : null, ...rest });
  const at = (port: number): string => `tcp://127.0.0.1:${port}`;
  return { publisher, events, replay, endpoint: at(events), replayEndpoint: at(replay) };
}

/** A publisher process on given ports, which the one before may have left a moment ago. */
export async function restart(
  options: Pick<ProcessArguments, "events" | "replay"> & Partial<ProcessArguments>,
): Promise<PublisherProcess> {
  const publisher = await PublisherProcess.open({ pod: POD, life: 1, ...options });
  closers.push(() => publisher.kill());
  return publisher;
}

export interface Follower {
  readonly indexer: Indexer;
  readonly subscription: Subscription;
  readonly told: Diagnostic[];
  /** Matched blocks of a life's prompt. */
  blocksOf(life: number, id: number, blocks?: number): number;
}

export async function follow(options: SubscribeOptions): Promise<Follower> {
  const told: Diagnostic[] = [];
  const indexer = await Indexer.create({ onDiagnostic: (one) => told.push(one) });
  closers.push(() => indexer.close());
  const subscription = await indexer.subscribe({
    reconnectIntervalMs: 20,
    reconnectMaxIntervalMs: 200,
    ...options,
  });
  return {
    indexer,
    subscription,
    told,
    blocksOf: (life, id, blocks) =>
      indexer.scoreTokens(requestOf(life, id, blocks), { model: MODEL }).get(POD)?.blocks ?? 0,
  };
}

/** Until it holds; how long that took, in milliseconds. @throws Error naming `what` if not within the time stated */
export async function within(ms: number, what: string, holds: () => boolean): Promise<number> {
  const from = performance.now();
  for (;;) {
    const took = performance.now() - from;
    if (holds()) return took;
    if (took > ms) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Until the subscription has reached the publisher: a PUB drops what is sent before. */
export async function connected(subscription: Subscription): Promise<void> {
  await within(5000, "connected", () => subscription.transport!.connected === 1);
  await new Promise((resolve) => setTimeout(resolve, 50));
}

/** A path between two tcp ports that can go dead without a word, as when a host or a link does. */
export interface Path {
  readonly endpoint: string;
  /** Nothing passes any more, and no connection is closed. */
  freeze(): void;
  /** New connections pass; those made while it was frozen never will. */
  heal(): void;
  /** As heal, and all connections are reset, as by a host that is up again. */
  thaw(): void;
}

export async function pathTo(port: number): Promise<Path> {
  const all = new Set<Socket>();
  let isFrozen = false;
  const server = createServer((near) => {
    all.add(near.on("error", () => {}).on("close", () => all.delete(near)));
    // Accepted and never answered while frozen: the worst a dead path can do to who connects anew.
    if (isFrozen) return;
    const far = dial(port, "127.0.0.1");
    all.add(far.on("error", () => near.destroy()).on("close", () => all.delete(far)));
    near.on("data", (bytes) => isFrozen || far.write(bytes)).on("close", () => isFrozen || far.destroy());
    far.on("data", (bytes) => isFrozen || near.write(bytes)).on("close", () => isFrozen || near.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const reset = (): void => {
    for (const socket of all) socket.resetAndDestroy();
  };
  closers.push(() => {
    reset();
    server.close();
  });
  return {
    endpoint: `tcp://127.0.0.1:${(server.address() as { port: number }).port}`,
    freeze: () => {
      isFrozen = true;
    },
    heal: () => {
      isFrozen = false;
    },
    thaw: () => {
      isFrozen = false;
      reset();
    },
  };
}
