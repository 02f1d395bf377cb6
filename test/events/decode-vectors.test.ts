/** Every row of test/vectors/events.json: payloads written by msgspec, with the fields that each must decode to. */
import { readFileSync } from "node:fs";
import { decodeEventBatch, type KvEvent } from "kvblock/events";
import { describe, expect, test } from "vitest";

type Hash = number | { int: string } | { bytes: string };
interface Row {
  name: string;
  era: string;
  payload_hex: string;
  raw_decoded: unknown;
  expect: { ts: number; rank: number | null; events: Record<string, unknown>[] };
}

const { rows } = JSON.parse(readFileSync(new URL("../vectors/events.json", import.meta.url), "utf8")) as {
  rows: Row[];
};

const TYPED_KEYS = "proposed typed extra keys (vLLM PR 55488, closed)";

/** The low 64 bits of a vector's hash, as the index keys them. */
function keyOf(hash: Hash): [number, number] {
  const low =
    typeof hash === "number"
      ? BigInt(hash)
      : "int" in hash
        ? BigInt(hash.int)
        : BigInt(`0x${hash.bytes.slice(-16)}`);
  const u64 = BigInt.asUintN(64, low);
  return [Number(u64 >> 32n), Number(u64 & 0xffffffffn)];
}

/** What a vector's fields, of wire names, must come out as. */
function expected(row: Row, fields: Record<string, unknown>, position: number): Partial<KvEvent> {
  if (fields.type === "AllBlocksCleared") return { type: "AllBlocksCleared" };
  const blockKeys = Uint32Array.from((fields.block_hashes as Hash[]).flatMap(keyOf));
  const medium = (fields.medium ?? null) as string | null;
  const groupIdx = (fields.group_idx ?? null) as number | null;
  if (fields.type === "BlockRemoved") {
    const counts = (fields.remaining_copy_counts ?? null) as number[] | null;
    const remainingCopies = counts === null ? null : Uint32Array.from(counts);
    return { type: "BlockRemoved", blockKeys, medium, groupIdx, remainingCopies };
  }
  const parent = fields.parent_block_hash as Hash | null;
  const metadata = fields.metadata as { cache_salt: string } | undefined;
  const raw = (row.raw_decoded as [number, unknown[][]])[1]?.[position];
  return {
    type: "BlockStored",
    blockKeys,
    parentKey: parent === null ? null : keyOf(parent),
    tokenIds: Uint32Array.from(fields.token_ids as number[]),
    blockSize: fields.block_size as number,
    loraId: (fields.lora_id ?? null) as number | null,
    loraName: (fields.lora_name ?? null) as string | null,
    medium,
    extraKeys:
      row.name === TYPED_KEYS
        ? [["l", [`${"c0ffee".repeat(10)}beef`, 3], "s", new Uint8Array(32).fill(1)]]
        : ((fields.extra_keys ?? null) as null),
    hasExtraKeysField: !Array.isArray(raw) || raw.length >= 9,
    cacheSalt: (metadata?.cache_salt ?? fields.cache_salt ?? null) as string | null,
    groupIdx,
    kvCacheSpecKind: (fields.kv_cache_spec_kind ?? null) as string | null,
    slidingWindow: (fields.kv_cache_spec_sliding_window ?? null) as number | null,
  };
}

describe("decodeEventBatch on the event vectors", () => {
  test("there are 99 rows, of twelve eras", () => {
    expect(rows.length).toBe(99);
    expect(new Set(rows.map((row) => row.era)).size).toBe(12);
  });

  test.each(rows)("$name", (row) => {
    const batch = decodeEventBatch(Buffer.from(row.payload_hex, "hex"));
    const known = row.expect.events.flatMap((fields, i) =>
      fields.unknown === true ? [] : [expected(row, fields, i)],
    );
    expect(batch).toEqual({
      ts: row.expect.ts,
      dataParallelRank: row.expect.rank,
      events: known,
      skipped: row.expect.events.flatMap((fields, index) =>
        fields.unknown === true ? [{ index, type: null, reason: "unknown-type", detail: fields.type }] : [],
      ),
      failed: null,
    });
  });
});
