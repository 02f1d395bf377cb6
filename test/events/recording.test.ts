/** Recordings: frames come back exactly, and damage is told from a tail cut short. */
import { appendFile, mkdtemp, open, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { KvFrame } from "kvblock";
import { createRecording, readRecording } from "kvblock/events";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { seeded } from "../support/random.js";

let folder: string;
let files = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "kvblock-recording-"));
});
afterAll(() => rm(folder, { recursive: true }));
const newPath = (): string => join(folder, `${files++}.kvrec`);

const FRAMES: KvFrame[] = [
  {
    topic: "kv@10.0.0.1:8000@m",
    seq: 0n,
    payload: Uint8Array.of(0x92, 0, 0x90),
    receivedAt: 1757500000250.5,
  },
  {
    topic: "",
    seq: 2n ** 64n - 1n,
    payload: new Uint8Array(0),
    receivedAt: 0,
    source: "tcp://10.0.0.1:5557",
  },
  {
    topic: "适配器",
    seq: 7n,
    payload: Uint8Array.from({ length: 300 }, (_, i) => i),
    receivedAt: -1,
    source: "",
    pod: "pod-é",
    model: "org/name@x",
    dataParallelRank: 0,
  },
];

async function record(frames: readonly KvFrame[]): Promise<string> {
  const path = newPath();
  await using recording = await createRecording(path);
  for (const frame of frames) await recording.write(frame);
  return path;
}

async function readAll(path: string): Promise<{ frames: KvFrame[]; truncatedBytes: number }> {
  const recording = readRecording(path);
  const frames: KvFrame[] = [];
  for await (const frame of recording) frames.push(frame);
  return { frames, truncatedBytes: recording.truncatedBytes };
}

const damaged = (message: RegExp): unknown =>
  expect.objectContaining({ code: "ERR_KVBLOCK_RECORDING", message: expect.stringMatching(message) });

describe("a recording", () => {
  test("gives back the frames exactly, absent fields absent", async () => {
    const { frames, truncatedBytes } = await readAll(await record(FRAMES));
    expect(frames).toStrictEqual(FRAMES);
    expect(truncatedBytes).toBe(0);
  });

  test("gives back records of any length, across the chunks that a file is read in", async () => {
    const random = seeded(4);
    const sizes = [
      ...Array.from({ length: 300 }, () => Math.floor(random() * 9000)),
      700_000,
      1,
      300_000,
      20_000,
    ];
    const frames = sizes.map((size, i) => ({
      topic: "t",
      seq: BigInt(i),
      payload: new Uint8Array(size).fill(i),
      receivedAt: i,
    }));
    const read = await readAll(await record(frames));
    expect(read.frames.map(({ seq, payload }) => [Number(seq), payload.length])).toEqual([
      ...sizes.entries(),
    ]);
    for (const [i, { payload }] of read.frames.entries())
      expect(payload.every((byte) => byte === (i & 255))).toBe(true);
  });

  test("gives frames in order to who asks for several at once, and none after the end", async () => {
    const iterator = readRecording(await record(FRAMES))[Symbol.asyncIterator]();
    const results = await Promise.all(Array.from({ length: 5 }, () => iterator.next()));
    expect(results.map(({ done, value }) => (done === true ? null : (value as KvFrame).seq))).toEqual([
      ...FRAMES.map(({ seq }) => seq),
      null,
      null,
    ]);
  });

  test("that is left early gives no more, nor while a frame is waited for", async () => {
    const path = await record(FRAMES);
    const iterator = readRecording(path)[Symbol.asyncIterator]();
    expect((await iterator.next()).done).toBe(false);
    expect((await iterator.return!()).done).toBe(true);
    expect((await iterator.next()).done).toBe(true);
    const other = readRecording(path)[Symbol.asyncIterator]();
    const [first, left] = await Promise.all([other.next(), other.return!()]);
    expect([first.done, left.done]).toEqual([false, true]);
    expect((await other.next()).done).toBe(true);
  });

  test("that cannot be read says so once, and is at its end then", async () => {
    const iterator = readRecording(newPath())[Symbol.asyncIterator]();
    const results = await Promise.allSettled([iterator.next(), iterator.next(), iterator.next()]);
    expect(results.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "fulfilled"]);
  });

  test("gives back any frames", async () => {
    const text = fc.option(fc.string({ unit: "binary" }), { nil: undefined });
    const frame = fc.record({
      topic: fc.string({ unit: "binary" }),
      seq: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      payload: fc.uint8Array({ maxLength: 2000 }),
      receivedAt: fc.double({ noNaN: true }),
      source: text,
      pod: text,
      model: text,
      dataParallelRank: fc.option(fc.nat(), { nil: undefined }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(frame, { maxLength: 20 }), async (frames) => {
        expect((await readAll(await record(frames))).frames).toEqual(frames);
      }),
      { numRuns: 30 },
    );
  });

  test("is written as its format says", async () => {
    const path = await record([
      { topic: "t", seq: 258n, payload: Uint8Array.of(9, 8), receivedAt: 1, pod: "p" },
    ]);
    expect((await readFile(path)).toString("hex")).toBe(
      ["894b56524543" + "0d0a", "00000001", "00000021", "3ff0000000000000", "0000000000000102"].join("") +
        ["02", "00000000", "00000001" + "74", "00000001" + "70", "0908"].join(""),
    );
  });

  test("can be read by its owner only", async () => {
    expect((await stat(await record([]))).mode & 0o777).toBe(0o600);
  });

  test("is never overwritten", async () => {
    const path = await record(FRAMES);
    await expect(createRecording(path)).rejects.toThrow(damaged(/exists already/));
    expect((await readAll(path)).frames.length).toBe(3);
  });

  test("keeps what a frame was when it was written, in the order of the calls", async () => {
    const path = newPath();
    const recording = await createRecording(path);
    const payload = new Uint8Array(50_000);
    const writes: Promise<void>[] = [];
    for (let i = 0; i < 200; i++) {
      payload.fill(i);
      writes.push(recording.write({ topic: "", seq: BigInt(i), payload, receivedAt: i }));
    }
    await recording.close();
    await Promise.all(writes);
    const { frames } = await readAll(path);
    expect(frames.map(({ seq }) => seq)).toEqual(Array.from({ length: 200 }, (_, i) => BigInt(i)));
    expect(
      frames.every(({ payload: read }, i) => read.length === 50_000 && read[0] === i && read[49_999] === i),
    ).toBe(true);
  });

  test("ends a second close quietly and refuses frames after it", async () => {
    const recording = await createRecording(newPath());
    await recording.close();
    await recording.close();
    await expect(recording.write(FRAMES[0]!)).rejects.toThrow(
      expect.objectContaining({ code: "ERR_KVBLOCK_CLOSED" }),
    );
  });

  test("can be left early and read again", async () => {
    const recording = readRecording(await record(FRAMES));
    for await (const frame of recording) {
      expect(frame.seq).toBe(0n);
      break;
    }
    const again: bigint[] = [];
    for await (const { seq } of recording) again.push(seq);
    expect(again).toEqual(FRAMES.map(({ seq }) => seq));
  });
});

describe("a recording cut short", () => {
  test("at any byte gives the whole frames before the cut and says how much is lost", async () => {
    const path = await record(FRAMES);
    const whole = await readFile(path);
    // Where each record ends: 4 bytes of length, then the body.
    const ends = [12];
    while (ends.at(-1)! < whole.length) ends.push(ends.at(-1)! + 4 + whole.readUInt32BE(ends.at(-1)!));
    expect(ends.length).toBe(4);
    for (let length = whole.length; length >= 0; length--) {
      await truncate(path, length);
      const { frames, truncatedBytes } = await readAll(path);
      const complete = ends.filter((end) => end <= length);
      expect(frames).toStrictEqual(FRAMES.slice(0, Math.max(0, complete.length - 1)));
      expect(truncatedBytes).toBe(length - (complete.at(-1) ?? 0));
    }
  });

  test("declaring a long record allocates nothing for it", async () => {
    const path = await record([]);
    await appendFile(path, Uint8Array.of(0x0f, 0xff, 0xff, 0xff, 1, 2, 3));
    const before = process.memoryUsage().arrayBuffers;
    expect(await readAll(path)).toEqual({ frames: [], truncatedBytes: 7 });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 << 20);
  });
});

describe("a file that is damaged or none", () => {
  test("of another kind is refused", async () => {
    const path = newPath();
    await writeFile(path, '{"not": "a recording"}');
    await expect(readAll(path)).rejects.toThrow(damaged(/no recording/));
    await writeFile(path, "{");
    await expect(readAll(path)).rejects.toThrow(damaged(/no recording/));
  });

  test("of another version is refused by its number", async () => {
    const path = await record(FRAMES);
    const file = await open(path, "r+");
    await file.write(Uint8Array.of(0, 0, 0, 2), 0, 4, 8);
    await file.close();
    await expect(readAll(path)).rejects.toThrow(damaged(/version 2.*reads version 1/));
  });

  test("that is missing is refused with its cause", async () => {
    await expect(readAll(join(folder, "none"))).rejects.toMatchObject({
      code: "ERR_KVBLOCK_RECORDING",
      cause: { code: "ENOENT" },
    });
    await expect(createRecording(join(folder, "none", "x"))).rejects.toMatchObject({
      cause: { code: "ENOENT" },
    });
  });

  test.each([
    ["a record of no bytes", 12, [0, 0, 0, 0], /0 bytes at offset 12/],
    ["a record over the limit", 12, [0xff, 0, 0, 0], /at offset 12/],
    ["unknown field bits", 12 + 4 + 16, [0xff], /offset 12 is damaged/],
    ["a topic longer than its record", 12 + 4 + 21, [0, 0, 1, 0], /offset 12 is damaged/],
    ["a topic that is not UTF-8", 12 + 4 + 25, [0xff], /offset 12 is damaged/],
  ])("with %s is refused where it is", async (_, at, bytes, message) => {
    const path = await record(FRAMES);
    const file = await open(path, "r+");
    await file.write(Uint8Array.from(bytes), 0, bytes.length, at);
    await file.close();
    await expect(readAll(path)).rejects.toThrow(damaged(message));
  });
});

test.each([
  ["a topic that is bytes", { topic: new Uint8Array(1) }, TypeError],
  ["a seq that is a number", { seq: 1 }, TypeError],
  ["a seq over 2^64", { seq: 2n ** 64n }, RangeError],
  ["a payload that is text", { payload: "x" }, TypeError],
  ["a time that is a Date", { receivedAt: new Date() }, TypeError],
  ["a negative rank", { dataParallelRank: -1 }, RangeError],
  ["a field not known", { rank: 1 }, TypeError],
])("writing refuses %s and goes on", async (_, fields, mistake) => {
  const path = newPath();
  const recording = await createRecording(path);
  await expect(recording.write({ ...FRAMES[0]!, ...fields } as KvFrame)).rejects.toThrow(mistake);
  await recording.write(FRAMES[1]!);
  await recording.close();
  expect((await readAll(path)).frames).toStrictEqual([FRAMES[1]]);
});
