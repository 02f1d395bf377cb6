/** The decoder against `@msgpack/msgpack`: the same bytes, read generically and mapped by the rules written here. */
import { Decoder, ExtensionCodec, encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { decodeEventBatch } from "kvblock/events";
import { describe, expect, test } from "vitest";

type Value = unknown;
type Outcome = { event: Record<string, Value> } | { reason: string };

const opaque = new ExtensionCodec();
opaque.register({ type: -1, encode: () => null, decode: () => "timestamp" });
const generic = new Decoder({
  useBigInt64: true,
  extensionCodec: opaque,
  mapKeyConverter: (key) => (typeof key === "string" && key !== "__proto__" ? key : `\0${String(key)}`),
});
const bytesOf = (value: Value): Uint8Array => encode(value, { useBigInt64: true });

class Skip extends Error {}
const skip = (reason: string): never => {
  throw new Skip(reason);
};

/** Integers: what msgpack's integer formats give. A larger JS number was a float. */
const isInteger = (v: Value): v is number | bigint =>
  typeof v === "bigint" || (Number.isInteger(v) && (v as number) >= -(2 ** 31) && (v as number) < 2 ** 32);
const safeInteger = (v: Value): number => {
  if (!isInteger(v) || !Number.isSafeInteger(Number(v))) return skip("bad-field");
  return Number(v);
};
const u32 = (v: Value): number => {
  const n = safeInteger(v);
  return n < 0 || n >= 2 ** 32 ? skip("bad-field") : n;
};
const orNull =
  <T>(read: (v: Value) => T) =>
  (v: Value): T | null =>
    v === null ? null : read(v);
const text = (v: Value): string => (typeof v === "string" ? v : skip("bad-field"));
const list = (v: Value): Value[] => (Array.isArray(v) ? v : skip("bad-field"));

function key(v: Value): [number, number] {
  let low: bigint;
  if (v instanceof Uint8Array) {
    if (v.length !== 8 && (v.length === 0 || v.length % 16 !== 0)) return skip("bad-hash");
    low = Buffer.from(v).readBigUInt64BE(v.length - 8);
  } else if (isInteger(v)) low = BigInt.asUintN(64, BigInt(v));
  else return skip("bad-hash");
  return [Number(low >> 32n), Number(low & 0xffffffffn)];
}

function extraKey(v: Value): Value {
  if (typeof v === "string" || v instanceof Uint8Array) return v;
  if (isInteger(v) && Number.isSafeInteger(Number(v))) return Number(v);
  if (Array.isArray(v) && v.length === 2 && typeof v[0] === "string" && isInteger(v[1]))
    if (Number.isSafeInteger(Number(v[1]))) return [v[0], Number(v[1])];
  return skip("unknown-extra-key");
}

const STORED = [
  "block_hashes",
  "parent_block_hash",
  "token_ids",
  "block_size",
  "lora_id",
  "medium",
  "lora_name",
];
STORED.push("extra_keys", "group_idx", "kv_cache_spec_kind", "kv_cache_spec_sliding_window");
const REMOVED = ["block_hashes", "medium", "group_idx"];

const keys = (v: Value): Uint32Array => Uint32Array.from(list(v).flatMap(key));
const readStored: Record<string, (v: Value, event: Record<string, Value>) => void> = {
  block_hashes: (v, e) => (e.blockKeys = keys(v)),
  parent_block_hash: (v, e) => (e.parentKey = orNull(key)(v)),
  token_ids: (v, e) => {
    const tokens = list(v);
    for (const token of tokens)
      if (!isInteger(token) || token < 0 || token > 0xffffffff)
        skip(Array.isArray(token) ? "bigram-tokens" : "bad-field");
    e.tokenIds = Uint32Array.from(tokens.map(Number));
  },
  block_size: (v, e) => (e.blockSize = u32(v)),
  lora_id: (v, e) => (e.loraId = orNull(safeInteger)(v)),
  medium: (v, e) => (e.medium = orNull(text)(v)),
  lora_name: (v, e) => (e.loraName = orNull(text)(v)),
  extra_keys: (v, e) => {
    const block = (b: Value): Value => (list(b).length === 0 ? null : list(b).map(extraKey));
    e.extraKeys = orNull((all) => list(all).map(orNull(block)))(v);
  },
  group_idx: (v, e) => (e.groupIdx = orNull(u32)(v)),
  kv_cache_spec_kind: (v, e) => (e.kvCacheSpecKind = orNull(text)(v)),
  kv_cache_spec_sliding_window: (v, e) => (e.slidingWindow = orNull(u32)(v)),
  cache_salt: (v, e) => (e.cacheSalt = orNull(text)(v)),
};

function mapEvent(v: Value): Outcome {
  const isArray = Array.isArray(v);
  const isMap = typeof v === "object" && v !== null && !isArray && !ArrayBuffer.isView(v);
  if (!isArray && !isMap) return { reason: "not-an-event" };
  const type = isArray ? v[0] : (v as Record<string, Value>).type;
  if (typeof type !== "string") return { reason: "not-an-event" };
  if (type === "AllBlocksCleared") return { event: { type } };
  if (type !== "BlockStored" && type !== "BlockRemoved") return { reason: "unknown-type" };
  const names = type === "BlockStored" ? STORED : REMOVED;
  const fields: [string, Value][] = isArray
    ? v.slice(1).map((field, i) => [names[i] ?? "", field])
    : Object.entries(v as object);
  const event: Record<string, Value> =
    type === "BlockRemoved"
      ? { type, medium: null, groupIdx: null, remainingCopies: null }
      : {
          type,
          ...Object.fromEntries(
            [
              "parentKey",
              "loraId",
              "loraName",
              "medium",
              "extraKeys",
              "cacheSalt",
              "groupIdx",
              "kvCacheSpecKind",
              "slidingWindow",
            ].map((name) => [name, null]),
          ),
          hasExtraKeysField: !isArray || v.length >= 9,
        };
  try {
    for (const [name, field] of fields)
      if (type === "BlockStored" || REMOVED.includes(name)) readStored[name]?.(field, event);
    for (const name of type === "BlockStored" ? ["blockKeys", "tokenIds", "blockSize"] : ["blockKeys"])
      if (!(name in event)) skip("missing-field");
    const { extraKeys, blockKeys, tokenIds } = event as Record<string, { length: number } | null>;
    if (extraKeys && tokenIds!.length > 0 && 2 * extraKeys.length < blockKeys!.length) skip("bad-field");
  } catch (error) {
    if (!(error instanceof Skip)) throw error;
    return { reason: error.message };
  }
  return { event };
}

// Any value, and values near to what a field expects.
const anything = fc.anything({ withBigInt: false, maxDepth: 2 }).filter(isEncodable);
const hash = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.bigInt({ min: -(2n ** 63n), max: -1n }),
  fc.integer(),
  fc.constantFrom(8, 16, 32, 64).chain((n) => fc.uint8Array({ minLength: n, maxLength: n })),
);
const name = fc.option(
  fc.oneof(fc.constantFrom("GPU", "CPU", "full_attention", "GPX"), fc.string({ unit: "binary" })),
);
const extra = fc.oneof(
  fc.string(),
  fc.integer(),
  fc.uint8Array({ maxLength: 32 }),
  fc.tuple(fc.string(), fc.integer()),
);
const good: Record<string, fc.Arbitrary<Value>> = {
  block_hashes: fc.array(hash),
  parent_block_hash: fc.option(hash),
  token_ids: fc.array(fc.oneof(fc.nat(300), fc.nat(0xffffffff)), { maxLength: 40 }),
  block_size: fc.nat(2048),
  lora_id: fc.option(fc.integer()),
  medium: name,
  lora_name: name,
  extra_keys: fc.option(fc.array(fc.option(fc.array(extra, { maxLength: 3 })), { maxLength: 4 })),
  group_idx: fc.option(fc.nat(40)),
  kv_cache_spec_kind: name,
  kv_cache_spec_sliding_window: fc.option(fc.nat()),
  cache_salt: name,
};
const field = (wire: string): fc.Arbitrary<Value> =>
  fc.oneof({ weight: 30, arbitrary: good[wire]! }, { weight: 1, arbitrary: anything });
const arrayEvent = (type: string, names: string[]): fc.Arbitrary<Value> =>
  fc
    .tuple(
      fc.tuple(...names.map(field)),
      fc.nat(names.length),
      fc.array(anything, { maxLength: 2 }),
      fc.boolean(),
    )
    .map(([all, kept, more, whole]) => [type, ...(whole ? [...all, ...more] : all.slice(0, kept))])
    // A map at lora_name's position is SGLang's metadata, which the vectors cover.
    .filter((event) => typeof event[7] !== "object" || event[7] === null);
const mapEventOf = (type: string, names: string[]): fc.Arbitrary<Value> =>
  fc
    .tuple(
      fc.record(Object.fromEntries(names.map((n) => [n, field(n)])), {
        noNullPrototype: true,
        requiredKeys: [],
      }),
      fc.dictionary(fc.string(), anything, { maxKeys: 2, noNullPrototype: true }),
      fc.boolean(),
    )
    .map(([known, unknown, typeFirst]) => Object.assign(typeFirst ? { type } : {}, known, unknown, { type }))
    .filter(
      (event) =>
        typeof (event as { lora_name?: Value }).lora_name !== "object" ||
        (event as { lora_name?: Value }).lora_name === null,
    );
const mapNames = [...STORED, "cache_salt", "locality"].filter((n) => n in good);
const event = fc.oneof(
  { weight: 4, arbitrary: arrayEvent("BlockStored", STORED) },
  { weight: 4, arbitrary: mapEventOf("BlockStored", mapNames) },
  { weight: 2, arbitrary: arrayEvent("BlockRemoved", REMOVED) },
  { weight: 2, arbitrary: mapEventOf("BlockRemoved", REMOVED) },
  { weight: 1, arbitrary: fc.constantFrom<Value>(["AllBlocksCleared"], { type: "AllBlocksCleared" }) },
  { weight: 1, arbitrary: anything },
);
const batch = fc.tuple(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.array(event, { maxLength: 6 }),
  fc.option(fc.nat(64)),
);

function isEncodable(value: Value): boolean {
  try {
    generic.decode(bytesOf(value));
    return true;
  } catch {
    return false;
  }
}

describe("decodeEventBatch and @msgpack/msgpack", () => {
  test("read the same batches alike, good events and bad", () => {
    let decoded = 0;
    let skipped = 0;
    fc.assert(
      fc.property(batch, fc.boolean(), ([ts, events, rank], asMap) => {
        const payload = bytesOf(asMap ? { ts, events, data_parallel_rank: rank } : [ts, events, rank]);
        const read = generic.decode(payload) as Value[] | { ts: Value; events: Value };
        const [, values] = (Array.isArray(read) ? read : [read.ts, read.events]) as [number, Value[]];
        const outcomes = values.map(mapEvent);
        const ours = decodeEventBatch(payload);
        expect(ours.failed).toBeNull();
        expect([ours.ts, ours.dataParallelRank]).toEqual([ts === 0 ? ours.ts : ts, rank]);
        expect(ours.events).toEqual(outcomes.flatMap((o) => ("event" in o ? [o.event] : [])));
        expect(ours.skipped.map(({ index, reason }) => ({ index, reason }))).toEqual(
          outcomes.flatMap((o, index) => ("reason" in o ? [{ index, reason: o.reason }] : [])),
        );
        decoded += ours.events.length;
        skipped += ours.skipped.length;
      }),
      { numRuns: 1500 },
    );
    // Neither side of the comparison may be idle.
    expect(decoded).toBeGreaterThan(1500);
    expect(skipped).toBeGreaterThan(300);
  });

  test("agree on where mutated bytes are sound", () => {
    let sound = 0;
    let broken = 0;
    const mutation = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(batch, mutation, (value, mutations) => {
        const payload = bytesOf(value);
        for (const [at, byte] of mutations) payload[at % payload.length] = byte;
        const ours = decodeEventBatch(payload);
        let read: Value;
        try {
          read = generic.decode(payload);
        } catch {
          // Ours may have stopped at a header that names no batch before it came to the broken place.
          expect(ours.failed).not.toBeNull();
          broken++;
          return;
        }
        if (ours.failed === null) {
          const events = Array.isArray(read) ? read[1] : (read as { events: Value }).events;
          expect(ours.events.length + ours.skipped.length).toBe((events as Value[]).length);
          sound++;
        } else expect(ours.failed.reason).toBe("not-a-batch");
      }),
      { numRuns: 2500 },
    );
    expect(sound).toBeGreaterThan(500);
    expect(broken).toBeGreaterThan(250);
  });
});
