/** A message's parts, from wherever they are, are the frame that `parseFrame` makes of the whole message. */
import type { KvBlockError, KvFrame } from "kvblock";
import { parseFrame } from "kvblock/events";
import { describe, expect, test } from "vitest";
import { FrameParts } from "../../../src/events/zmtp/frame-parts.js";
import { PartReader } from "../../../src/events/zmtp/part-reader.js";
import { seeded } from "../../support/random.js";
import { bytesOf, framed, MORE, noise, type Part, wireMessage } from "./wire.js";

type Outcome = KvFrame | string;
const outcome = (make: () => KvFrame | undefined): Outcome | undefined => {
  try {
    return make();
  } catch (error) {
    return `${(error as KvBlockError).code}: ${(error as Error).message}`;
  }
};

/** Compared as text, which is a hundred times faster than by each byte. */
const text = (made: Outcome): string =>
  typeof made === "string"
    ? made
    : JSON.stringify({ ...made, seq: `${made.seq}`, payload: Buffer.from(made.payload).toString("hex") });

const framesOf = (options: Partial<ConstructorParameters<typeof FrameParts>[0]> = {}): FrameParts =>
  new FrameParts({
    maxFrameBytes: 1 << 20,
    topicFilter: "",
    now: () => 42,
    source: "here",
    lendsPayloads: false,
    ...options,
  });

/** What comes of a stream that is fed in chunks. */
function outcomes(parts: FrameParts, stream: Uint8Array, chunk = stream.length): Outcome[] {
  const reader = new PartReader(1 << 20);
  const all: Outcome[] = [];
  for (let at = 0; at < stream.length; at += chunk) {
    const bytes = new Uint8Array(stream.subarray(at, at + chunk));
    reader.feed(bytes, 0, bytes.length);
    while (reader.next()) {
      const made = outcome(() => parts.add(reader));
      if (made !== undefined) all.push(made);
    }
  }
  return all;
}

const random = seeded(8);
const any = <Value>(values: readonly Value[]): Value => values[Math.floor(random() * values.length)]!;
const topics: Part[] = [
  "",
  "kv@a@m",
  "kv@b@m",
  "kv@a",
  "п",
  "ж",
  "\ufeff",
  Buffer.from([0xff]),
  Buffer.from([0xd0]),
];
const message = (): Buffer[] =>
  Array.from({ length: random() < 0.8 ? 3 : Math.floor(random() * 6) + 1 }, (_, i) =>
    i === 0
      ? bytesOf(any(topics))
      : noise(i === 1 && random() < 0.9 ? 8 : any([0, 1, 7, 9, 300, 3000]), random),
  );
const messages = Array.from({ length: 2000 }, message);
const stream = Buffer.concat(messages.map(wireMessage));

describe("parts of messages", () => {
  test.each([stream.length, 1, 1000, 65_536])(
    "in chunks of %i bytes are what parseFrame says of each",
    (chunk) => {
      const expected = messages.map((parts) => outcome(() => parseFrame(parts, 42, "here"))!);
      expect(expected.filter((made) => typeof made === "string").length).toBeGreaterThan(300);
      expect(expected.filter((made) => typeof made !== "string").length).toBeGreaterThan(300);
      const made = outcomes(framesOf(), stream, chunk);
      expect(made.map(text)).toEqual(expected.map(text));
    },
  );

  test("of topics that nobody asked for are no frames, and wrong ones are told all the same", () => {
    const asked = outcomes(framesOf({ topicFilter: "kv@a@" }), stream);
    const all = outcomes(framesOf(), stream);
    const wanted = all.filter((made) => typeof made === "string" || made.topic.startsWith("kv@a@"));
    expect(asked.map(text)).toEqual(wanted.map(text));
    expect(asked.filter((made) => typeof made !== "string").length).toBeGreaterThan(50);
  });

  test("are too many bytes together where each is few enough", () => {
    const parts = [Buffer.alloc(60), Buffer.alloc(8), Buffer.alloc(32)];
    const made = (maxFrameBytes: number): Outcome[] =>
      outcomes(framesOf({ maxFrameBytes }), wireMessage(parts));
    expect(made(100)).toEqual([expect.objectContaining({ seq: 0n })]);
    expect(made(99)).toEqual([expect.stringMatching(/^ERR_KVBLOCK_FRAME.*100 bytes.*maxFrameBytes \(99\)/)]);
  });

  test("of a message that was broken off are forgotten", () => {
    const whole = wireMessage(["kv@a@m", Buffer.alloc(8, 1), "payload"]);
    const [wanted] = outcomes(framesOf(), whole);
    const begun: Part[][] = [["other"], ["other", Buffer.alloc(8, 2)], [Buffer.from([0xff])], ["o", "short"]];
    begun.push(["o", Buffer.alloc(8, 2), "theirs"], ["a", "b", "c", "d", "e"]);
    for (const parts of begun) {
      const frames = framesOf();
      expect(outcomes(frames, Buffer.concat(parts.map((part) => framed(MORE, part))))).toEqual([]);
      frames.reset();
      expect(outcomes(frames, whole)).toEqual([wanted]);
    }
  });

  test("give each frame a payload of its own unless it is lent, and nothing beyond it", () => {
    const sent = wireMessage(["t", Buffer.alloc(8), "abcd"]);
    for (const lendsPayloads of [false, true]) {
      const reader = new PartReader(100);
      const memory = Uint8Array.from([1, 2, 3, ...sent, 9, 9]);
      reader.feed(memory, 3, 3 + sent.length);
      const frames = framesOf({ lendsPayloads });
      let frame: KvFrame | undefined;
      while (reader.next()) frame = frames.add(reader);
      expect(Buffer.from(frame!.payload).toString()).toBe("abcd");
      memory.fill(0);
      expect(Buffer.from(frame!.payload).toString()).toBe(lendsPayloads ? "\0\0\0\0" : "abcd");
    }
  });
});
