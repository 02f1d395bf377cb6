/**
 * `kvblock/testing`: real event frames and scores for a host's own tests, without an engine.
 * @module
 */
import { encode } from "@msgpack/msgpack";
import { checkInteger, checkName, checkOptions, rangeMistake, typeMistake } from "./errors.js";
import { formatTopic } from "./events/index.js";
import { type BlockChain, createBlockHasherSync, VLLM_DEFAULT_SEED } from "./hash/index.js";
import { podScores } from "./score/index.js";
import type { ExtraKey, HashAlgorithm, KvFrame, PodScore, PodScores, TokenIds } from "./types.js";

/** What every frame needs. */
export interface FrameOptions {
  pod: string;
  model: string;
  /** Sequence number; an engine's first frame is 0 and each further one counts on. Default 0. */
  seq?: number | bigint | undefined;
  dataParallelRank?: number | undefined;
  /** Milliseconds since the epoch: the batch's own time and `receivedAt`. Default 0. */
  at?: number | undefined;
}

/** How the blocks of a prompt are named: as an engine with this block size, algorithm and seed names them. */
export interface PromptOptions extends FrameOptions {
  /** The prompt from its beginning; only its full blocks are announced. */
  tokens: TokenIds;
  blockSize: number;
  /** An algorithm that rests on SHA-256, or any hasher from `kvblock/hash`. Default `sha256_cbor`. */
  hash?: HashAlgorithm | BlockChain | undefined;
  /** `PYTHONHASHSEED`. Default vLLM's own. */
  seed?: string | undefined;
  /** By block, its extra keys or null. */
  extraKeys?: readonly (readonly ExtraKey[] | null)[] | undefined;
  /** First block that the event speaks of; those before it only give the parent. Default 0. */
  fromBlock?: number | undefined;
  /** Device tier as on the wire. Default `"GPU"`. */
  medium?: string | undefined;
}

const FRAME_OPTIONS = ["pod", "model", "seq", "dataParallelRank", "at"];
const PROMPT_OPTIONS = [
  ...FRAME_OPTIONS,
  "tokens",
  "blockSize",
  "hash",
  "seed",
  "extraKeys",
  "fromBlock",
  "medium",
];

/**
 * The frame by which an engine announces that a prompt's full blocks are cached (vLLM >= 0.24's map events).
 * @throws TypeError or RangeError for a mistake in the options, a `fromBlock` beyond the prompt's blocks among them
 */
export function storedFrame(options: PromptOptions): KvFrame {
  checkOptions("storedFrame", options, PROMPT_OPTIONS);
  const { tokens, blockSize, fromBlock = 0, extraKeys, medium = "GPU" } = options;
  const hashes = hashesOf(options);
  checkBlocks(options, hashes.length);
  return frameOf(options, {
    type: "BlockStored",
    block_hashes: hashes.slice(fromBlock),
    parent_block_hash: fromBlock === 0 ? null : hashes[fromBlock - 1],
    token_ids: Array.from(tokens.slice(fromBlock * blockSize, hashes.length * blockSize)),
    block_size: blockSize,
    lora_id: null,
    medium,
    lora_name: null,
    ...(extraKeys === undefined ? {} : { extra_keys: extraKeys.slice(fromBlock, hashes.length) }),
  });
}

/**
 * The frame by which an engine announces that it evicted a prompt's blocks, from `fromBlock` on.
 * @throws as {@link storedFrame}
 */
export function removedFrame(options: PromptOptions): KvFrame {
  checkOptions("removedFrame", options, PROMPT_OPTIONS);
  const { fromBlock = 0, medium = "GPU" } = options;
  const hashes = hashesOf(options);
  checkBlocks(options, hashes.length);
  return frameOf(options, { type: "BlockRemoved", block_hashes: hashes.slice(fromBlock), medium });
}

/** The frame by which an engine announces that its whole cache was cleared. */
export function clearedFrame(options: FrameOptions): KvFrame {
  checkOptions("clearedFrame", options, FRAME_OPTIONS);
  return frameOf(options, { type: "AllBlocksCleared" });
}

/**
 * Scores as `scoreTokens` would give them, to test what a host makes of them.
 * @param scores - at least pod and blocks of each; the rest is what a live pod with block size 16 would say
 */
export function podScoresOf(
  scores: readonly (Partial<PodScore> & Pick<PodScore, "pod" | "blocks">)[],
  about: { model?: string | undefined; promptTokens?: number | undefined } = {},
): PodScores {
  const all = scores.map((score): PodScore => {
    const blockSize = score.blockSize ?? 16;
    return Object.freeze({
      dataParallelRank: 0,
      score: score.blocks,
      tokens: score.blocks * blockSize,
      byTier: score.blocks > 0 ? { gpu: score.blocks } : {},
      state: "live",
      complete: true,
      lastEventAgeMs: 0,
      implied: 0,
      suspect: 0,
      upperBound: false,
      ...score,
      blockSize,
    });
  });
  const longest = all.reduce((tokens, score) => Math.max(tokens, score.tokens), 0);
  return podScores(about.model ?? "model", about.promptTokens ?? longest + 1, all, () => {});
}

/** Wire hashes of all full blocks: the low 64 bits (SGLang: the first 64), as the engines send them by default. */
function hashesOf({
  tokens,
  blockSize,
  hash = "sha256_cbor",
  seed = VLLM_DEFAULT_SEED,
  extraKeys,
}: PromptOptions): bigint[] {
  checkInteger("blockSize", blockSize, 1);
  const chain =
    typeof hash !== "string"
      ? hash
      : createBlockHasherSync({
          algorithm: hash,
          blockSize,
          ...(hash === "sglang" ? {} : { seed }),
        } as Parameters<typeof createBlockHasherSync>[0]);
  const keys = chain.toKeys(chain.hashTokens(tokens, { extraKeys }));
  const hashes: bigint[] = [];
  for (let i = 0; i < keys.length; i += 2) hashes.push((BigInt(keys[i]!) << 32n) | BigInt(keys[i + 1]!));
  return hashes;
}

function checkBlocks({ fromBlock = 0, medium = "GPU" }: PromptOptions, blocks: number): void {
  if (blocks === 0 && fromBlock !== 0)
    throw rangeMistake("fromBlock", "0 (the prompt has no full block)", fromBlock);
  checkInteger("fromBlock", fromBlock, 0, Math.max(0, blocks - 1));
  checkName("medium", medium);
}

function frameOf(
  { pod, model, seq = 0, dataParallelRank = 0, at = 0 }: FrameOptions,
  event: object,
): KvFrame {
  if (typeof at !== "number") throw typeMistake("at", "milliseconds since the epoch", at);
  if (!Number.isFinite(at)) throw rangeMistake("at", "milliseconds since the epoch", at);
  checkInteger("dataParallelRank", dataParallelRank, 0, 0xffff_ffff);
  return {
    topic: formatTopic(checkName("pod", pod), checkName("model", model)),
    seq: checkSeq(seq),
    payload: encode([at / 1000, [event], dataParallelRank], { useBigInt64: true }),
    receivedAt: at,
  };
}

function checkSeq(seq: number | bigint): bigint {
  if (typeof seq === "number") return BigInt(checkInteger("seq", seq, 0));
  if (typeof seq !== "bigint") throw typeMistake("seq", "integer or bigint", seq);
  if (seq < 0n || seq >= 2n ** 64n) throw rangeMistake("seq", "bigint 0 … 2^64-1", seq);
  return seq;
}
