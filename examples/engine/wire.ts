/**
 * KV events as the bytes that each version of vLLM sends.
 *
 * A batch is always the array `[ts, events, data_parallel_rank]` (two elements in the first version). Up to v0.23 an
 * event is an array with every field of its version, nil where there is none; from v0.24 a map, whose later fields
 * are left out where there are none. Source: vLLM `vllm/distributed/kv_events.py` by version; judged by the payloads
 * of msgspec in test/vectors/events.json.
 * @module
 */
import { Encoder } from "@msgpack/msgpack";
import type { CacheEvent } from "./cache-events.js";

/**
 * Layouts of the wire, oldest first. `A…` are arrays: A1 v0.9, A1r the same with a rank in the batch, A2 adds the
 * medium (v0.10), A3 the LoRA name, A4 the extra keys, A5 the group, A6 the group's kind (up to v0.23). `M…` are
 * maps: M1 v0.24, M2 adds locality (v0.26), M3 ownership and session (v0.30). M4 (v0.33) is M3 with room for more than
 * fifteen fields, which changes the head of every stored event's map.
 */
export const WIRE_ERAS = ["A1", "A1r", "A2", "A3", "A4", "A5", "A6", "M1", "M2", "M3", "M4"] as const;
export type WireEra = (typeof WIRE_ERAS)[number];

export interface WireOptions {
  readonly era: WireEra;
  /** Hashes as the low 64 bits of the digest (vLLM's default), else the whole digest. */
  readonly intHashes: boolean;
}

export interface EventBatch {
  /** Seconds since the epoch. */
  readonly ts: number;
  readonly events: readonly CacheEvent[];
  /** Null only where a publisher never set it. */
  readonly dataParallelRank: number | null;
}

type Fields = readonly (readonly [name: string, value: unknown])[];

const SINCE: Readonly<Record<WireEra, number>> = Object.fromEntries(
  WIRE_ERAS.map((era, index) => [era, index]),
) as Record<WireEra, number>;

// useBigInt64: a bigint is written as the u64 that it is; plain numbers keep msgpack's shortest form.
const encoder = new Encoder({ useBigInt64: true });

/** One batch as the payload of a ZeroMQ message. */
export function encodeEventBatch(batch: EventBatch, options: WireOptions): Uint8Array {
  const head = new Uint8Array(10);
  head[0] = options.era === "A1" ? 0x92 : 0x93;
  // Python's time.time() is a float and stays one on the wire, whole seconds included.
  head[1] = 0xcb;
  new DataView(head.buffer).setFloat64(2, batch.ts);
  const parts = [
    head,
    arrayHead(batch.events.length),
    ...batch.events.map((event) => encodeEvent(event, options)),
  ];
  if (options.era !== "A1") parts.push(encoder.encode(batch.dataParallelRank));
  return Buffer.concat(parts);
}

function encodeEvent(event: CacheEvent, options: WireOptions): Uint8Array {
  const { era } = options;
  const { always, later } = fieldsOf(event, options);
  if (era.startsWith("A"))
    return encoder.encode([event.type, ...[...always, ...later].map(([, value]) => value ?? null)]);
  const present = later.filter(([, value]) => value !== undefined);
  const bytes = encoder.encode(Object.fromEntries([["type", event.type], ...always, ...present]));
  // msgspec picks the map's head by the fields that there could be, so M4 has the long one.
  return era === "M4" && event.type === "BlockStored"
    ? Buffer.concat([Uint8Array.of(0xde, 0, bytes[0]! & 0x0f), bytes.subarray(1)])
    : bytes;
}

/**
 * The fields of an event in the order of their declaration, which is their position in an array.
 *
 * | position | BlockStored | since | | position | BlockRemoved | since |
 * |---|---|---|---|---|---|---|
 * | 1 | block_hashes | A1 | | 1 | block_hashes | A1 |
 * | 2 | parent_block_hash | A1 | | 2 | medium | A2 |
 * | 3 | token_ids | A1 | | 3 | group_idx | A5 |
 * | 4 | block_size | A1 | | map | locality | M2 |
 * | 5 | lora_id | A1 | | map | ownership | M3 |
 * | 6 | medium | A2 | | | | |
 * | 7 | lora_name | A3 | | | | |
 * | 8 | extra_keys | A4 | | | | |
 * | 9 | group_idx | A5 | | | | |
 * | 10 | kv_cache_spec_kind | A6 | | | | |
 * | 11 | kv_cache_spec_sliding_window | A6 | | | | |
 * | map | locality | M2 | | | | |
 * | map | ownership, session_id | M3 | | | | |
 */
function fieldsOf(event: CacheEvent, { era, intHashes }: WireOptions): { always: Fields; later: Fields } {
  const has = (since: WireEra): boolean => SINCE[era] >= SINCE[since];
  const from = (since: WireEra, name: string, value: unknown): Fields => (has(since) ? [[name, value]] : []);
  if (event.type === "AllBlocksCleared") return { always: [], later: [] };
  const hashes = event.blockHashes.map((digest) => wireHash(digest, intHashes));
  const { medium, groupIdx, locality, ownership } = event;
  if (event.type === "BlockRemoved")
    return {
      always: [["block_hashes", hashes], ...from("A2", "medium", medium ?? null)],
      later: [
        ...from("A5", "group_idx", groupIdx),
        ...from("M2", "locality", locality),
        ...from("M3", "ownership", ownership),
      ],
    };
  const parent = event.parentBlockHash;
  return {
    always: [
      ["block_hashes", hashes],
      ["parent_block_hash", parent === null ? null : wireHash(parent, intHashes)],
      ["token_ids", event.tokenIds],
      ["block_size", event.blockSize],
      ["lora_id", event.loraId ?? null],
      ...from("A2", "medium", medium ?? null),
      ...from("A3", "lora_name", event.loraName ?? null),
    ],
    later: [
      ...from("A4", "extra_keys", event.extraKeys),
      ...from("A5", "group_idx", groupIdx),
      ...from("A6", "kv_cache_spec_kind", event.kvCacheSpecKind),
      ...from("A6", "kv_cache_spec_sliding_window", event.slidingWindow),
      ...from("M2", "locality", locality),
      ...from("M3", "ownership", ownership),
      ...from("M3", "session_id", event.sessionId),
    ],
  };
}

/** The low 64 bits of a digest (its last 8 bytes, big-endian) or the digest itself. */
function wireHash(digest: Uint8Array, asInt: boolean): bigint | number | Uint8Array {
  if (!asInt) return digest;
  const view = new DataView(digest.buffer, digest.byteOffset + digest.byteLength - 8, 8);
  const value = view.getBigUint64(0);
  return value <= 0xffffffffn ? Number(value) : value;
}

function arrayHead(length: number): Uint8Array {
  if (length < 16) return Uint8Array.of(0x90 | length);
  if (length < 0x10000) return Uint8Array.of(0xdc, length >> 8, length & 0xff);
  return Uint8Array.of(0xdd, length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff);
}
