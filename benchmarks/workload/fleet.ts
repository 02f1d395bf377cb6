/** Frames straight from the encoder, for states that a workload would take long to reach. */
import type { KvFrame } from "kvblock";
import { createBlockHasher } from "kvblock/hash";
import { encodeEventBatch } from "../../examples/engine/wire.js";
import { seeded, tokensOf } from "../run/random.js";
import { HASH_SEED, MODEL, podName } from "./stream.js";

export const BLOCK_SIZE = 16;
const WIRE = { era: "M3", intHashes: true } as const;

/** Numbers each pod's frames. A pod that is joined late begins where it is set. */
export class Fleet {
  readonly #next: bigint[];
  readonly #hasher: Awaited<ReturnType<typeof createBlockHasher>>;

  private constructor(pods: number, first: bigint, hasher: Awaited<ReturnType<typeof createBlockHasher>>) {
    this.#next = new Array<bigint>(pods).fill(first);
    this.#hasher = hasher;
  }

  /** @param first - number of each pod's first frame; above 0 the router has missed what came before */
  static async create(pods: number, first = 0n): Promise<Fleet> {
    const hasher = await createBlockHasher({
      algorithm: "sha256_cbor",
      blockSize: BLOCK_SIZE,
      seed: HASH_SEED,
    });
    return new Fleet(pods, first, hasher);
  }

  get pods(): number {
    return this.#next.length;
  }

  frame(pod: number, payload: Uint8Array): KvFrame {
    const receivedAt = 1.7e12 + Number(this.#next[pod]!);
    return { topic: `kv@${podName(pod)}@${MODEL}`, seq: this.#next[pod]!++, payload, receivedAt };
  }

  /** A prompt's first blocks under the hashes that engines give them. */
  held(tokens: Uint32Array, blocks = Math.floor(tokens.length / BLOCK_SIZE)): Uint8Array {
    const own = tokens.subarray(0, blocks * BLOCK_SIZE);
    const digests = this.#hasher.hashTokens(own);
    const size = this.#hasher.digestBytes;
    return storedPayload(
      Array.from({ length: blocks }, (_, i) => digests.subarray(i * size, (i + 1) * size)),
      own,
    );
  }

  /** New prompts under hashes that engines give them. @yields payloads of `blocksPerEvent` blocks */
  *strangers(seed: number, blocksPerEvent: number, blocks: number): Generator<Uint8Array> {
    const random = seeded(seed);
    for (let made = 0; made < blocks; made += blocksPerEvent)
      yield this.held(tokensOf(random, Math.min(blocksPerEvent, blocks - made) * BLOCK_SIZE));
  }
}

/** One root event. */
function storedPayload(digests: readonly Uint8Array[], tokens: Uint32Array): Uint8Array {
  const event = {
    type: "BlockStored",
    blockHashes: digests,
    parentBlockHash: null,
    tokenIds: Array.from(tokens),
    blockSize: BLOCK_SIZE,
    extraKeys: new Array<null>(digests.length).fill(null),
    medium: "GPU",
    groupIdx: 0,
    kvCacheSpecKind: "full_attention",
  } as const;
  return encodeEventBatch({ ts: 1.7e9, events: [event], dataParallelRank: 0 }, WIRE);
}
