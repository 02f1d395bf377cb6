/** Law 7, broadly: no bytes make the decoder or an indexer throw, hang, or grow; what stands beside bad events is applied. */
import { encode } from "@msgpack/msgpack";
import { decodeEventBatch } from "kvblock/events";
import { describe, expect, it } from "vitest";
import { runHostile } from "./hostile.js";

describe("hostile bytes", () => {
  it("ten thousand mutated payloads neither throw nor hang nor grow, and honest engines are understood beside them", async () => {
    const counts = await runHostile(10_000, 1);
    // The mutations are neither all harmless nor all beyond reading.
    expect(counts.events).toBeGreaterThan(3000);
    expect(counts.skipped).toBeGreaterThan(1000);
    expect(counts.failed).toBeGreaterThan(2000);
    expect(counts).toMatchObject({ good: 60, limited: 0 });
  });

  const neighbour = { type: "BlockRemoved", block_hashes: [9], medium: "GPU" };
  const stored = {
    type: "BlockStored",
    block_hashes: [1n],
    parent_block_hash: 2,
    token_ids: [1, 2, 3, 4],
    block_size: 4,
    lora_id: 1,
    medium: "GPU",
    lora_name: "a",
    extra_keys: [["a"]],
    group_idx: 0,
    kv_cache_spec_kind: "full_attention",
    kv_cache_spec_sliding_window: 1,
  };
  const values: Record<string, unknown> = {
    nil: null,
    true: true,
    "a fraction": 0.5,
    "an infinity": Number.POSITIVE_INFINITY,
    "a negative": -1,
    "2^64-1": 2n ** 64n - 1n,
    text: "x",
    bytes: Uint8Array.of(1, 2, 3),
    "an empty list": [],
    "a list of lists": [[[[]]]],
    "a map": { a: { b: 1 } },
    "a time": new Date(0),
  };

  it.each(Object.keys(values))("%s in any field costs at most its event", (name) => {
    for (const event of [stored, neighbour])
      for (const [at, field] of Object.keys(event).entries())
        for (const isArray of [false, true]) {
          const fields = { ...event, [field]: values[name] };
          const bad = isArray ? Object.values(fields) : fields;
          const payload = encode([1.5, [neighbour, bad, neighbour], 0], { useBigInt64: true });
          const { events, skipped, failed } = decodeEventBatch(payload);
          const where = `${event.type} field ${at} ${field}`;
          expect(failed, where).toBeNull();
          expect(events.length + skipped.length, where).toBe(3);
          expect([events.at(0)?.type, events.at(-1)?.type], where).toEqual(["BlockRemoved", "BlockRemoved"]);
          expect(events.length, where).toBeGreaterThanOrEqual(2);
        }
  });
});
