/**
 * What does decoding an event batch cost, by wire layout and blocks in it, beside @msgpack/msgpack on the same bytes? A
 * batch is one BlockStored event of so many blocks of 16 tokens, and as many removals of one block each as an engine at
 * the end of its memory makes beside it (`mixed`), or none (`stored`).
 *
 * `decodeEventBatch` gives typed arrays and checks every field; @msgpack/msgpack gives untyped values.
 */
import { decode } from "@msgpack/msgpack";
import { decodeEventBatch } from "kvblock/events";
import type { CacheEvent } from "../examples/engine/cache-events.js";
import { encodeEventBatch, WIRE_ERAS, type WireEra } from "../examples/engine/wire.js";
import { median, sampleTurns } from "./run/measure.js";
import type { Run } from "./run/question.js";
import { seeded, tokensOf } from "./run/random.js";

const BLOCK_SIZE = 16;
/** Calls to a sample take this long together, so that the clock's own cost is nothing. */
const SAMPLE_BYTES = 32_768;

export function run({ full, report, progress }: Run): void {
  const counts = full ? [1, 4, 16, 64, 256, 1024] : [1, 16, 256];
  for (const era of WIRE_ERAS)
    for (const events of ["stored", "mixed"] as const)
      for (const blocks of counts) {
        if (!full && events === "mixed" && blocks !== 16) continue;
        progress(`${era}, ${blocks} blocks, ${events}`);
        measure(era, blocks, events, true);
        // Digests instead of integers: vLLM's other choice.
        if (blocks === 16 && events === "stored" && (full || era === "M3"))
          measure(era, blocks, events, false);
      }

  function measure(era: WireEra, blocks: number, events: "stored" | "mixed", intHashes: boolean): void {
    const payloads = Array.from({ length: 8 }, (_, i) =>
      batch(era, blocks, events === "mixed", intHashes, i),
    );
    const calls = Math.max(1, Math.round(SAMPLE_BYTES / payloads[0]!.length));
    const many = (decodeOne: (payload: Uint8Array) => unknown) => (call: number) => {
      for (let i = 0; i < calls; i++) decodeOne(payloads[(call + i) % payloads.length]!);
    };
    const [ours, theirs] = sampleTurns(
      [many(decodeEventBatch), many((payload) => decode(payload, { useBigInt64: true }))],
      { ms: full ? 600 : 250, min: 50 },
    );
    const by = { era, events, blocks, hashes: intHashes ? "integers" : "digests" };
    const perBlock = (samples: number[]): number[] => samples.map((ms) => (ms * 1e6) / calls / blocks);
    report("decode, kvblock", by, ["ns/block", "lower"], perBlock(ours!));
    report("decode, @msgpack/msgpack", by, ["ns/block", "none"], perBlock(theirs!));
    report("decode, theirs / ours", by, ["times", "higher"], [median(theirs!) / median(ours!)]);
  }
}

function batch(era: WireEra, blocks: number, mixed: boolean, intHashes: boolean, seed: number): Uint8Array {
  const random = seeded(seed);
  const digest = (): Uint8Array => Uint8Array.from({ length: 32 }, () => Math.floor(random() * 256));
  const digests = (): Uint8Array[] => Array.from({ length: blocks }, digest);
  const removed = (blockHashes: Uint8Array[]): CacheEvent[] =>
    blockHashes.map((hash) => ({ type: "BlockRemoved", blockHashes: [hash], medium: "GPU", groupIdx: 0 }));
  const events: CacheEvent[] = [
    ...(mixed ? removed(digests()) : []),
    {
      type: "BlockStored",
      blockHashes: digests(),
      parentBlockHash: digest(),
      tokenIds: Array.from(tokensOf(random, blocks * BLOCK_SIZE)),
      blockSize: BLOCK_SIZE,
      extraKeys: new Array<null>(blocks).fill(null),
      medium: "GPU",
      groupIdx: 0,
      kvCacheSpecKind: "full_attention",
    },
  ];
  return encodeEventBatch({ ts: 1.7e9, events, dataParallelRank: 0 }, { era, intHashes });
}
