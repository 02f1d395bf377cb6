/** Law 11: no step of decoding is long, whatever is large in a payload, and the steps come to the same as one go. */

import { isDeepStrictEqual } from "node:util";
import { encode } from "@msgpack/msgpack";
import { decodeEventBatch } from "kvblock/events";
import { describe, expect, it } from "vitest";
import { decodeInSteps } from "../../src/events/index.js";

const STEP = 64 * 1024;
/** A stretch of the longest elements, 32-byte hashes, on top. */
const MOST = STEP + 8192 * 34;
const MIB = 2 ** 20;

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt32BE(value, 1);
  return bytes;
};
/** An array of `count` times the same element. */
const list = (count: number, element: Uint8Array | number[]): Buffer => {
  const head = u32(count);
  head[0] = 0xdd;
  return Buffer.concat([head, Buffer.alloc(count * element.length, Buffer.from(element))]);
};
const text = (value: string): Buffer => Buffer.from(encode(value));
const array = (...parts: Uint8Array[]): Buffer =>
  Buffer.concat([[0x90 + parts.length], ...parts].map(Buffer.from));
const map = (fields: Record<string, Uint8Array>): Buffer =>
  Buffer.concat([
    Buffer.of(0x80 + Object.keys(fields).length),
    ...Object.entries(fields).flatMap(([name, value]) => [text(name), value]),
  ]);
const batch = (...events: Uint8Array[]): Uint8Array =>
  new Uint8Array(array(Buffer.from(encode(1.5)), array(...events), Buffer.from(encode(0))));

const nil = Buffer.of(0xc0);
const one = Buffer.of(1);
const hash8 = Buffer.from([0xcf, 1, 2, 3, 4, 5, 6, 7, 8]);
const hash32 = Buffer.concat([Buffer.of(0xc4, 32), Buffer.alloc(32, 7)]);
const token = Buffer.from([0xce, 0, 1, 2, 3]);
const removed = array(text("BlockRemoved"), list(1, hash8), text("GPU"));
const stored = (fields: Record<string, Uint8Array>): Buffer =>
  map({
    type: text("BlockStored"),
    block_hashes: list(1, hash8),
    parent_block_hash: nil,
    token_ids: list(1, token),
    block_size: one,
    lora_id: nil,
    medium: text("GPU"),
    ...fields,
  });
const blocks = (4 * MIB) / 32;
const key = Buffer.concat([Buffer.of(0x91), text("a-salt-of-twenty-odd-bytes")]);
const endingInAFloat = (tokens: Buffer): Buffer => {
  tokens[tokens.length - 5] = 0xca;
  return tokens;
};
const junk = list(64, list(8192, hash8));

const LARGE: Record<string, [payload: Uint8Array, events: number, skipped: number]> = {
  "a store of many blocks": [
    batch(stored({ block_hashes: list(blocks, hash32), token_ids: list(blocks, token) }), removed),
    2,
    0,
  ],
  "a store of one block of many tokens": [
    batch(array(text("BlockStored"), list(1, hash8), nil, list(MIB, token), token, nil), removed),
    2,
    0,
  ],
  "a store with many extra keys": [
    batch(
      stored({
        block_hashes: list(blocks, hash8),
        token_ids: list(blocks, one),
        extra_keys: list(blocks, key),
      }),
      removed,
    ),
    2,
    0,
  ],
  "a removal of many blocks, with copies left": [
    batch(
      map({
        type: text("BlockRemoved"),
        block_hashes: list(blocks, hash32),
        remaining_copy_counts: list(blocks, token),
      }),
      removed,
    ),
    2,
    0,
  ],
  "a removal whose counts of copies are none": [
    batch(
      map({
        type: text("BlockRemoved"),
        block_hashes: list(blocks, hash8),
        remaining_copy_counts: list(blocks, nil),
      }),
      removed,
    ),
    2,
    0,
  ],
  "an event of an unknown type": [batch(array(text("BlockMoved"), junk), removed), 1, 1],
  "a field of an unknown name": [batch(stored({ more: junk }), removed), 2, 0],
  "a field whose name is no text": [
    batch(Buffer.concat([Buffer.of(0x82), junk, junk, text("type"), text("AllBlocksCleared")]), removed),
    2,
    0,
  ],
  "a map that says its type at last": [
    batch(map({ block_hashes: list(blocks, hash32), type: text("BlockRemoved") }), removed),
    2,
    0,
  ],
  "an event that turns out bad at its last token": [
    batch(
      stored({
        block_hashes: list(blocks, hash8),
        token_ids: endingInAFloat(list(MIB, token)),
      }),
      removed,
    ),
    1,
    1,
  ],
  "a clearing with more than it has": [batch(array(text("AllBlocksCleared"), junk), removed), 2, 0],
  "a salt's map with more than it has": [
    batch(
      array(
        text("BlockStored"),
        list(1, hash8),
        nil,
        list(1, token),
        one,
        nil,
        text("GPU"),
        map({ more: junk }),
      ),
      removed,
    ),
    2,
    0,
  ],
  "an element of the batch that nobody knows": [
    new Uint8Array(array(Buffer.from(encode(1.5)), array(removed), one, junk)),
    1,
    0,
  ],
};

describe("decoding in steps", () => {
  it.each(Object.keys(LARGE))("%s takes many short steps", (name) => {
    const [payload, events, skipped] = LARGE[name]!;
    expect(payload.length).toBeGreaterThan(MIB);
    const steps = decodeInSteps(payload, STEP);
    let from = 0;
    let count = 0;
    let step = steps.next();
    for (; step.done !== true; step = steps.next()) {
      // Where a bad event is passed over, it goes back to its beginning.
      expect(step.value - Math.min(from, step.value)).toBeLessThanOrEqual(MOST);
      from = step.value;
      count++;
    }
    expect(payload.length - from).toBeLessThanOrEqual(MOST);
    expect(count).toBeGreaterThanOrEqual(Math.floor(payload.length / MOST) - 1);
    expect([step.value.events.length, step.value.skipped.length, step.value.failed]).toEqual([
      events,
      skipped,
      null,
    ]);
    expect(isDeepStrictEqual(step.value, decodeEventBatch(payload))).toBe(true);
  });

  it("a name or a digest longer than any engine's is none", () => {
    const long = Buffer.concat([Buffer.from([0xdb, 0, 0x10, 0, 0]), Buffer.alloc(MIB, 0x61)]);
    const bytes = Buffer.concat([Buffer.from([0xc6, 0, 0x10, 0, 0]), Buffer.alloc(MIB, 0x61)]);
    const { events, skipped } = decodeEventBatch(
      batch(
        array(long, one),
        stored({ medium: long }),
        stored({ extra_keys: list(1, Buffer.concat([Buffer.of(0x91), bytes])) }),
        stored({ extra_keys: list(1, list(257, one)) }),
        removed,
      ),
    );
    expect(skipped.map(({ reason }) => reason)).toEqual([
      "not-an-event",
      "bad-field",
      "unknown-extra-key",
      "bad-field",
    ]);
    expect(events.map(({ type }) => type)).toEqual(["BlockRemoved"]);
  });
});
