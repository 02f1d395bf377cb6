/** More than the high-water marks hold, for a reader that is blocked: what is lost is seen, and repaired or told. */
import { describe, expect, test } from "vitest";
import type { PublisherProcess } from "../../benchmarks/soak/publishers.js";
import { connected, engine, type Follower, follow, within } from "./support.js";

/** From the reader's release on: what came through is applied, what did not is asked for. */
const RIGHT_WITHIN_MS = 10_000;
/** A prompt of so many blocks is a frame of 28 KiB, and so many frames are more than the kernel keeps. */
const BLOCKS = 320;
const FRAMES = 500;
/** First of the small prompts that follow. */
const LATER = 2000;
const ids = Array.from({ length: FRAMES }, (_, id) => id);

/** A host that does not come back to its event loop until it is all published. */
async function overrun(publisher: PublisherProcess, follower: Follower): Promise<void> {
  await publisher.tell({ type: "store", ids: [1000] });
  await within(RIGHT_WITHIN_MS, "the first answer", () => follower.blocksOf(1, 1000) === 4);
  const done = publisher.tell({ type: "store", ids, blocks: BLOCKS });
  let isDone = false;
  void done.then(() => {
    isDone = true;
  });
  while (!isDone) {
    const until = performance.now() + 300;
    while (performance.now() < until);
    // One turn: for the process's word that it is done.
    await new Promise((resolve) => setImmediate(resolve));
  }
  // A gap is seen by the frame after it; the first ones may still find the high-water mark reached.
  await publisher.tell({ type: "tick", everyMs: 50, from: LATER });
}

const isAfter = ({ blocksOf }: Follower): boolean => ids.some((id) => blocksOf(1, LATER + id) === 4);
const rightOnes = ({ blocksOf }: Follower): number[] =>
  ids.filter((id) => blocksOf(1, id, BLOCKS) === BLOCKS);

describe("a blocked reader under a tiny high-water mark", () => {
  const marks = { highWaterMark: 5, bufferSteps: FRAMES + 10 };

  test("loses frames, and gets them back from the engine", async () => {
    const { publisher, endpoint, replayEndpoint } = await engine(marks);
    const follower = await follow({ endpoint, replayEndpoint, receiveHighWaterMark: 5 });
    const { subscription, indexer } = follower;
    await connected(subscription);
    await overrun(publisher, follower);
    await within(RIGHT_WITHIN_MS, "all answers", () => isAfter(follower));
    await within(RIGHT_WITHIN_MS, "live", () => indexer.pods()[0]!.state === "live");
    expect(rightOnes(follower)).toEqual(ids);
    expect(subscription.transport!.received).toBeLessThan(FRAMES); // else nothing was overrun
    expect(indexer.pods()).toMatchObject([{ complete: true, gaps: 0, lostFrames: 0 }]);
  });

  test("without replay says how many are lost, suspects what it had, and is right about what it heard", async () => {
    const { publisher, endpoint } = await engine({ ...marks, withReplay: false });
    const follower = await follow({ endpoint, receiveHighWaterMark: 5 });
    const { subscription, indexer, told } = follower;
    await connected(subscription);
    await overrun(publisher, follower);
    await within(RIGHT_WITHIN_MS, "an answer after the gap", () => isAfter(follower));
    const pod = indexer.pods()[0]!;
    expect(pod).toMatchObject({ state: "partial", complete: false });
    expect(pod.lostFrames).toBeGreaterThan(0);
    expect(pod.frames + pod.lostFrames).toBe(Number(pod.lastSeq) + 1);
    expect(rightOnes(follower).length).toBeLessThanOrEqual(pod.frames - 2);
    expect(rightOnes(follower).length).toBeGreaterThan(0);
    expect(told.map(({ code }) => code)).toContain("sequence-gap");
  });
});
