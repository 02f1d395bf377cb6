/** A connection's bytes, cut anywhere, are the parts that were sent: libzmq's own bytes, recorded. */
import { beforeAll, describe, expect, test } from "vitest";
import { PartReader } from "../../../src/events/zmtp/part-reader.js";
import { seeded } from "../../support/random.js";
import {
  bytesOf,
  COMMAND,
  GREETING_BYTES,
  LONG,
  MORE,
  noise,
  type Part,
  type Recording,
  record,
} from "./wire.js";

interface Read {
  readonly isMore: boolean;
  readonly isOwn: boolean;
  readonly bytes: Buffer;
}

const LIMIT = 1 << 20;
const sentParts = (messages: readonly (readonly Part[])[]): { isMore: boolean; bytes: Buffer }[] =>
  messages.flatMap((parts) =>
    parts.map((part, i) => ({ isMore: i < parts.length - 1, bytes: bytesOf(part) })),
  );

/** Read a stream in chunks that end at `cuts`. Each is fed from the same memory, as a connection's are. */
function readIn(stream: Uint8Array, cuts: readonly number[]): Read[] {
  const ends = [...cuts, stream.length];
  const memory = new Uint8Array(64 + Math.max(...ends.map((end, i) => end - (ends[i - 1] ?? 0))));
  const reader = new PartReader(LIMIT);
  const own: { bytes: Uint8Array; copy: Buffer }[] = [];
  const read: Read[] = [];
  let at = 0;
  for (const [i, end] of ends.entries()) {
    // Where a chunk begins differs: what is before and after it is not the reader's.
    const from = i % 64;
    memory.fill(0xee);
    memory.set(stream.subarray(at, end), from);
    reader.feed(memory, from, from + end - at);
    at = end;
    while (reader.next()) {
      const bytes = reader.bytes.subarray(reader.from, reader.to);
      const copy = Buffer.from(bytes);
      if (reader.isOwn) {
        expect(bytes.buffer).not.toBe(memory.buffer);
        own.push({ bytes, copy });
      }
      expect(reader.flags & ~(MORE | LONG | COMMAND)).toBe(0);
      read.push({ isMore: (reader.flags & MORE) !== 0, isOwn: reader.isOwn, bytes: copy });
    }
  }
  memory.fill(0xdd);
  // Compared at the end, when the chunks' memory was overwritten and all the other parts were read.
  for (const { bytes, copy } of own)
    if (Buffer.compare(bytes, copy) !== 0) expect.fail("a part of its own changed");
  return read;
}

function expectSame(read: readonly Read[], sent: readonly { isMore: boolean; bytes: Buffer }[]): void {
  expect(read.map(({ isMore, bytes }) => [isMore, bytes.length])).toEqual(
    sent.map(({ isMore, bytes }) => [isMore, bytes.length]),
  );
  for (const [i, { bytes }] of sent.entries())
    if (!bytes.equals(read[i]!.bytes)) expect.fail(`part ${i} of ${bytes.length} bytes is another`);
}

describe("recorded messages of libzmq", () => {
  const random = seeded(1);
  const shorts: Part[][] = [
    [noise(0, random)],
    [noise(1, random), noise(8, random), noise(0, random)],
    ["kv@pod@model", noise(8, random), noise(256, random)],
    [noise(0, random), noise(0, random), noise(255, random), noise(1, random)],
    [noise(254, random), noise(257, random)],
  ];
  const sizes = [0, 1, 8, 254, 255, 256, 65_535, 65_536, 300_000];
  const longs: Part[][] = [
    ...sizes.map((size) => [noise(size, random)]),
    ...sizes.map((size) => ["kv@pod@model", noise(8, random), noise(size, random)]),
    ...sizes.map((size) => [noise(size, random), noise(1, random), noise(size, random), noise(0, random)]),
  ];
  let short: Recording;
  let long: Recording;
  beforeAll(async () => {
    short = await record(shorts);
    long = await record(longs);
  });

  test("are read whole", () => {
    expectSame(readIn(short.traffic, []), sentParts(shorts));
    expectSame(readIn(long.traffic, []), sentParts(longs));
    expect(readIn(long.traffic, []).some(({ isOwn }) => isOwn)).toBe(false);
  });

  test("are the same parts wherever they are cut in two", () => {
    const sent = sentParts(shorts);
    for (let cut = 0; cut <= short.traffic.length; cut++) expectSame(readIn(short.traffic, [cut]), sent);
  });

  test("are the same parts wherever they are cut in three, also where nothing comes", () => {
    const sent = sentParts(shorts.slice(0, 3));
    const end = sent.reduce((sum, { bytes }) => sum + bytes.length + (bytes.length < 256 ? 2 : 9), 0);
    const traffic = short.traffic.subarray(0, end);
    for (let first = 0; first <= end; first++)
      for (let second = first; second <= Math.min(end, first + 12); second++)
        expectSame(readIn(traffic, [first, second]), sent);
  });

  test("are the same parts when each byte comes alone", () => {
    const { traffic } = short;
    const read = readIn(
      traffic,
      Array.from({ length: traffic.length }, (_, i) => i),
    );
    expectSame(read, sentParts(shorts));
    // The head alone is more than a byte, so that there is no part that is not in pieces.
    expect(read.every(({ isOwn }) => isOwn)).toBe(true);
  });

  test("are the same parts in chunks of what TCP may bring, few and many", () => {
    const sent = sentParts(longs);
    const cutting = seeded(2);
    for (let round = 0; round < 60; round++) {
      const mean = [3000, 20_000, 65_536, 400_000][round % 4]!;
      const cuts: number[] = [];
      for (let at = 0; at < long.traffic.length; at += Math.floor(cutting() * 2 * mean)) cuts.push(at);
      expectSame(readIn(long.traffic, cuts), sent);
    }
  });

  test("are in memory of their own exactly where a cut is within them", () => {
    const sent = sentParts(shorts);
    let at = 0;
    for (const [i, { bytes }] of sent.entries()) {
      const size = bytes.length + (bytes.length < 256 ? 2 : 9);
      for (const cut of [at + 1, at + size - 1])
        expect(readIn(short.traffic, [cut]).map(({ isOwn }) => isOwn)).toEqual(sent.map((_, j) => i === j));
      expect(readIn(short.traffic, [at]).every(({ isOwn }) => !isOwn)).toBe(true);
      at += size;
    }
    expect(at).toBe(short.traffic.length);
  });

  test("come after a READY that is a command, and one part", () => {
    const reader = new PartReader(LIMIT);
    const stream = Buffer.concat([short.greeting, short.ready]);
    reader.feed(stream, GREETING_BYTES, stream.length);
    expect(reader.next()).toBe(true);
    expect(reader.flags).toBe(COMMAND);
    expect(Buffer.from(reader.bytes.subarray(reader.from, reader.to))).toEqual(short.ready.subarray(2));
    expect(reader.next()).toBe(false);
  });
});

describe("a part that TCP brings in many pieces", () => {
  test("is whole also where its memory had to grow", async () => {
    // Over a MiB, memory is given as bytes come.
    const random = seeded(3);
    const big = Buffer.alloc(5 << 20);
    for (let i = 0; i < big.length; i += 4) big.writeUInt32LE(Math.floor(random() * 2 ** 32), i);
    const { traffic } = await record([["a", big], ["b"]]);
    for (const step of [65_536, 1_000_003, 4_999_999]) {
      const reader = new PartReader(big.length);
      const parts: Buffer[] = [];
      for (let at = 0; at < traffic.length; at += step) {
        const chunk = new Uint8Array(traffic.subarray(at, at + step));
        reader.feed(chunk, 0, chunk.length);
        while (reader.next()) parts.push(Buffer.from(reader.bytes.subarray(reader.from, reader.to)));
        chunk.fill(0);
      }
      expect(parts.map(({ length }) => length)).toEqual([1, big.length, 1]);
      expect(parts[1]!.equals(big)).toBe(true);
    }
  });
});
