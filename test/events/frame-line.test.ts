/** One endpoint's frames, handed to whoever takes them: one after the other, in order, and no further once that fails. */
import type { KvFrame } from "kvblock";
import { describe, expect, test } from "vitest";
import { FrameLine } from "../../src/events/frame-line.js";

const never = (error: unknown): never => expect.unreachable(String(error));
const frame = (seq: bigint): KvFrame => ({ topic: "", seq, payload: new Uint8Array(0), receivedAt: 0 });

describe("a line of frames", () => {
  test("is handed over at once where nothing is waited for", () => {
    const taken: bigint[] = [];
    const line = new FrameLine(({ seq }) => void taken.push(seq), never);
    expect(line.take(frame(1n))).toBeUndefined();
    expect(line.take(frame(2n))).toBeUndefined();
    expect(taken).toEqual([1n, 2n]);
  });

  test("waits for the one under way, and is at once again after the last that waited", async () => {
    const begun: bigint[] = [];
    const finish: (() => void)[] = [];
    const line = new FrameLine(({ seq }) => {
      begun.push(seq);
      return seq <= 2n ? new Promise<void>((resolve) => finish.push(resolve)) : undefined;
    }, never);
    const [first, second, third] = [1n, 2n, 3n].map((seq) => line.take(frame(seq)));
    expect(begun).toEqual([1n]);
    finish[0]!();
    await first;
    await Promise.resolve();
    expect(begun).toEqual([1n, 2n]);
    finish[1]!();
    await second;
    await third;
    expect(begun).toEqual([1n, 2n, 3n]);
    expect(line.take(frame(4n))).toBeUndefined();
    expect(begun).toEqual([1n, 2n, 3n, 4n]);
  });

  test.each(["throws", "rejects"])(
    "tells what is wrong where its taker %s, and rejects nobody",
    async (how) => {
      const errors: unknown[] = [];
      const failure = new Error("no room");
      const line = new FrameLine(
        () => {
          if (how === "throws") throw failure;
          return Promise.reject(failure);
        },
        (error) => errors.push(error),
      );
      await line.take(frame(1n));
      await line.take(frame(2n));
      expect(errors).toEqual([failure, failure]);
    },
  );
});
