/**
 * What a Node user would write today: events decoded by @msgpack/msgpack, blocks in a Map (or an lru-cache) of Sets of
 * pods, and vLLM's `sha256_cbor` chain by node:crypto for the prompts.
 */
import { createHash } from "node:crypto";
import { decode } from "@msgpack/msgpack";
import { LRUCache } from "lru-cache";
import { HASH_SEED } from "../workload.js";
import { type FrameRecord, podName, type Workload } from "../workload-file.js";
import type { NodePeer } from "./node-peer.js";

type Hash = bigint | number;
interface Table {
  get(hash: bigint): Set<string> | undefined;
  set(hash: bigint, pods: Set<string>): unknown;
  delete(hash: bigint): boolean;
}
interface Event {
  readonly type: string;
  readonly block_hashes: readonly Hash[];
}

export function plain(table: "map" | "lru-cache", workload: Workload): NodePeer<FrameRecord, Counts> {
  const names = Array.from({ length: workload.pods }, (_, pod) => podName(pod));
  return {
    input: (frame) => frame,
    decode: ({ payload }) => decodeEvents(payload),
    async create() {
      const blocks: Table = table === "map" ? new Map() : new LRUCache({ max: 2 * workload.residentPairs });
      return {
        apply({ pod, payload }) {
          const name = names[pod]!;
          for (const { type, block_hashes } of decodeEvents(payload))
            for (const hash of block_hashes)
              if (type === "BlockStored") add(blocks, BigInt(hash), name);
              else if (type === "BlockRemoved") remove(blocks, BigInt(hash), name);
        },
        score: (tokens) => score(blocks, tokens, workload.blockSize),
        matches(counts, matches) {
          for (const [pod, name] of names.entries()) matches[pod] = counts.get(name) ?? 0;
        },
        async close() {},
      };
    },
  };
}

type Counts = Map<string, number>;

function decodeEvents(payload: Uint8Array): readonly Event[] {
  return (decode(payload, { useBigInt64: true }) as [number, Event[]])[1];
}

function add(blocks: Table, hash: bigint, pod: string): void {
  const pods = blocks.get(hash);
  if (pods === undefined) blocks.set(hash, new Set([pod]));
  else pods.add(pod);
}

function remove(blocks: Table, hash: bigint, pod: string): void {
  const pods = blocks.get(hash);
  if (pods?.delete(pod) && pods.size === 0) blocks.delete(hash);
}

/** Hashes no further than some pod goes on. */
function score(blocks: Table, tokens: Uint32Array, blockSize: number): Counts {
  const counts: Counts = new Map();
  let running: string[] | undefined;
  let parent = createHash("sha256").update(cborText(HASH_SEED)).digest();
  const usable = Math.floor((tokens.length - 1) / blockSize);
  for (let block = 0; block < usable; block++) {
    const input = cborBlock(parent, tokens, block * blockSize, blockSize);
    parent = createHash("sha256").update(input).digest();
    const pods = blocks.get(parent.readBigUInt64BE(24));
    if (pods === undefined) break;
    running = running === undefined ? [...pods] : running.filter((pod) => pods.has(pod));
    if (running.length === 0) break;
    for (const pod of running) counts.set(pod, block + 1);
  }
  return counts;
}

const cborText = (text: string): Buffer =>
  Buffer.concat([Buffer.of(0x60 + text.length), Buffer.from(text, "latin1")]);

/** `[parent, tokens, null]` in canonical CBOR. */
function cborBlock(parent: Buffer, tokens: Uint32Array, from: number, count: number): Buffer {
  const out = Buffer.allocUnsafe(40 + 5 * count);
  out.set([0x83, 0x58, 0x20]);
  out.set(parent, 3);
  let at = head(out, 35, 0x80, count);
  for (let i = from; i < from + count; i++) at = head(out, at, 0, tokens[i]!);
  out[at] = 0xf6;
  return out.subarray(0, at + 1);
}

function head(out: Buffer, at: number, major: number, value: number): number {
  if (value < 24) return out.writeUInt8(major | value, at);
  if (value < 0x100) return out.writeUInt8(value, out.writeUInt8(major | 24, at));
  if (value < 0x10000) return out.writeUInt16BE(value, out.writeUInt8(major | 25, at));
  return out.writeUInt32BE(value, out.writeUInt8(major | 26, at));
}
