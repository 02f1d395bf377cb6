/**
 * A fake vLLM engine: everything around the GPU is real (HTTP API, tokenizer, prefix cache, KV events on a ZeroMQ
 * socket), and the model copies its prompt.
 * @module
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { blockExtraKeys, createBlockHasher, type ExtraKeysEra, type HashAlgorithm } from "kvblock/hash";
import { BlockManager } from "./block-manager.js";
import { EngineCore, type Timing } from "./core.js";
import { Publisher, type ReplayDialect } from "./publisher.js";
import { engineServer } from "./server.js";
import type { EngineTokenizer } from "./tokenizer.js";
import { encodeEventBatch, type WireEra } from "./wire.js";

export interface EngineOptions {
  /** Served model's name. */
  readonly model: string;
  readonly tokenizer: EngineTokenizer;
  /** LoRA adapters, served under their own names. */
  readonly loras?: readonly string[] | undefined;
  /** Tokens per block. Default 16. */
  readonly blockSize?: number | undefined;
  /** Physical blocks, one of them unused. Default room for two requests of `maxModelLen`. */
  readonly numBlocks?: number | undefined;
  /** Default 32768. */
  readonly maxModelLen?: number | undefined;
  /** Default `sha256`, as vLLM's. */
  readonly hashAlgorithm?: Exclude<HashAlgorithm, "sglang"> | undefined;
  /** `PYTHONHASHSEED`. Absent: a random root hash, as vLLM up to v0.27 has when the variable is unset. */
  readonly seed?: string | undefined;
  /** Layout of the events. Default `M3`, the newest. */
  readonly era?: WireEra | undefined;
  /** Default `offsets`, the newest. */
  readonly extraKeysEra?: Exclude<ExtraKeysEra, "tagged"> | undefined;
  /** Hashes on the wire as 64-bit integers. Default true. */
  readonly intHashes?: boolean | undefined;
  /** Default 0. */
  readonly dataParallelRank?: number | undefined;
  /** Address of all sockets. Default 127.0.0.1. */
  readonly host?: string | undefined;
  /** Port of the HTTP API. Default 0: any free one. */
  readonly port?: number | undefined;
  /** Port to bind for events. Default 0: any free one. */
  readonly eventsPort?: number | undefined;
  /** A subscriber's bound socket to connect to, instead of binding `eventsPort`. */
  readonly eventsEndpoint?: string | undefined;
  /** Port to bind for replays, 0 for any free one, null for no replay. Default 0. */
  readonly replayPort?: number | null | undefined;
  /** Default: what vLLM of the era speaks, `plain` up to v0.25 and `topic` from v0.26. */
  readonly replayDialect?: ReplayDialect | undefined;
  /** Batches that a replay can reach. Default 10000. */
  readonly bufferSteps?: number | undefined;
  /** `pod-model`: `kv@<pod>@<model>` (the default). `empty`: vLLM's own default. */
  readonly topic?: "pod-model" | "empty" | undefined;
  /** The topic's pod. Default `<host>:<port>` of the HTTP API. */
  readonly topicPod?: string | undefined;
  /** Requests that run at once. Default 256. */
  readonly maxSequences?: number | undefined;
  /** Tokens of one engine step. Default 8192. */
  readonly maxBatchedTokens?: number | undefined;
  /** Default: 2 ms per request, 8000 uncached prompt tokens per second, 5 ms per decode step. */
  readonly timing?: Partial<Timing> | undefined;
  /** Report cached tokens in the usage. Default true. */
  readonly promptTokensDetails?: boolean | undefined;
  /** Largest request body. Default 16 MiB. */
  readonly bodyLimitBytes?: number | undefined;
}

export interface Engine {
  /** Of the HTTP API, without a trailing slash. */
  readonly url: string;
  /** The topic's pod. */
  readonly pod: string;
  readonly eventsEndpoint: string;
  readonly replayEndpoint: string | null;
  /** The prefix cache itself, to ask what a prompt would reuse. */
  readonly blocks: BlockManager;
  /** Cut every connection, close every socket. */
  close(): Promise<void>;
}

/** Start an engine; it answers requests when the promise resolves. */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const { model, tokenizer, blockSize = 16, maxModelLen = 32_768, host = "127.0.0.1", era = "M3" } = options;
  const { dataParallelRank = 0, intHashes = true, extraKeysEra = "offsets" } = options;
  const longest = Math.ceil(maxModelLen / blockSize);
  const { numBlocks = 2 * longest + 1 } = options;
  if (numBlocks - 1 < longest)
    throw new RangeError(
      `"numBlocks" expected integer >= ${longest + 1}, so that one request fits, got ${numBlocks}`,
    );
  const hasher = await createBlockHasher({
    algorithm: options.hashAlgorithm ?? "sha256",
    blockSize,
    ...(options.seed === undefined ? { noneHash: randomBytes(32) } : { seed: options.seed }),
  });
  // Engines whose events have no field beyond the LoRA id also hash the id.
  const hashesLoraId = era === "A1" || era === "A1r";
  const blocks = new BlockManager({
    numBlocks,
    hasher,
    extraKeys: ({ loraName, loraId, cacheSalt, multimodal }, tokenCount, promptTokens) =>
      blockExtraKeys(
        { ...(hashesLoraId ? { loraId } : { loraName }), cacheSalt, multimodal, promptTokens },
        tokenCount,
        blockSize,
        extraKeysEra,
      ),
  });
  const tcp = (port: number): string => `tcp://${host}:${port === 0 ? "*" : port}`;
  const { replayPort = 0 } = options;
  const publisher = await Publisher.open({
    endpoint: options.eventsEndpoint ?? tcp(options.eventsPort ?? 0),
    connect: options.eventsEndpoint !== undefined,
    replayEndpoint: replayPort === null ? null : tcp(replayPort),
    replayDialect: options.replayDialect ?? (era.startsWith("M") && era !== "M1" ? "topic" : "plain"),
    bufferSteps: options.bufferSteps ?? 10_000,
  });
  // Its pod is named by the HTTP port, which is known before the first request comes.
  let topic = "";
  const core = new EngineCore({
    blocks,
    timing: { requestOverheadMs: 2, prefillTokensPerSecond: 8000, decodeStepMs: 5, ...options.timing },
    maxSequences: options.maxSequences ?? 256,
    maxBatchedTokens: options.maxBatchedTokens ?? 8192,
    isSpecial: (token) => tokenizer.isSpecial(token),
    publish: (events) =>
      publisher.publish(
        topic,
        encodeEventBatch({ ts: Date.now() / 1000, events, dataParallelRank }, { era, intHashes }),
      ),
  });
  const server = engineServer({
    core,
    blocks,
    tokenizer,
    model,
    loras: options.loras ?? [],
    maxModelLen,
    numBlocks,
    reportsCached: options.promptTokensDetails ?? true,
    bodyLimitBytes: options.bodyLimitBytes ?? 16 * 1024 * 1024,
  });
  const close = async (): Promise<void> => {
    if (server.listening) {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    }
    await core.idle();
    await publisher.close();
  };
  try {
    server.listen(options.port ?? 0, host);
    await once(server, "listening");
  } catch (error) {
    await close();
    throw error;
  }
  const { port } = server.address() as AddressInfo;
  const pod = options.topicPod ?? `${host}:${port}`;
  if (options.topic !== "empty") topic = `kv@${pod}@${model}`;
  const { endpoint: eventsEndpoint, replayEndpoint } = publisher;
  let closing: Promise<void> | undefined;
  return {
    url: `http://${host}:${port}`,
    pod,
    eventsEndpoint,
    replayEndpoint,
    blocks,
    close: () => (closing ??= close()),
  };
}
