/**
 * The workloads that peers are compared on: multi-turn chats under shared system prompts, run by model engines.
 *
 * The engines are examples/engine's (vLLM's rules: blocks freed tail first, evicted oldest first), one request at a
 * time, so that no block has two copies: peers count copies differently. What a query should find is asked of the
 * engines themselves. Deterministic: the same description gives the same bytes.
 */
import { createBlockHasher } from "kvblock/hash";
import { BlockManager } from "../../examples/engine/block-manager.js";
import { encodeEventBatch } from "../../examples/engine/wire.js";
import { seeded } from "../../test/support/random.js";
import type { QueryLabel, Workload, WorkloadRecord } from "./workload-file.js";

export interface WorkloadDescription {
  readonly seed: number;
  readonly pods: number;
  /** Physical blocks of each. */
  readonly blocksPerPod: number;
  /** Chats go on until so many blocks were stored. */
  readonly storedBlocks: number;
  /** One request of so many is also a query. */
  readonly queryEvery: number;
  /** Queries of each kind after the chats: prompts of 10,000 tokens. */
  readonly longQueries: number;
}

/** Two turns of every cache. */
export const STREAM: WorkloadDescription = {
  seed: 42,
  pods: 8,
  blocksPerPod: 16_384,
  storedBlocks: 2 * 8 * 16_384,
  queryEvery: 5,
  longQueries: 0,
};
export const LONG_PROMPTS: WorkloadDescription = {
  seed: 43,
  pods: 64,
  blocksPerPod: 8192,
  storedBlocks: 64 * 2048,
  queryEvery: 100_000,
  longQueries: 50,
};

export const BLOCK_SIZE = 16;
export const HASH_SEED = "0";
const MODEL = "Qwen/Qwen3-0.6B";
const VOCABULARY = 151_936;
const SYSTEM_PROMPTS = 8;
const SYSTEM_TOKENS = 2048;
const CHATS_PER_POD = 16;
const LONGEST_CHAT = 8192;
const LONG_TOKENS = 10_000;
/** Pods that hold a `held` prompt. */
const LONG_HOLDERS = 4;
/** Requests begin a second apart, from 2025-01-01. */
const EPOCH_S = Date.UTC(2025, 0, 1) / 1000;

export async function makeWorkload(description: WorkloadDescription): Promise<Workload> {
  const { seed, pods, blocksPerPod, storedBlocks, queryEvery, longQueries } = description;
  const random = seeded(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const tokens = (count: number): number[] => Array.from({ length: count }, () => below(VOCABULARY));
  const cluster = new Cluster(pods, await managers(pods, blocksPerPod));
  const systems = Array.from({ length: SYSTEM_PROMPTS }, () => tokens(SYSTEM_TOKENS));
  // The n-th system prompt is a 1/n as popular as the first.
  const newChat = (): { pod: number; text: number[] } => ({
    pod: below(pods),
    text: systems[Math.floor(SYSTEM_PROMPTS ** random()) - 1] ?? systems[0]!,
  });
  const chats = Array.from({ length: CHATS_PER_POD * pods }, newChat);

  for (let request = 0; cluster.stored < storedBlocks; request++) {
    const at = below(chats.length);
    const chat = chats[at]!;
    const prompt = [...chat.text, ...tokens(30 + below(370))];
    // A chat stays with its pod, but for one turn in ten.
    const pod = random() < 0.1 ? below(pods) : chat.pod;
    if (request % queryEvery === 0) cluster.query("routed", prompt);
    const output = tokens(40 + below(260));
    cluster.run(pod, prompt, output);
    chat.text = [...prompt, ...output];
    if (random() < 0.2 || chat.text.length > LONGEST_CHAT) chats[at] = newChat();
  }

  const held = Array.from({ length: longQueries }, () => tokens(LONG_TOKENS));
  for (const [i, prompt] of held.entries())
    for (let copy = 0; copy < LONG_HOLDERS; copy++) cluster.run((i * LONG_HOLDERS + copy) % pods, prompt, []);
  for (const prompt of held) {
    cluster.query("new", tokens(LONG_TOKENS));
    cluster.query("system", [...systems[0]!, ...tokens(LONG_TOKENS - SYSTEM_TOKENS)]);
    cluster.query("held", prompt);
  }
  return {
    model: MODEL,
    blockSize: BLOCK_SIZE,
    pods,
    residentPairs: cluster.residentPairs,
    records: cluster.records,
  };
}

async function managers(pods: number, numBlocks: number): Promise<BlockManager[]> {
  const hasher = await createBlockHasher({
    algorithm: "sha256_cbor",
    blockSize: BLOCK_SIZE,
    seed: HASH_SEED,
  });
  return Array.from({ length: pods }, () => new BlockManager({ numBlocks, hasher }));
}

/** The engines, and the record of what they said and were asked about. */
class Cluster {
  readonly records: WorkloadRecord[] = [];
  stored = 0;
  #requests = 0;

  constructor(
    readonly pods: number,
    readonly engines: readonly BlockManager[],
  ) {}

  get residentPairs(): number {
    return this.engines.reduce((sum, { pool }) => sum + pool.cachedHashes, 0);
  }

  /** A prompt's blocks are announced in one frame, those that its output completes in another. */
  run(pod: number, prompt: readonly number[], output: readonly number[]): void {
    const engine = this.engines[pod]!;
    const id = String(this.#requests++);
    if (engine.schedule({ id, tokens: prompt }) === null) throw new Error("a prompt does not fit the pool");
    this.#publish(pod);
    if (engine.append(id, output) < output.length) throw new Error("an output does not fit the pool");
    engine.finish(id);
    this.#publish(pod);
  }

  query(label: QueryLabel, tokens: readonly number[]): void {
    const expected = Uint32Array.from(this.engines, (engine) => engine.peek({ tokens }));
    this.records.push({ kind: "query", label, tokens: Uint32Array.from(tokens), expected });
  }

  #publish(pod: number): void {
    const events = this.engines[pod]!.takeEvents();
    if (events.length === 0) return;
    const blocks = (type: string): number =>
      events.reduce(
        (sum, event) => sum + (event.type === type && "blockHashes" in event ? event.blockHashes.length : 0),
        0,
      );
    const storedBlocks = blocks("BlockStored");
    this.stored += storedBlocks;
    // M3 is the newest layout that all peers read: maps, hashes as 64-bit integers (vLLM's default).
    const batch = { ts: EPOCH_S + this.#requests, events, dataParallelRank: 0 };
    this.records.push({
      kind: "frame",
      pod,
      storedEvents: events.filter(({ type }) => type === "BlockStored").length,
      storedBlocks,
      removedBlocks: blocks("BlockRemoved"),
      payload: encodeEventBatch(batch, { era: "M3", intHashes: true }),
    });
  }
}
