/** Connections that die without a word, replay peers that never answer, and subscribers that come late. */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { Router } from "zeromq";
import { closers } from "../events/sockets.js";
import { connected, engine, follow, pathTo, within } from "./support.js";

/** For what the machine does meanwhile: other tests, on the same cores. */
const SLACK_MS = 1000;

describe("a half-open connection", () => {
  /** A ping is sent every so often, and three of them may go unanswered. */
  const heartbeatIntervalMs = 200;
  /** Up to one interval until the first ping that nobody answers, and three more from there on. */
  const STALE_WITHIN_MS = 4 * heartbeatIntervalMs + SLACK_MS;
  /** An attempt to connect may take as long as three heartbeats, and is given a second where that is more. */
  const FOUND_WITHIN_MS = 1000 + 2 * SLACK_MS;

  test("is stale when three heartbeats went unanswered, and live again after, with what was missed", async () => {
    const { publisher, events, replayEndpoint } = await engine();
    const path = await pathTo(events);
    const { indexer, subscription, blocksOf } = await follow({
      endpoint: path.endpoint,
      replayEndpoint,
      heartbeatIntervalMs,
    });
    await connected(subscription);
    await publisher.tell({ type: "store", ids: [0, 1] });
    await within(SLACK_MS, "the first answers", () => blocksOf(1, 1) === 4);
    // An idle engine answers pings, and stays live however long it says nothing.
    await new Promise((resolve) => setTimeout(resolve, 6 * heartbeatIntervalMs));
    expect(indexer.pods()).toMatchObject([{ state: "live" }]);

    path.freeze();
    await publisher.tell({ type: "remove", ids: [0] });
    const took = await within(STALE_WITHIN_MS, "stale", () => indexer.pods()[0]!.state === "stale");
    // Not by something else than the heartbeats.
    expect(took).toBeGreaterThan(2 * heartbeatIntervalMs);

    path.thaw();
    await connected(subscription);
    await publisher.tell({ type: "store", ids: [2] });
    await within(SLACK_MS, "the answers after", () => blocksOf(1, 2) === 4);
    expect([0, 1, 2].map((id) => blocksOf(1, id))).toEqual([0, 4, 4]);
    expect(indexer.pods()).toMatchObject([{ state: "live", complete: true, generation: 0 }]);
  });

  test("that is made anew into the dead path is given up too, so that a path that heals is found", async () => {
    const { publisher, events, replayEndpoint } = await engine();
    const path = await pathTo(events);
    const { indexer, subscription } = await follow({
      endpoint: path.endpoint,
      replayEndpoint,
      heartbeatIntervalMs,
    });
    await connected(subscription);
    await publisher.tell({ type: "store", ids: [0] });
    path.freeze();
    await within(STALE_WITHIN_MS, "lost", () => subscription.transport!.connected === 0);
    await new Promise((resolve) => setTimeout(resolve, 500)); // connected anew, and not answered
    path.heal();
    await publisher.tell({ type: "tick", everyMs: 50, from: 1 });
    await within(FOUND_WITHIN_MS, "live again", () => indexer.pods()[0]?.state === "live");
    expect(indexer.pods()).toMatchObject([{ complete: true }]);
  });

  test("concerns its own engine only", async () => {
    const dying = await engine({ pod: "dying" });
    const other = await engine({ pod: "other" });
    const path = await pathTo(dying.events);
    const { indexer, subscription } = await follow({
      endpoint: [path.endpoint, other.endpoint],
      heartbeatIntervalMs,
    });
    await within(5000, "both connected", () => subscription.transport!.connected === 2);
    const states = (): string =>
      indexer
        .pods()
        .map(({ pod, state }) => `${pod} ${state}`)
        .sort()
        .join();
    await within(5000, "both live", () => {
      for (const { publisher } of [dying, other]) void publisher.tell({ type: "store", ids: [0] });
      return states() === "dying live,other live";
    });
    path.freeze();
    await within(STALE_WITHIN_MS, "one stale", () => states() === "dying stale,other live");
    await new Promise((resolve) => setTimeout(resolve, 4 * heartbeatIntervalMs));
    expect(states()).toBe("dying stale,other live");
  });
});

describe("a replay peer that never answers", () => {
  const replayTimeoutMs = 300;
  /** The turn to ask (up to 50 ms, at random), the time-out, and the machine's. */
  const FLOWS_WITHIN_MS = 50 + replayTimeoutMs + SLACK_MS;

  /** What takes the request and says nothing; a TCP peer does not even speak ZeroMQ. */
  const peers: Record<string, () => Promise<string>> = {
    "a ROUTER": async () => {
      const router = new Router({ linger: 0 });
      closers.push(() => router.close());
      await router.bind("tcp://127.0.0.1:0");
      return router.lastEndpoint!;
    },
    "a ROUTER that sends one batch and no more": async () => {
      const router = new Router({ linger: 0 });
      closers.push(() => router.close());
      await router.bind("tcp://127.0.0.1:0");
      void (async () => {
        for await (const [identity] of router)
          await router.send([identity!, "", new Uint8Array(8), new Uint8Array([0x93, 0, 0x90, 0])]);
      })();
      return router.lastEndpoint!;
    },
    "a bare TCP peer": async () => {
      const open: Socket[] = [];
      const server = createServer((socket) => open.push(socket.on("error", () => {})));
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      closers.push(() => {
        for (const socket of open) socket.destroy();
        server.close();
      });
      return `tcp://127.0.0.1:${(server.address() as { port: number }).port}`;
    },
  };

  test.each(Object.keys(peers))(
    "%s: live events flow after the time-out, and what is missing is told",
    async (kind) => {
      const { publisher, endpoint } = await engine();
      await publisher.tell({ type: "store", ids: [0, 1, 2, 3] }); // before anybody listens
      const { indexer, subscription, blocksOf, told } = await follow({
        endpoint,
        replayEndpoint: await peers[kind]!(),
        replayTimeoutMs,
      });
      await connected(subscription);
      await publisher.tell({ type: "store", ids: [4, 5] });
      const took = await within(FLOWS_WITHIN_MS, "live answers", () => blocksOf(1, 5) === 4);
      expect(took).toBeGreaterThan(replayTimeoutMs / 2);
      expect([3, 4, 5].map((id) => blocksOf(1, id))).toEqual([0, 4, 4]);
      expect(indexer.pods()).toMatchObject([{ complete: false }]);
      expect(told.map(({ code }) => code)).toContain("replay-incomplete");
      // Asked for once: the next frames need no time-out.
      await publisher.tell({ type: "remove", ids: [4] });
      await within(SLACK_MS / 2, "a live removal", () => blocksOf(1, 4) === 0);
    },
  );
});

describe("a slow joiner", () => {
  /** The turn to ask, and some hundred batches asked for, decoded and applied. */
  const CAUGHT_UP_WITHIN_MS = 50 + 2 * SLACK_MS;
  const ids = Array.from({ length: 700 }, (_, id) => id);

  test("gets the history by replay, and all that is published meanwhile", async () => {
    const { publisher, endpoint, replayEndpoint } = await engine();
    await publisher.tell({ type: "store", ids });
    await publisher.tell({ type: "remove", ids: ids.filter((id) => id % 3 === 0) });
    await publisher.tell({ type: "tick", everyMs: 2, from: 10_000 });
    const { indexer, blocksOf, told } = await follow({ endpoint, replayEndpoint });
    await within(CAUGHT_UP_WITHIN_MS, "live", () => indexer.pods()[0]?.state === "live");
    await within(CAUGHT_UP_WITHIN_MS, "ticks", () => blocksOf(1, 10_200) === 4);
    const wrong = ids.filter((id) => blocksOf(1, id) !== (id % 3 === 0 ? 0 : 4));
    const missed = Array.from({ length: 200 }, (_, i) => 10_000 + i).filter((id) => blocksOf(1, id) !== 4);
    expect({ wrong, missed }).toEqual({ wrong: [], missed: [] });
    expect(indexer.pods()).toMatchObject([{ complete: true, gaps: 0, lostFrames: 0, lateFrames: 0 }]);
    expect(told).toEqual([]);
  });

  test("gets a history longer than the engine's queues hold: what they dropped is asked for again", async () => {
    const { publisher, endpoint, replayEndpoint } = await engine();
    const many = Array.from({ length: 9000 }, (_, id) => id);
    await publisher.tell({ type: "store", ids: many });
    const { subscription, indexer, blocksOf, told } = await follow({ endpoint, replayEndpoint });
    await connected(subscription);
    await publisher.tell({ type: "store", ids: [20_000] });
    await within(20_000, "live", () => blocksOf(1, 20_000) === 4);
    expect(many.filter((id) => blocksOf(1, id) !== 4)).toEqual([]);
    expect(indexer.pods()).toMatchObject([{ complete: true, gaps: 0, frames: 9001 }]);
    expect(told).toEqual([]);
  });

  test("whose history the engine has in part only is told so, and right about that part", async () => {
    const { publisher, endpoint, replayEndpoint } = await engine({ bufferSteps: 300 });
    await publisher.tell({ type: "store", ids });
    const { indexer, subscription, blocksOf, told } = await follow({ endpoint, replayEndpoint });
    await connected(subscription);
    await publisher.tell({ type: "store", ids: [5000] });
    await within(CAUGHT_UP_WITHIN_MS, "live", () => blocksOf(1, 5000) === 4);
    // The last 300 batches of when it was asked: with the live one among them, or just before it.
    const held = ids.filter((id) => blocksOf(1, id) === 4);
    expect(held).toEqual(ids.slice(-held.length));
    expect([299, 300]).toContain(held.length);
    expect(indexer.pods()).toMatchObject([{ state: "live", complete: false }]);
    expect(told.map(({ code }) => code)).toContain("replay-incomplete");
  });
});
