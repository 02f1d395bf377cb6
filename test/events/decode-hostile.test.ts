/** Hostile bytes: cut short, lying about lengths, nested without end. They may cost neither the process nor the events before. */
import { readFileSync } from "node:fs";
import { encode } from "@msgpack/msgpack";
import { decodeEventBatch } from "kvblock/events";
import { describe, expect, test } from "vitest";

const { rows } = JSON.parse(readFileSync(new URL("../vectors/events.json", import.meta.url), "utf8")) as {
  rows: { name: string; payload_hex: string }[];
};

const removed = { type: "BlockRemoved", block_hashes: [9], medium: "GPU" };
const bytes = (value: unknown): Uint8Array => encode(value, { useBigInt64: true });
const raw = (...parts: (number | string | Uint8Array)[]): Uint8Array =>
  Buffer.concat(
    parts
      .map((part) => (typeof part === "number" ? [part] : typeof part === "string" ? bytes(part) : part))
      .map((part) => Uint8Array.from(part)),
  );

describe("hostile bytes", () => {
  test("cut at any offset of any vector never throw, and keep the events before", () => {
    let cuts = 0;
    for (const { payload_hex: hex } of rows) {
      const payload = Buffer.from(hex, "hex");
      const whole = decodeEventBatch(payload);
      let compared = -1;
      for (let length = 0; length < payload.length; length++, cuts++) {
        const { events, skipped, failed } = decodeEventBatch(payload.subarray(0, length));
        if (failed?.reason !== "truncated" || failed.offset !== length)
          expect.fail(`cut at ${length}: ${JSON.stringify(failed)}`);
        if (events.length + skipped.length === compared) continue; // what it has was compared at the last cut
        compared = events.length + skipped.length;
        expect(events).toEqual(whole.events.slice(0, events.length));
        expect(skipped).toEqual(whole.skipped.slice(0, skipped.length));
      }
    }
    expect(cuts).toBeGreaterThan(20_000);
  });

  test.each([
    ["events", raw(0x92, 0x01, Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff))],
    ["a batch", Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff)],
    ["a map", Uint8Array.of(0xdf, 0xff, 0xff, 0xff, 0xff)],
    ["hashes", raw(0x92, 0x01, 0x91, 0x92, "BlockRemoved", Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff, 1))],
    [
      "a hash",
      raw(0x92, 0x01, 0x91, 0x92, "BlockRemoved", Uint8Array.of(0x91, 0xc6, 0xff, 0xff, 0xff, 0xf0, 1)),
    ],
    ["a name", raw(0x92, 0x01, 0x91, 0x92, Uint8Array.of(0xdb, 0xff, 0xff, 0xff, 0xff, 65))],
    ["an extension", raw(0x92, 0x01, 0x91, 0x92, "Other", Uint8Array.of(0xc9, 0xff, 0xff, 0xff, 0xff, 1))],
    [
      "tokens",
      raw(
        0x92,
        0x01,
        0x91,
        0x95,
        "BlockStored",
        Uint8Array.of(0x90, 0xc0, 0xdd, 0x7f, 0xff, 0xff, 0xff, 1, 2),
      ),
    ],
  ])("that declare an absurd length of %s allocate nothing for it", (_, payload) => {
    const before = process.memoryUsage().arrayBuffers;
    expect(decodeEventBatch(payload)).toMatchObject({ events: [], failed: { reason: "truncated" } });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20);
  });

  test.each([
    ["arrays", 0x91],
    ["maps", 0x81],
  ])("nested 100 000 %s deep overflow no stack", (_, head) => {
    const deep = new Uint8Array(100_000).fill(head);
    const closed = head === 0x91 ? raw(deep, 0xc0) : raw(deep, new Uint8Array(100_001).fill(0xc0));
    const event = raw(0x92, "Unknown", closed);
    const batch = decodeEventBatch(raw(0x92, 0x01, 0x92, event, bytes(removed)));
    expect(batch.skipped.map(({ reason }) => reason)).toEqual(["unknown-type"]);
    expect(batch.events.length).toBe(1);
    expect(batch.failed).toBeNull();
    expect(decodeEventBatch(raw(0x92, 0x01, deep)).failed).not.toBeNull();
  });
});
