/** How long a payload is what it was: for ever, or, lent, until its taker is done with it. */
import { setTimeout as wait } from "node:timers/promises";
import type { KvFrame } from "kvblock";
import { describe, expect, test } from "vitest";
import { seeded } from "../../support/random.js";
import { bindPublisher, connected, message, subscribe, until } from "../sockets.js";

const COUNT = 1500;
const random = seeded(5);
/** Small ones share what one read brought; large ones come in pieces. */
const sizes = Array.from({ length: COUNT }, () => [5, 40, 300, 9000, 70_000][Math.floor(random() ** 3 * 5)]!);
const payloadOf = (seq: number): Uint8Array => new Uint8Array(sizes[seq]!).fill(seq % 251);
const isRight = ({ seq, payload }: KvFrame): boolean => Buffer.compare(payload, payloadOf(Number(seq))) === 0;

async function publish(
  onFrame: (frame: KvFrame) => unknown,
  lendsPayloads: boolean,
): Promise<() => Promise<void>> {
  const [publisher, endpoint] = await bindPublisher({ sendHighWaterMark: 0 });
  const socket = await subscribe({ endpoint, onFrame, lendsPayloads });
  await connected(socket);
  return async () => {
    for (let seq = 0; seq < COUNT; seq++) await publisher.send(message(seq, payloadOf(seq)));
  };
}

describe("a lent payload", () => {
  test("stays as it is until the promise of its taker settles, however much is sent meanwhile", async () => {
    let done = 0;
    const wrong: bigint[] = [];
    const held = seeded(6);
    const send = await publish(async (frame) => {
      if (!isRight(frame)) wrong.push(frame.seq);
      if (held() < 0.02) await wait(held() * 5);
      else await Promise.resolve();
      if (!isRight(frame)) wrong.push(frame.seq);
      done++;
    }, true);
    await send();
    await until("all taken", () => done === COUNT);
    expect(wrong).toEqual([]);
  });

  test("is right while a taker that returns nothing is called", async () => {
    const wrong: bigint[] = [];
    const seen: bigint[] = [];
    const send = await publish((frame) => {
      if (!isRight(frame)) wrong.push(frame.seq);
      seen.push(frame.seq);
    }, true);
    await send();
    await until("all taken", () => seen.length === COUNT);
    expect(wrong).toEqual([]);
    expect(seen).toEqual(sizes.map((_, seq) => BigInt(seq)));
  });

  test("is held for the first frame while all the rest is sent", async () => {
    const taken: KvFrame[] = [];
    let release = (): void => {};
    const send = await publish((frame) => {
      taken.push(frame);
      if (taken.length === 1)
        return new Promise<void>((resolve) => {
          release = resolve;
        });
    }, true);
    await send();
    await until("the first", () => taken.length > 0);
    await wait(50);
    expect(taken.length).toBe(1);
    expect(isRight(taken[0]!)).toBe(true);
    release();
    await until("all taken", () => taken.length === COUNT);
  });

  test("saves a copy: later frames are read into the memory of earlier ones", async () => {
    const taken: KvFrame[] = [];
    const send = await publish((frame) => void taken.push(frame), true);
    await send();
    await until("all taken", () => taken.length === COUNT);
    // The option would do nothing if each small payload had memory of its own.
    expect(new Set(taken.map(({ payload }) => payload.buffer)).size).toBeLessThan(COUNT / 2);
    expect(taken.every(isRight)).toBe(false);
  });
});

describe("a payload that is not lent", () => {
  test.each([false, true])("stays as it is for ever (its taker returns a promise: %s)", async (isLater) => {
    const taken: KvFrame[] = [];
    const send = await publish((frame) => {
      taken.push(frame);
      return isLater ? Promise.resolve() : undefined;
    }, false);
    await send();
    await until("all taken", () => taken.length === COUNT);
    expect(taken.every(isRight)).toBe(true);
  });

  test("may be changed by its taker without harm to another", async () => {
    const wrong: bigint[] = [];
    let count = 0;
    const send = await publish((frame) => {
      if (!isRight(frame)) wrong.push(frame.seq);
      new Uint8Array(frame.payload.buffer).fill(0);
      count++;
    }, false);
    await send();
    await until("all taken", () => count === COUNT);
    expect(wrong).toEqual([]);
  });
});
