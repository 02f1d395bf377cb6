/** The hand-over between sockets and the iteration, where a socket's failure must reach whoever iterates. */
import type { KvFrame } from "kvblock";
import { describe, expect, test } from "vitest";
import { FrameQueue } from "../../src/events/frame-queue.js";

const frame = (seq: bigint): KvFrame => ({ topic: "", seq, payload: new Uint8Array(0), receivedAt: 0 });
const failure = new Error("socket gone");

describe("a frame queue", () => {
  test("holds a socket back until its frame is taken", async () => {
    const queue = new FrameQueue();
    let taken = false;
    const offered = queue.offer(frame(1n))?.then(() => {
      taken = true;
    });
    await Promise.resolve();
    expect(taken).toBe(false);
    expect(await queue.take()).toMatchObject({ value: { seq: 1n } });
    await offered;
    expect(taken).toBe(true);
  });

  test("gives frames to those who wait in their order", async () => {
    const queue = new FrameQueue();
    const [first, second] = [queue.take(), queue.take()];
    expect(queue.offer(frame(1n))).toBeUndefined();
    expect(queue.offer(frame(2n))).toBeUndefined();
    expect([await first, await second]).toMatchObject([{ value: { seq: 1n } }, { value: { seq: 2n } }]);
  });

  test("ends for all who wait, releases the sockets, and stays ended", async () => {
    const queue = new FrameQueue();
    const offered = queue.offer(frame(1n));
    queue.end();
    await offered;
    expect(await queue.take()).toEqual({ done: true, value: undefined });
    expect(queue.offer(frame(2n))).toBeUndefined();
  });

  test("fails for the one who waits, or for the next, once", async () => {
    const waited = new FrameQueue();
    const [first, second] = [waited.take(), waited.take()];
    waited.end({ error: failure });
    await expect(first).rejects.toBe(failure);
    expect(await second).toEqual({ done: true, value: undefined });

    const idle = new FrameQueue();
    idle.end({ error: failure });
    await expect(idle.take()).rejects.toBe(failure);
    expect(await idle.take()).toEqual({ done: true, value: undefined });
  });
});
