/**
 * The events of a cluster of model engines under a workload, as frames: what a router would receive.
 *
 * Every engine is examples/engine's cache (vLLM's rules: blocks freed tail first, evicted oldest first) and speaks the
 * wire layout that is asked for. Deterministic: the same description gives the same bytes.
 */
import type { KvFrame } from "kvblock";
import { createBlockHasher, type HashAlgorithm } from "kvblock/hash";
import { BlockManager } from "../../examples/engine/block-manager.js";
import { encodeEventBatch, type WireEra } from "../../examples/engine/wire.js";
import { chats, freshPrompts } from "./chats.js";
import { readTrace, traced } from "./mooncake.js";
import { PodEngine } from "./pod-engine.js";
import type { Workload } from "./requests.js";

export const MODEL = "Qwen/Qwen3-0.6B";
export const HASH_SEED = "0";

export interface StreamDescription {
  /** `fresh`: every event stores 16 new blocks, nothing is evicted. Else a trace's path. */
  readonly workload: "chats" | "fresh" | { readonly trace: string };
  readonly seed: number;
  readonly pods: number;
  /** Physical blocks of each. */
  readonly blocksPerPod: number;
  /** Tokens. */
  readonly blockSize: number;
  readonly algorithm: Exclude<HashAlgorithm, "sglang">;
  readonly era: WireEra;
  /** Hashes on the wire as 64-bit integers, else whole digests. */
  readonly intHashes: boolean;
  /** The stream ends when so many blocks were stored, or with its trace. */
  readonly storedBlocks: number;
}

export const DEFAULT_STREAM: StreamDescription = {
  workload: "chats",
  seed: 42,
  pods: 8,
  blocksPerPod: 16_384,
  blockSize: 16,
  algorithm: "sha256_cbor",
  era: "M3",
  intHashes: true,
  storedBlocks: 2 * 8 * 16_384,
};

/** Requests that an engine runs at once, and prompt tokens of a step: vLLM's defaults are 256 and 2,048 to 8,192. */
const MAX_SEQUENCES = 64;
const MAX_BATCHED_TOKENS = 2048;
/** An engine that has fewer requests left is given more, as far as they come in the workload's order. */
const QUEUE = 32;
/** Milliseconds of a step, in the frames' times. */
const STEP_MS = 10;
/** When recorded time begins: 2025-01-01. */
const EPOCH_MS = Date.UTC(2025, 0, 1);

export const podName = (pod: number): string => `10.0.${pod >> 8}.${pod & 255}`;

export async function* streamFrames(description: StreamDescription): AsyncGenerator<KvFrame> {
  const { pods, blocksPerPod, blockSize, algorithm, era, intHashes, storedBlocks } = description;
  const hasher = await createBlockHasher({ algorithm, blockSize, seed: HASH_SEED });
  const engines = Array.from({ length: pods }, () => {
    const blocks = new BlockManager({ numBlocks: blocksPerPod, hasher });
    return new PodEngine({ blocks, maxSequences: MAX_SEQUENCES, maxBatchedTokens: MAX_BATCHED_TOKENS });
  });
  const seqs = engines.map(() => 0n);
  const work = workloadOf(description)[Symbol.iterator]();
  let isOver = false;
  let stored = 0;
  for (let step = 0; stored < storedBlocks && !(isOver && engines.every(({ load }) => load === 0)); step++) {
    while (!isOver && engines.some(({ load }) => load < QUEUE)) {
      const next = work.next();
      if (next.done === true) isOver = true;
      else engines[next.value.pod]!.submit(next.value);
    }
    const receivedAt = EPOCH_MS + step * STEP_MS;
    for (const [pod, engine] of engines.entries()) {
      const events = engine.step();
      if (events.length === 0) continue;
      for (const event of events) if (event.type === "BlockStored") stored += event.blockHashes.length;
      const payload = encodeEventBatch(
        { ts: receivedAt / 1000, events, dataParallelRank: 0 },
        { era, intHashes },
      );
      const topic = `kv@${podName(pod)}@${MODEL}`;
      yield { topic, seq: seqs[pod]!++, payload, receivedAt };
    }
  }
}

function workloadOf({ workload, seed, pods, blockSize }: StreamDescription): Workload {
  if (workload === "chats") return chats(seed, pods);
  if (workload === "fresh") return freshPrompts(seed, pods, 16 * blockSize);
  return traced(readTrace(workload.trace), seed, pods);
}
