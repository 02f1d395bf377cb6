/**
 * An engine's events without end, cheap to make: vLLM 0.24's maps, encoded once and patched for each batch, so that one
 * process makes more of them than another takes.
 *
 * Every other batch stores a new chain of blocks under a shared system prompt, the ones between remove the oldest: so
 * many stay resident, always new ones. Every thousandth batch is of a probe, a real prompt with real hashes, which can be
 * scored; it is removed five hundred batches later. The first probe is the system prompt and stays.
 */
import { decode, Encoder } from "@msgpack/msgpack";
import type { KvFrame } from "kvblock";
import { removedFrame, storedFrame } from "kvblock/testing";
import { BLOCK_SIZE, MODEL, promptOf } from "./prompts.js";

/** Blocks of a chain, and chains that stay resident. */
export const CHAIN_BLOCKS = 16;
export const RESIDENT_CHAINS = 10_000;
/** Probes are prompts of a life that no process has. */
export const PROBE_LIFE = 1_000_000;
export const PROBE_EVERY = 1000;
export const PROBE_REMOVED_AFTER = 500;

const encoder = new Encoder({ useBigInt64: true });
const MARK = 0xfedc_ba98_0000_0000n;
const TOKEN_MARK = 0x7fff_ff01;

/** The batch with a number, for a pod. */
export function streamFrames(pod: string): (seq: number) => Pick<KvFrame, "topic" | "payload"> {
  const topic = `kv@${pod}@${MODEL}`;
  const marks = Array.from({ length: CHAIN_BLOCKS }, (_, i) => MARK + BigInt(i));
  const tokens = Array.from({ length: CHAIN_BLOCKS * BLOCK_SIZE }, (_, i) => 50_000 + i);
  const store = template({
    type: "BlockStored",
    block_hashes: marks,
    parent_block_hash: systemHash(),
    token_ids: [TOKEN_MARK, ...tokens.slice(1)],
    block_size: BLOCK_SIZE,
    lora_id: null,
    medium: "GPU",
    lora_name: null,
  });
  const remove = template({ type: "BlockRemoved", block_hashes: marks, medium: "GPU" });
  return (seq) => {
    const about = { pod, model: MODEL, blockSize: BLOCK_SIZE, at: Date.now() };
    const probe = Math.floor(seq / PROBE_EVERY);
    if (seq % PROBE_EVERY === 0) return storedFrame({ ...about, tokens: promptOf(PROBE_LIFE, probe) });
    if (seq % PROBE_EVERY === PROBE_REMOVED_AFTER && probe > 0)
      return removedFrame({ ...about, tokens: promptOf(PROBE_LIFE, probe) });
    const chain = seq >> 1;
    const payload = seq % 2 === 0 ? store(chain) : remove(chain - RESIDENT_CHAINS);
    return { topic, payload };
  };
}

/** Of the system prompt's last block, as it was announced. */
function systemHash(): bigint {
  const { payload } = storedFrame({
    pod: "any",
    model: MODEL,
    tokens: promptOf(PROBE_LIFE, 0),
    blockSize: BLOCK_SIZE,
  });
  const [, [event]] = decode(payload, { useBigInt64: true }) as [number, [{ block_hashes: bigint[] }]];
  return event.block_hashes.at(-1)!;
}

/** Batches of one event, alike but for the time, the hashes and the first token. */
function template(event: object): (chain: number) => Uint8Array {
  // A fraction, so that the time is a float64 on the wire.
  const bytes = Buffer.from(encoder.encode([0.5, [event], 0]));
  const number = Buffer.alloc(8);
  const hashesAt = Array.from({ length: CHAIN_BLOCKS }, (_, i) => {
    number.writeBigUInt64BE(MARK + BigInt(i));
    return bytes.indexOf(number);
  });
  number.writeUInt32BE(TOKEN_MARK);
  const tokenAt = bytes.indexOf(number.subarray(0, 4));
  return (chain) => {
    const copy = Buffer.from(bytes);
    copy.writeDoubleBE(Date.now() / 1000, 2);
    for (const [i, at] of hashesAt.entries()) {
      copy.writeUInt32BE(scatter(chain * CHAIN_BLOCKS + i, 0x9e3779b9), at);
      copy.writeUInt32BE(scatter(chain * CHAIN_BLOCKS + i, 0x85ebca6b), at + 4);
    }
    // Ids stay those of a vocabulary's size, and differ for the chains that are resident together.
    if (tokenAt >= 0) copy.writeUInt32BE((chain >>> 0) % 0x7fff_ffff, tokenAt);
    return copy;
  };
}

/** Numbers that look like a hash's: murmur3's last step. */
function scatter(value: number, salt: number): number {
  let h = (value ^ salt) >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
