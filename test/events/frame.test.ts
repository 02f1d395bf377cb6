/** Messages, topics and replay against test/vectors/zmq_frames.json: bytes as vLLM's publisher sends them. */
import { readFileSync } from "node:fs";
import {
  decodeEventBatch,
  encodeReplayRequest,
  formatTopic,
  parseFrame,
  parseReplayReply,
  parseTopic,
} from "kvblock/events";
import { describe, expect, test } from "vitest";

type Parts = string[];
const vectors = JSON.parse(readFileSync(new URL("../vectors/zmq_frames.json", import.meta.url), "utf8")) as {
  live: { frames: Parts }[];
  replay_request: { from_DEALER: Parts; from_REQ: Parts };
  "replay_reply_old (before PR 45177)": { seen_by_DEALER: Parts[] };
  "replay_reply_new (PR 45177, ~v0.24)": { seen_by_DEALER: Parts[] };
};
const bytes = (parts: Parts): Buffer[] => parts.map((part) => Buffer.from(part, "hex"));
const hex = (part: Uint8Array): string => Buffer.from(part).toString("hex");
const reply = (parts: Parts): ReturnType<typeof parseReplayReply> => parseReplayReply(bytes(parts));

describe("parseFrame", () => {
  test("reads every live message of the vectors", () => {
    const expected = [
      { topic: "kv@10.0.0.1:8000@model", seq: 0n },
      { topic: "", seq: 2n ** 32n + 5n },
    ];
    expect(vectors.live.length).toBe(expected.length);
    for (const [i, { frames }] of vectors.live.entries()) {
      const frame = parseFrame(bytes(frames), 1234.5);
      expect(frame).toMatchObject({ ...expected[i], receivedAt: 1234.5 });
      expect("source" in frame).toBe(false);
      expect(hex(frame.payload)).toBe(frames[2]);
      expect(decodeEventBatch(frame.payload)).toMatchObject({
        events: [{ type: "BlockStored" }],
        failed: null,
      });
    }
  });

  test("notes the source, and the whole range of sequence numbers", () => {
    const frame = parseFrame(bytes(["", "ffffffffffffffff", "90"]), 0, "tcp://10.0.0.1:5557");
    expect(frame).toMatchObject({ seq: 2n ** 64n - 1n, source: "tcp://10.0.0.1:5557" });
  });

  test("gives a payload that is no Buffer but shares the message's memory", () => {
    const parts = bytes(["", "0000000000000000", "c0"]);
    const { payload } = parseFrame(parts, 0);
    expect(Buffer.isBuffer(payload)).toBe(false);
    parts[2]![0] = 0xc2;
    expect(payload[0]).toBe(0xc2);
  });

  test.each([
    ["no parts", [], /3 parts.*got 0/],
    ["one part", ["00"], /3 parts.*got 1/],
    ["two parts", ["", "0000000000000000"], /3 parts.*got 2/],
    ["four parts", ["", "", "0000000000000000", "90"], /3 parts.*got 4/],
    ["a sequence number of 4 bytes", ["", "00000000", "90"], /8 bytes, got 4/],
    ["a topic that is not UTF-8", ["c328", "0000000000000000", "90"], /UTF-8/],
  ])("refuses %s", (_, parts, message) => {
    expect(() => parseFrame(bytes(parts), 0)).toThrow(
      expect.objectContaining({ code: "ERR_KVBLOCK_FRAME", message: expect.stringMatching(message) }),
    );
  });

  test("tells the caller's mistakes apart", () => {
    expect(() => parseFrame("x" as unknown as Uint8Array[], 0)).toThrow(TypeError);
    expect(() => parseFrame(bytes(["", "0000000000000000", ""]), "now" as unknown as number)).toThrow(
      TypeError,
    );
  });
});

describe("replay", () => {
  test("asks as a DEALER must, the delimiter first", () => {
    expect(encodeReplayRequest(17n).map(hex)).toEqual(vectors.replay_request.from_DEALER);
    expect(encodeReplayRequest(17n).slice(1).map(hex)).toEqual(vectors.replay_request.from_REQ);
    expect(hex(encodeReplayRequest(2n ** 64n - 1n)[1])).toBe("ffffffffffffffff");
  });

  test("refuses a start that is no sequence number", () => {
    expect(() => encodeReplayRequest(17 as unknown as bigint)).toThrow(TypeError);
    for (const start of [-1n, 2n ** 64n]) expect(() => encodeReplayRequest(start)).toThrow(RangeError);
  });

  test.each([
    ["replay_reply_old (before PR 45177)", null],
    ["replay_reply_new (PR 45177, ~v0.24)", "kv@10.0.0.1:8000@model"],
  ] as const)("reads every reply of %s", (dialect, topic) => {
    const replies = vectors[dialect].seen_by_DEALER;
    expect(replies.length).toBe(3);
    for (const [i, seq] of [17n, 18n].entries()) {
      const read = reply(replies[i]!);
      expect(read).toMatchObject({ type: "batch", topic, seq });
      expect(read.type === "batch" && hex(read.payload)).toBe(replies[i]!.at(-1));
    }
    expect(reply(replies[2]!)).toEqual({ type: "end" });
  });

  test("reads what a REQ sees, whose delimiter is gone", () => {
    const seq = "0000000000000011";
    expect(reply([seq, "90"])).toMatchObject({ type: "batch", topic: null, seq: 17n });
    expect(reply(["6b7640", seq, "90"])).toMatchObject({ type: "batch", topic: "kv@", seq: 17n });
    expect(reply(["ffffffffffffffff", ""])).toEqual({ type: "end" });
  });

  test("takes an empty topic for one, and the drafts' empty message for the end", () => {
    expect(reply(["", "", "0000000000000011", "90"])).toMatchObject({ type: "batch", topic: "", seq: 17n });
    expect(reply(["", ""])).toEqual({ type: "end" });
    expect(reply([""])).toEqual({ type: "end" });
  });

  test("takes the highest number with a payload for a batch", () => {
    expect(reply(["", "ffffffffffffffff", "90"])).toMatchObject({ type: "batch", seq: 2n ** 64n - 1n });
  });

  test.each([
    ["five parts", ["", "", "", "0000000000000011", "90"]],
    ["a lone payload", ["90"]],
    ["a short sequence number", ["", "0011", "90"]],
  ])("refuses %s", (_, parts) => {
    expect(() => reply(parts)).toThrow(expect.objectContaining({ code: "ERR_KVBLOCK_FRAME" }));
  });
});

describe("topics", () => {
  test.each([
    ["kv@10.0.0.1:8000@model", "10.0.0.1:8000", "model"],
    ["kv@10.0.0.1@Qwen/Qwen3-0.6B", "10.0.0.1", "Qwen/Qwen3-0.6B"],
    ["kv@pod-1@org/name@revision", "pod-1", "org/name@revision"],
    ["kv@[fd00::1]:8000@m", "[fd00::1]:8000", "m"],
    ["kv@pod", "pod", null],
    ["kv@pod@", "pod", null],
    ["kv@@model", null, "model"],
    ["kv@", null, null],
    ["", null, null],
    ["kv-events", null, null],
    ["KV@pod@model", null, null],
  ])("%j names pod %j and model %j", (topic, pod, model) => {
    expect(parseTopic(topic)).toEqual({ pod, model });
    if (pod !== null && model !== null) expect(formatTopic(pod, model)).toBe(topic);
  });

  test("cannot be written for a pod with an @, or without a name", () => {
    expect(() => formatTopic("a@b", "m")).toThrow(RangeError);
    expect(() => formatTopic("", "m")).toThrow(RangeError);
    expect(() => formatTopic("p", 1 as unknown as string)).toThrow(TypeError);
  });
});
