/** The engine's wire encoder against payloads that msgspec wrote for each era (test/vectors/events.json). */
import { readFileSync } from "node:fs";
import { decode } from "@msgpack/msgpack";
import { describe, expect, it } from "vitest";
import type { CacheEvent } from "../../examples/engine/cache-events.js";
import { encodeEventBatch, WIRE_ERAS, type WireEra } from "../../examples/engine/wire.js";

type Json = null | string | number | Json[] | { [key: string]: Json };
type Fields = { [key: string]: Json };
interface Row {
  name: string;
  era: string;
  payload_hex: string;
  expect: { ts: number; rank: number | null; events: Fields[] };
}

const { rows } = JSON.parse(readFileSync(new URL("../vectors/events.json", import.meta.url), "utf8")) as {
  rows: Row[];
};

/** Fields of the vectors' later eras that no vLLM sends and the engine does not write. */
const FUTURE = ["origin", "future_field", "remaining_copy_counts"];

/** A hash as a digest whose low 64 bits it is. */
function digest(value: Json): Uint8Array {
  if (typeof value === "number" || (value !== null && typeof value === "object" && "int" in value)) {
    const bytes = new Uint8Array(32).fill(0xee);
    const int = typeof value === "number" ? BigInt(value) : BigInt(value.int as string);
    new DataView(bytes.buffer).setBigUint64(24, int);
    return bytes;
  }
  return Uint8Array.from(Buffer.from((value as Fields).bytes as string, "hex"));
}

function cacheEvent(fields: Fields): CacheEvent {
  const optional = (name: string) => (fields[name] ?? undefined) as never;
  const place = {
    medium: optional("medium"),
    groupIdx: optional("group_idx"),
    locality: optional("locality"),
    ownership: optional("ownership"),
  };
  if (fields.type === "AllBlocksCleared") return { type: "AllBlocksCleared" };
  const blockHashes = (fields.block_hashes as Json[]).map(digest);
  if (fields.type === "BlockRemoved") return { type: "BlockRemoved", blockHashes, ...place };
  return {
    type: "BlockStored",
    blockHashes,
    parentBlockHash: fields.parent_block_hash == null ? null : digest(fields.parent_block_hash),
    tokenIds: fields.token_ids as number[],
    blockSize: fields.block_size as number,
    loraId: optional("lora_id"),
    loraName: optional("lora_name"),
    extraKeys: optional("extra_keys"),
    kvCacheSpecKind: optional("kv_cache_spec_kind"),
    slidingWindow: optional("kv_cache_spec_sliding_window"),
    sessionId: optional("session_id"),
    ...place,
  };
}

const usesBytes = (row: Row): boolean =>
  JSON.stringify(row.expect.events.map((e) => e.block_hashes ?? null)).includes('"bytes"');
const usesInts = (row: Row): boolean =>
  JSON.stringify(row.expect.events.map((e) => e.block_hashes ?? null)).includes('"int"');

describe("the wire encoder writes what msgspec writes", () => {
  for (const era of WIRE_ERAS) {
    const own = rows.filter(
      (row) =>
        row.era.split(" ")[0] === era &&
        // One batch of this engine has hashes of one form only.
        !(usesBytes(row) && usesInts(row)) &&
        !row.expect.events.some((event) => FUTURE.some((name) => event[name] != null)),
    );
    it(`every byte of the ${own.length} ${era} payloads`, () => {
      expect(own.length).toBeGreaterThanOrEqual(6);
      for (const row of own) {
        const payload = encodeEventBatch(
          {
            ts: row.expect.ts,
            events: row.expect.events.map(cacheEvent),
            dataParallelRank: row.expect.rank,
          },
          { era: era as WireEra, intHashes: !usesBytes(row) },
        );
        expect(Buffer.from(payload).toString("hex"), row.name).toBe(row.payload_hex);
      }
    });
  }

  it("mixed hash forms, split into the form they have, decode to the vector's fields", () => {
    for (const row of rows.filter((r) => r.name.includes("removed int / removed bytes / cleared"))) {
      const era = row.era.split(" ")[0] as WireEra;
      const [, events] = decode(Buffer.from(row.payload_hex, "hex"), { useBigInt64: true }) as [0, unknown[]];
      for (const [index, fields] of row.expect.events.entries()) {
        const payload = encodeEventBatch(
          { ts: 1, events: [cacheEvent(fields)], dataParallelRank: 0 },
          { era, intHashes: index === 0 },
        );
        expect((decode(payload, { useBigInt64: true }) as [0, unknown[]])[1]).toEqual([events[index]]);
      }
    }
  });
});

describe("the batch", () => {
  it("keeps a whole-second time a float", () => {
    const payload = encodeEventBatch(
      { ts: 2, events: [], dataParallelRank: 0 },
      { era: "M1", intHashes: true },
    );
    expect([...payload]).toEqual([0x93, 0xcb, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x90, 0]);
  });

  it.each([15, 16, 70_000])("counts %i events in the head that msgpack has for it", (count) => {
    const events: CacheEvent[] = Array.from({ length: count }, () => ({ type: "AllBlocksCleared" }));
    const payload = encodeEventBatch(
      { ts: 1.5, events, dataParallelRank: 7 },
      { era: "A6", intHashes: true },
    );
    const [ts, decoded, rank] = decode(payload) as [number, unknown[], number];
    expect({ ts, count: decoded.length, last: decoded.at(-1), rank }).toEqual({
      ts: 1.5,
      count,
      last: ["AllBlocksCleared"],
      rank: 7,
    });
  });

  it("writes a hash below 2^32 in its shortest form, as msgspec does", () => {
    const event: CacheEvent = {
      type: "BlockRemoved",
      blockHashes: [Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0, 5)],
    };
    const payload = encodeEventBatch(
      { ts: 1, events: [event], dataParallelRank: 0 },
      { era: "A1", intHashes: true },
    );
    expect(
      Buffer.from(payload)
        .toString("hex")
        .endsWith("91" + "05"),
    ).toBe(true);
  });
});
