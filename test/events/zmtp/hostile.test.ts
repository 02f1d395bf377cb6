/** Hostile bytes, read as a connection reads them: they may cost neither the process nor its memory. */
import { KvBlockError } from "kvblock";
import { beforeAll, describe, expect, test } from "vitest";
import { FrameParts } from "../../../src/events/zmtp/frame-parts.js";
import { PartReader } from "../../../src/events/zmtp/part-reader.js";
import { Breach, COMMAND } from "../../../src/events/zmtp/protocol.js";
import { seeded } from "../../support/random.js";
import { message } from "../sockets.js";
import { mutated } from "./mutated.js";
import { framed, longHead, MORE, noise, type Part, record } from "./wire.js";

const MIB = 1 << 20;
const random = seeded(9);
const recorded: Part[][] = [
  ...[0, 1, 8, 254, 255, 256, 2000].map((size, seq) => message(seq, noise(size, random))),
  ["lone"],
  message(7, noise(300, random), "п"),
  [...message(8), "more"],
  message(9, "the end", "x".repeat(300)),
];
let traffic: Buffer;
beforeAll(async () => {
  ({ traffic } = await record(recorded));
});

interface Seen {
  frames: number;
  rejected: number;
  breaches: number;
}

/** Read a stream as a connection does, until it is over or no more ZMTP. */
function readAll(stream: Uint8Array, chunk: number): Seen {
  const seen = { frames: 0, rejected: 0, breaches: 0 };
  const reader = new PartReader(64 * MIB);
  const parts = new FrameParts({
    maxFrameBytes: 64 * MIB,
    topicFilter: "",
    now: () => 0,
    source: "",
    lendsPayloads: false,
  });
  try {
    for (let at = 0; at < stream.length; at += chunk) {
      const end = Math.min(stream.length, at + chunk);
      reader.feed(stream, at, end);
      // Each part takes two bytes at least: more of them would be a loop without an end.
      for (let count = 0; reader.next(); count++) {
        if (count > (end - at) / 2 + 1) expect.fail("more parts than bytes");
        if (reader.from > reader.to || reader.to > reader.bytes.length)
          expect.fail("a part out of its memory");
        if ((reader.flags & COMMAND) !== 0) continue;
        try {
          if (parts.add(reader) !== undefined) seen.frames++;
        } catch (error) {
          if (!(error instanceof KvBlockError) || error.code !== "ERR_KVBLOCK_FRAME") throw error;
          seen.rejected++;
        }
      }
    }
  } catch (error) {
    if (!(error instanceof Breach)) throw error;
    seen.breaches++;
  }
  return seen;
}

const held = (): number => {
  globalThis.gc?.();
  return process.memoryUsage().arrayBuffers;
};

describe("a recorded stream", () => {
  test("as it was recorded gives its frames", () => {
    for (const chunk of [1, 100, traffic.length])
      expect(readAll(traffic, chunk)).toEqual({ frames: recorded.length - 2, rejected: 2, breaches: 0 });
  });

  test("changed anywhere gives frames, rejections or a breach, and no other error or endless loop", () => {
    const chance = seeded(10);
    const total: Seen = { frames: 0, rejected: 0, breaches: 0 };
    for (let round = 0; round < 6000; round++) {
      const stream = mutated(traffic, chance);
      const seen = readAll(stream, round % 2 === 0 ? stream.length + 1 : 1 + Math.floor(chance() * 500));
      for (const kind of ["frames", "rejected", "breaches"] as const) total[kind] += seen[kind];
    }
    // All of them are reached.
    for (const count of Object.values(total)) expect(count).toBeGreaterThan(1000);
  });

  test("is read the same in whatever chunks it comes, changed or not", () => {
    const chance = seeded(11);
    for (let round = 0; round < 500; round++) {
      const stream = mutated(traffic, chance);
      expect(readAll(stream, 1 + Math.floor(chance() * 40))).toEqual(readAll(stream, stream.length + 1));
    }
  });
});

describe("a part that is announced", () => {
  test.each([1n << 60n, (1n << 53n) + 1n, 1n << 63n, (1n << 64n) - 1n])(
    "with %i bytes is a breach",
    (size) => {
      for (const chunk of [1, 9, 30]) {
        const before = held();
        expect(readAll(Buffer.concat([longHead(0, size), Buffer.alloc(20)]), chunk).breaches).toBe(1);
        expect(held() - before).toBeLessThan(MIB);
      }
    },
  );

  test("with 60 MiB of which little comes takes little", () => {
    for (const come of [10, 100_000, 3 * MIB]) {
      const stream = Buffer.concat([longHead(0, 60 * MIB), Buffer.alloc(come)]);
      for (const chunk of [65_536, stream.length]) {
        const reader = new PartReader(64 * MIB);
        const before = process.memoryUsage().arrayBuffers;
        for (let at = 0; at < stream.length; at += chunk) {
          reader.feed(stream, at, Math.min(stream.length, at + chunk));
          expect(reader.next()).toBe(false);
        }
        // Twice what came, and what was before it grew, which no one may have collected yet.
        expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 * MIB + 4.5 * come);
      }
    }
  });
});

describe("a message without an end", () => {
  const frames = (): FrameParts =>
    new FrameParts({
      maxFrameBytes: 64 * MIB,
      topicFilter: "",
      now: () => 0,
      source: "",
      lendsPayloads: false,
    });

  test("of millions of empty parts takes no memory for them", () => {
    const [reader, parts] = [new PartReader(64 * MIB), frames()];
    const chunk = Buffer.concat(Array.from({ length: 1000 }, () => framed(MORE, "")));
    const before = process.memoryUsage();
    for (let i = 0; i < 5000; i++) {
      reader.feed(chunk, 0, chunk.length);
      while (reader.next()) parts.add(reader);
    }
    const after = process.memoryUsage();
    // A word for each would be 40 MB.
    expect(after.heapUsed - before.heapUsed).toBeLessThan(30 * MIB);
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(MIB);
    const last = framed(0, "");
    reader.feed(last, 0, last.length);
    expect(reader.next()).toBe(true);
    expect(() => parts.add(reader)).toThrow(/3 parts.*got 5000001/);
  });

  test("of large parts keeps one of them at most", () => {
    const [reader, parts] = [new PartReader(64 * MIB), frames()];
    const part = framed(MORE, Buffer.alloc(MIB));
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 200; i++) {
      reader.feed(part, 0, part.length);
      while (reader.next()) parts.add(reader);
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * MIB);
  });
});
