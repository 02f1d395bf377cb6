/** What the decoder does with each oddity: a bad event is skipped with a reason, and its neighbours are kept. */
import { encode } from "@msgpack/msgpack";
import { type BlockRemoved, type BlockStored, decodeEventBatch, type SkipReason } from "kvblock/events";
import { describe, expect, test } from "vitest";

const stored = (fields: Record<string, unknown> = {}): Record<string, unknown> => ({
  type: "BlockStored",
  block_hashes: [7],
  parent_block_hash: null,
  token_ids: [1, 2],
  block_size: 2,
  lora_id: null,
  medium: "GPU",
  lora_name: null,
  ...fields,
});
const removed = { type: "BlockRemoved", block_hashes: [9], medium: "GPU" };
const bytes = (value: unknown): Uint8Array => encode(value, { useBigInt64: true });
const batchOf = (...events: unknown[]): ReturnType<typeof decodeEventBatch> =>
  decodeEventBatch(bytes([1.5, events, 0]));
const raw = (...parts: (number | string | Uint8Array)[]): Uint8Array =>
  Buffer.concat(
    parts
      .map((part) => (typeof part === "number" ? [part] : typeof part === "string" ? bytes(part) : part))
      .map((part) => Uint8Array.from(part)),
  );

describe("a bad event", () => {
  const cases: [what: string, event: unknown, reason: SkipReason, detail: RegExp][] = [
    ["that is a number", 5, "not-an-event", /array or a map/],
    ["that is nil", null, "not-an-event", /array or a map/],
    ["that is an empty array", [], "not-an-event", /array or a map/],
    ["whose array starts with no name", [7, [1]], "not-an-event", /type name/],
    ["whose map has no type", { block_hashes: [1] }, "not-an-event", /type name/],
    ["whose type is a number", { type: 3 }, "not-an-event", /type name/],
    ["of an unknown type", ["BlockMoved", [1], "GPU"], "unknown-type", /^BlockMoved$/],
    ["whose array ends before block_size", ["BlockStored", [1], null, [1]], "missing-field", /^block_size$/],
    ["without block_hashes", { type: "BlockRemoved" }, "missing-field", /^block_hashes$/],
    [
      "without token_ids",
      { type: "BlockStored", block_hashes: [1], block_size: 1 },
      "missing-field",
      /^token_ids$/,
    ],
    ["whose hashes are no array", stored({ block_hashes: 5 }), "bad-field", /^block_hashes: /],
    ["whose hash is a float", stored({ block_hashes: [1.5] }), "bad-hash", /^block_hashes: /],
    ["whose hash is text", { ...removed, block_hashes: ["aa"] }, "bad-hash", /^block_hashes: /],
    ["whose hash has 9 bytes", stored({ block_hashes: [new Uint8Array(9)] }), "bad-hash", /^block_hashes: /],
    ["whose hash has no bytes", stored({ block_hashes: [new Uint8Array(0)] }), "bad-hash", /^block_hashes: /],
    ["whose parent is text", stored({ parent_block_hash: "x" }), "bad-hash", /^parent_block_hash: /],
    ["with a negative token", stored({ token_ids: [1, -1] }), "bad-field", /^token_ids: /],
    ["with a token of 2^32", stored({ token_ids: [2n ** 32n, 1] }), "bad-field", /^token_ids: /],
    ["with a token that is a float", stored({ token_ids: [1, 2.5] }), "bad-field", /^token_ids: /],
    [
      "with token pairs",
      stored({
        token_ids: [
          [1, 2],
          [2, 3],
        ],
      }),
      "bigram-tokens",
      /EAGLE/,
    ],
    ["with a negative block size", stored({ block_size: -1 }), "bad-field", /^block_size: /],
    ["with a medium that is a number", stored({ medium: 1 }), "bad-field", /^medium: /],
    ["with a LoRA name that is a number", stored({ lora_name: 1 }), "bad-field", /^lora_name: /],
    ["with a LoRA id that is text", stored({ lora_id: "1" }), "bad-field", /^lora_id: /],
    ["with a group that is text", { ...removed, group_idx: "0" }, "bad-field", /^group_idx: /],
    ["with extra keys that are text", stored({ extra_keys: "k" }), "bad-field", /^extra_keys: /],
    ["with a block's extra keys as text", stored({ extra_keys: ["k"] }), "bad-field", /^extra_keys: /],
    [
      "with an extra key of three parts",
      stored({ extra_keys: [[["a", 1, 2]]] }),
      "unknown-extra-key",
      /^extra_keys: /,
    ],
    [
      "with an extra key of a new type",
      stored({ extra_keys: [[{ type: "video", hash: "a" }]] }),
      "unknown-extra-key",
      /map/,
    ],
    [
      "with an extra key that is a float",
      stored({ extra_keys: [[0.5]] }),
      "unknown-extra-key",
      /^extra_keys: /,
    ],
  ];

  test.each(cases)("%s is skipped, with its neighbours kept", (_, event, reason, detail) => {
    const batch = batchOf(removed, event, stored());
    expect(batch.failed).toBeNull();
    expect(batch.events.map(({ type }) => type)).toEqual(["BlockRemoved", "BlockStored"]);
    expect(batch.skipped).toMatchObject([{ index: 1, reason, detail: expect.stringMatching(detail) }]);
    expect(batch.dataParallelRank).toBe(0);
  });

  test("says of what type it would have been, in either form", () => {
    const bad = { block_hashes: "none" };
    const { skipped } = batchOf({ ...removed, ...bad }, ["BlockRemoved", 7], { ...stored({}), ...bad }, [7], {
      type: "Unheard",
    });
    expect(skipped.map(({ type }) => type)).toEqual([
      "BlockRemoved",
      "BlockRemoved",
      "BlockStored",
      null,
      null,
    ]);
  });

  test("with invalid UTF-8 in a name is skipped", () => {
    const name = Uint8Array.of(0xa2, 0xc3, 0x28);
    const event = raw(0x93, "BlockRemoved", Uint8Array.of(0x91, 0x01), name);
    const batch = decodeEventBatch(raw(0x92, 0x01, 0x92, event, bytes(removed)));
    expect(batch.skipped.map(({ reason }) => reason)).toEqual(["bad-field"]);
    expect(batch.events.length).toBe(1);
  });

  test("never puts tokens or a long name in its detail", () => {
    const batch = batchOf(stored({ token_ids: [123456, "987654"] }), ["x".repeat(1000)]);
    expect(batch.skipped[0]?.detail).not.toMatch(/\d{4}/);
    expect(batch.skipped[1]?.detail.length).toBe(64);
  });
});

describe("a field", () => {
  const only = (fields: Record<string, unknown>): BlockStored => {
    const { events, skipped } = batchOf(stored(fields));
    expect(skipped).toEqual([]);
    return events[0] as BlockStored;
  };

  test("of hashes takes every integer width and every digest length, by the low 64 bits", () => {
    const digest = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i);
    const hashes = [0, 127, 128, 65536, -1, -33, -40000, 2n ** 64n - 1n, -(2n ** 63n), 2n ** 63n];
    expect([...only({ block_hashes: hashes }).blockKeys]).toEqual(
      hashes.flatMap((hash) => {
        const u64 = BigInt.asUintN(64, BigInt(hash));
        return [Number(u64 >> 32n), Number(u64 & 0xffffffffn)];
      }),
    );
    const lengths = [8, 16, 32, 48, 64, 96, 256, 65536];
    expect([...only({ block_hashes: lengths.map(digest) }).blockKeys]).toEqual(
      lengths.flatMap((length) => {
        const low = Buffer.from(digest(length).subarray(length - 8));
        return [low.readUInt32BE(0), low.readUInt32BE(4)];
      }),
    );
  });

  test("of tokens takes every spelling of a u32", () => {
    const spelled = raw(
      ...[
        0x9a, 0x05, 0xcc, 0x05, 0xcd, 0, 5, 0xce, 0, 0, 0, 5, 0xcf, 0, 0, 0, 0, 0, 0, 0, 5, 0xd0, 5, 0xd1, 0,
        5,
      ],
      ...[0xd2, 0, 0, 0, 5, 0xd3, 0, 0, 0, 0, 0, 0, 0, 5, 0xce, 0xff, 0xff, 0xff, 0xff],
    );
    const event = raw(0x96, "BlockStored", Uint8Array.of(0x91, 1, 0xc0), spelled, Uint8Array.of(10, 0xc0));
    const { events } = decodeEventBatch(raw(0x92, 0x01, 0x91, event));
    expect([...(events[0] as BlockStored).tokenIds]).toEqual([5, 5, 5, 5, 5, 5, 5, 5, 5, 4294967295]);
  });

  test("of the parent are the last 8 bytes of a byte string", () => {
    const parent = Uint8Array.from({ length: 32 }, (_, i) => i);
    const payload = bytes([0, [stored({ parent_block_hash: parent })]]);
    const event = decodeEventBatch(payload).events[0] as BlockStored;
    expect(event.parentKey).toEqual([0x18191a1b, 0x1c1d1e1f]);
  });

  test("of extra keys keeps all kinds, in order, and an empty list means none", () => {
    const keys = ["lora", 3, ["image", -4], Uint8Array.of(1, 2), "salt"];
    const { extraKeys } = only({ extra_keys: [keys, null, []] });
    expect(extraKeys).toEqual([keys, null, null]);
    expect(only({ extra_keys: null }).extraKeys).toBeNull();
  });

  test("of typed extra keys may stand in any order, beside fields not known", () => {
    const key = { salt: "s", added: [1, { deep: true }], 7: 1, type: "cache_salt" };
    expect(only({ extra_keys: [[key]] }).extraKeys).toEqual([["s"]]);
  });

  test("in SGLang's metadata is read for its salt alone", () => {
    const event = [
      "BlockStored",
      [5],
      null,
      [1],
      1,
      null,
      "GPU",
      { session_id: "x", cache_salt: "s", n: [1] },
    ];
    const [decoded] = batchOf(event).events as [BlockStored];
    expect([decoded.cacheSalt, decoded.loraName, decoded.hasExtraKeysField]).toEqual(["s", null, false]);
  });

  test("keeps a byte order mark in a name", () => {
    expect(only({ lora_name: "\ufeffname" }).loraName).toBe("\ufeffname");
  });

  test("that stands twice in a map counts as the last", () => {
    const twice = raw(
      0x83,
      "type",
      "BlockRemoved",
      "block_hashes",
      Uint8Array.of(0x91, 1),
      "block_hashes",
      Uint8Array.of(0x91, 2),
    );
    const { events } = decodeEventBatch(raw(0x92, 0x01, 0x91, twice));
    expect(events).toEqual([
      {
        type: "BlockRemoved",
        blockKeys: Uint32Array.of(0, 2),
        medium: null,
        groupIdx: null,
        remainingCopies: null,
      },
    ]);
  });

  const copiesOf = (fields: Record<string, unknown>): readonly number[] | null => {
    const { events, skipped } = batchOf({ ...removed, ...fields });
    expect([events.length, skipped.length]).toEqual([1, 0]);
    const [event] = events as [BlockRemoved];
    expect(event.blockKeys.length).toBeGreaterThan(0);
    return event.remainingCopies === null ? null : [...event.remainingCopies];
  };

  test("says how many copies of each removed block are left, where the engine does", () => {
    expect(copiesOf({ block_hashes: [9, 10], remaining_copy_counts: [0, 70_000] })).toEqual([0, 70_000]);
    expect(copiesOf({ remaining_copy_counts: null })).toBeNull();
    expect(copiesOf({})).toBeNull();
    // Before the hashes, as a map may have it.
    const first = { type: "BlockRemoved", remaining_copy_counts: [3], block_hashes: [9] };
    expect((batchOf(first).events as [BlockRemoved])[0].remainingCopies).toEqual(Uint32Array.of(3));
  });

  test.each([
    ["no array", 1],
    ["text", "1"],
    ["a map", { 9: 1 }],
    ["too few", []],
    ["too many", [1, 1]],
    ["negative", [-1]],
    ["a float", [0.5]],
    ["past 32 bits", [2n ** 32n]],
    ["a nil among them", [null]],
  ])("that has copies left as %s is a removal all the same, without them", (_, counts) => {
    expect(copiesOf({ remaining_copy_counts: counts })).toBeNull();
  });

  test("with copies left of an absurd length takes no memory for it", () => {
    const event = raw(
      0x83,
      "type",
      "BlockRemoved",
      "block_hashes",
      Uint8Array.of(0x91, 1),
      "remaining_copy_counts",
      Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff, 1),
    );
    expect(decodeEventBatch(raw(0x92, 0x01, 0x91, event)).failed?.reason).toBe("truncated");
  });
});

describe("a batch", () => {
  test("takes its time as integer, float32 or float64", () => {
    const ts = (value: Uint8Array): number => decodeEventBatch(raw(0x92, value, 0x90)).ts;
    expect(ts(Uint8Array.of(0xca, 0x3f, 0xc0, 0, 0))).toBe(1.5);
    expect(ts(bytes(1e9 + 0.5))).toBe(1e9 + 0.5);
    expect(ts(bytes(1_757_500_000))).toBe(1_757_500_000);
    expect(ts(bytes(2n ** 40n))).toBe(2 ** 40);
  });

  test.each([
    ["a number", 5],
    ["nil", null],
    ["an empty array", []],
    ["an array without events", [1]],
    ["an empty map", {}],
    ["a time that is text", ["now", [removed]]],
    ["a time that is nil", [null, [removed]]],
    ["a time that is no number", [Number.NaN, [removed]]],
    ["events that are a map", [1, {}]],
    ["a rank that is text", [1, [removed], "0"]],
    ["a negative rank", [1, [removed], -1]],
  ])("that is or has %s is no batch, and gives no events", (_, value) => {
    expect(decodeEventBatch(bytes(value))).toMatchObject({
      events: [],
      skipped: [],
      failed: { reason: "not-a-batch" },
    });
  });

  test("followed by other bytes is decoded and reported", () => {
    const payload = bytes([1, [removed], 2]);
    const batch = decodeEventBatch(raw(payload, 0xc0));
    expect(batch.events.length).toBe(1);
    expect(batch.dataParallelRank).toBe(2);
    expect(batch.failed).toEqual({ reason: "trailing-bytes", offset: payload.length });
  });

  test("with 0xc1 fails there, with the events before it kept", () => {
    const event = bytes(removed);
    const batch = decodeEventBatch(
      raw(0x92, 0x01, 0x93, event, Uint8Array.of(0x92, 0xa1, 0x78, 0xc1), event),
    );
    expect(batch.events.length).toBe(1);
    expect(batch.failed).toEqual({ reason: "invalid-byte", offset: 3 + event.length + 3 });
  });

  test("of nothing but bad events ends at 65 536 of them", () => {
    const batch = decodeEventBatch(raw(0x92, 0x01, Uint8Array.of(0xdd, 0, 2, 0, 0), new Uint8Array(0x20000)));
    expect(batch.skipped.length).toBe(65_536);
    expect(batch.failed).toEqual({ reason: "too-many-skipped", offset: 2 + 5 + 65_536 });
  });

  test("that is no Uint8Array is the caller's mistake", () => {
    for (const value of [null, "x", [1], new ArrayBuffer(4)] as unknown[])
      expect(() => decodeEventBatch(value as Uint8Array)).toThrow(TypeError);
  });

  test("inside a larger buffer is read from its own offset", () => {
    const payload = bytes([1, [stored({ block_hashes: [2n ** 63n] })], 0]);
    const larger = new Uint8Array(payload.length + 20).fill(0xc1);
    larger.set(payload, 13);
    expect(decodeEventBatch(larger.subarray(13, 13 + payload.length))).toEqual(decodeEventBatch(payload));
  });
});
