/** Publisher processes that are killed and started again on the same ports. */
import { expect, test } from "vitest";
import { connected, engine, follow, restart, within } from "./support.js";

/**
 * From the new process's sockets on: the longest wait between two attempts to connect (200 ms here, 5 s by default), a
 * frame of the new process (every 20 ms), the engine asked for the ones before it (up to 50 ms, at random, and the
 * replay). The rest is the machine's, which runs other tests meanwhile.
 */
const RIGHT_WITHIN_MS = 3000;
/** A killed process's connection is closed by its system, at once. */
const STALE_WITHIN_MS = 1000;
const FIRST_TICK = 1000;

test("a killed engine is stale, and right again with its next life's whole history", async () => {
  const { publisher, events, replay, endpoint, replayEndpoint } = await engine();
  const { subscription, indexer, blocksOf, ...rest } = await follow({ endpoint, replayEndpoint });
  await connected(subscription);
  await publisher.tell({ type: "store", ids: [0, 1] });
  await within(
    RIGHT_WITHIN_MS,
    "the first life's answers",
    () => blocksOf(1, 0) === 4 && blocksOf(1, 1) === 4,
  );
  let alive = publisher;
  // A new life is heard first at a higher number than the old one's last, then at a lower one, then at a higher one.
  for (const [life, history] of [
    [2, 500],
    [3, 5],
    [4, 500],
  ] as const) {
    await alive.kill();
    await within(STALE_WITHIN_MS, "stale", () => indexer.pods()[0]?.state === "stale");
    expect(blocksOf(life - 1, 0)).toBe(4); // what it held may be true still: only the connection is known to be lost
    alive = await restart({ events, replay, life });
    // Nobody may have heard these: the subscription comes back at its own time.
    const ids = Array.from({ length: history }, (_, id) => id);
    await alive.tell({ type: "store", ids });
    await alive.tell({ type: "remove", ids: [1] });
    await alive.tell({ type: "tick", everyMs: 20, from: FIRST_TICK });
    await within(RIGHT_WITHIN_MS, `life ${life}`, () => blocksOf(life, FIRST_TICK) === 4);
    await within(RIGHT_WITHIN_MS, "live", () => indexer.pods()[0]?.state === "live");
    expect(ids.filter((id) => blocksOf(life, id) !== (id === 1 ? 0 : 4))).toEqual([]);
    expect([...ids, FIRST_TICK].filter((id) => blocksOf(life - 1, id) !== 0)).toEqual([]);
    expect(indexer.pods()).toMatchObject([{ state: "live", complete: true, generation: life - 1 }]);
  }
  expect(rest.told.map(({ code }) => code)).toEqual(["engine-restarted"]);
});

test("without replay it is right about all that it hears, and says that there was more", async () => {
  const { publisher, events, endpoint } = await engine({ withReplay: false });
  const { subscription, indexer, blocksOf } = await follow({ endpoint });
  await connected(subscription);
  await publisher.tell({ type: "store", ids: Array.from({ length: 20 }, (_, id) => id) });
  await within(RIGHT_WITHIN_MS, "the first life's answers", () => blocksOf(1, 19) === 4);
  await publisher.kill();
  const next = await restart({ events, replay: null, life: 2 });
  await next.tell({ type: "store", ids: [0] });
  await connected(subscription);
  // A publisher drops what it publishes before it has heard of the subscription: said until it is heard.
  for (const from = performance.now(); blocksOf(2, 1) !== 4; ) {
    await next.tell({ type: "store", ids: [1] });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(performance.now() - from, "the second life's answers").toBeLessThan(RIGHT_WITHIN_MS);
  }
  expect([0, 7, 19].map((id) => blocksOf(1, id))).toEqual([0, 0, 0]);
  expect(indexer.pods()).toMatchObject([{ state: "live", complete: false, generation: 1 }]);
});

test("a new life that is first heard at exactly the next number is not taken for the old one", async () => {
  const { publisher, events, replay, endpoint, replayEndpoint } = await engine();
  const { subscription, indexer, blocksOf } = await follow({ endpoint, replayEndpoint });
  await connected(subscription);
  await publisher.tell({ type: "store", ids: [0, 1, 2] });
  await within(RIGHT_WITHIN_MS, "the first life's answers", () => blocksOf(1, 2) === 4);
  await publisher.kill();
  const next = await restart({ events, replay, life: 2 });
  await next.tell({ type: "store", ids: [0, 1, 2] }); // 0, 1 and 2, which nobody hears
  await connected(subscription);
  await next.tell({ type: "store", ids: [3] });
  await within(RIGHT_WITHIN_MS, "the second life's answers", () => blocksOf(2, 3) === 4);
  expect([0, 1, 2].map((id) => blocksOf(1, id))).toEqual([0, 0, 0]);
  expect([0, 1, 2].map((id) => blocksOf(2, id))).toEqual([4, 4, 4]);
  expect(indexer.pods()).toMatchObject([{ state: "live", complete: true, generation: 1 }]);
});
