/**
 * Frames built by hand with @msgpack/msgpack, over block hashes that Python made (test/vectors/block_hashes.json).
 * @module
 */
import { encode } from "@msgpack/msgpack";
import { type Diagnostic, Indexer, type IndexerOptions, type KvFrame } from "kvblock";
import { readVectors } from "../hash/vectors.js";

interface VectorCase {
  readonly id: string;
  readonly algo: "sha256" | "sha256_cbor" | "xxhash" | "xxhash_cbor";
  readonly seed: string | null;
  readonly block_size: number;
  readonly tokens: string;
  readonly extra: string;
  readonly none_hash_hex: string;
  readonly blocks: readonly {
    readonly u64: string;
    readonly digest_hex: string;
    readonly extra_keys: unknown;
  }[];
}

const vectors = readVectors<{ token_streams: Record<string, number[]>; cases: readonly VectorCase[] }>(
  "block_hashes",
);

/** A chain that Python hashed. */
export interface Chain {
  readonly algorithm: VectorCase["algo"];
  readonly seed: string | null;
  readonly noneHash: Uint8Array;
  readonly blockSize: number;
  readonly tokens: readonly number[];
  /** Low 64 bits of each block's digest. */
  readonly hashes: readonly bigint[];
  readonly digests: readonly Uint8Array[];
}

/** By its name in the vectors: `"sha256_cbor/bs16/seed=0/none"`. */
export function chain(id = "sha256_cbor/bs16/seed=0/none"): Chain {
  const found = vectors.cases.find((one) => one.id === id);
  if (found === undefined) throw new Error(`no vector ${id}`);
  return {
    algorithm: found.algo,
    seed: found.seed,
    noneHash: Uint8Array.from(Buffer.from(found.none_hash_hex, "hex")),
    blockSize: found.block_size,
    tokens: vectors.token_streams[found.tokens]!,
    hashes: found.blocks.map(({ u64 }) => BigInt(u64)),
    digests: found.blocks.map(({ digest_hex }) => Uint8Array.from(Buffer.from(digest_hex, "hex"))),
  };
}

/** The fields of a v0.24 stored event for blocks `from … to` of a chain; `overrides` replaces or adds fields. */
export function stored(
  { hashes, tokens, blockSize }: Pick<Chain, "hashes" | "tokens" | "blockSize">,
  from = 0,
  to: number = hashes.length,
  overrides: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    type: "BlockStored",
    block_hashes: hashes.slice(from, to),
    parent_block_hash: from === 0 ? null : hashes[from - 1],
    token_ids: tokens.slice(from * blockSize, to * blockSize),
    block_size: blockSize,
    lora_id: null,
    medium: "GPU",
    lora_name: null,
    ...overrides,
  };
}

export function removed(
  hashes: readonly bigint[],
  overrides: Record<string, unknown> = {},
): Record<string, unknown> {
  return { type: "BlockRemoved", block_hashes: hashes, medium: "GPU", ...overrides };
}

export const cleared: Record<string, unknown> = { type: "AllBlocksCleared" };

export interface FrameOf {
  pod?: string;
  model?: string;
  seq?: number | bigint;
  /** Batch time in seconds; default a second per sequence number, so that it only goes on. */
  ts?: number;
  rank?: number | null;
  receivedAt?: number;
}

export function frame(events: readonly unknown[], of: FrameOf = {}): KvFrame {
  const { pod = "pod-a", model = "base", seq = 0, rank = 0 } = of;
  const ts = of.ts ?? 1000 + Number(seq);
  return {
    topic: `kv@${pod}@${model}`,
    seq: BigInt(seq),
    payload: encode([ts, events, rank], { useBigInt64: true, forceIntegerToFloat: false }),
    receivedAt: of.receivedAt ?? ts * 1000,
  };
}

/** The exact hashing of a chain. */
export function exact({ algorithm, noneHash }: Chain): IndexerOptions["hash"] {
  return { mode: "exact", algorithm, noneHash };
}

/** An indexer that keeps its diagnostics. */
export async function indexerOf(
  options: IndexerOptions = {},
): Promise<{ indexer: Indexer; told: Diagnostic[]; codes: () => string[] }> {
  const told: Diagnostic[] = [];
  const indexer = await Indexer.create({ onDiagnostic: (diagnostic) => told.push(diagnostic), ...options });
  return { indexer, told, codes: () => told.map(({ code }) => code) };
}

/** Blocks matched by the pod for these tokens. */
export function blocksOf(
  indexer: Indexer,
  tokens: readonly number[],
  pod = "pod-a",
  request: Partial<Parameters<Indexer["scoreTokens"]>[1]> & { rank?: number } = {},
): number | undefined {
  const { rank, ...rest } = request;
  return indexer.scoreTokens(tokens, { model: "base", ...rest }).get(pod, rank)?.blocks;
}
