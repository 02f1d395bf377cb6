/**
 * `kvblock/pool`: worker threads that tokenize and hash, so that long prompts do not hold the event loop.
 * @module
 */
import { Worker } from "node:worker_threads";
import { Diagnostics, type Finding } from "./diagnostics.js";
import { checkInteger, checkOptions, typeMistake } from "./errors.js";
import { type HashedPrompt, type HashPlan, PlanHasher, type PromptHasher } from "./hash-plan.js";
import { PooledTokenizer } from "./pooled-tokenizer.js";
import { ThreadPool } from "./threads/index.js";
import type { HuggingFaceTokenizerOptions } from "./tokenize/index.js";
import type { Diagnostic, Tokenizer } from "./types.js";
import { loadTokenizer, type WorkerTask, type WorkerTokenizerSource } from "./worker-protocol.js";

export type { HashedPrompt, HashPlan, PromptHasher } from "./hash-plan.js";
export type { KeyedRequest } from "./query-keys.js";
export type { WorkerTokenizerSource } from "./worker-protocol.js";

export interface WorkerPoolOptions {
  /** Threads. 0: everything is done on the calling thread. Each holds its own copy of every tokenizer. */
  workers: number;
  /** Tasks that may wait for a thread; a further one is `ERR_KVBLOCK_BUSY`. Default 256. */
  maxQueued?: number | undefined;
  /** Milliseconds that one task may run before its thread is ended. Default 5000. */
  deadlineMs?: number | undefined;
  /**
   * Prompts of fewer characters are encoded on the calling thread, where that is sooner done than said. 0: none, and
   * then no tokenizer is loaded here. Chats always go to the threads. Default 1024.
   */
  inlineBelow?: number | undefined;
  /** The threads' script, where it is not beside this file: `kvblock/pool-worker`, or a bundle of it. */
  workerUrl?: URL | string | undefined;
  /** Where diagnostics go. Absent: `process.emitWarning`. null: nowhere. */
  onDiagnostic?: ((diagnostic: Diagnostic) => void) | null | undefined;
}

/** Counts since the pool was made, and how it stands. */
export interface WorkerPoolStats {
  readonly threads: number;
  readonly busy: number;
  readonly queued: number;
  /** Threads that ended by themselves. */
  readonly died: number;
  /** Tasks given to a second thread because the first died. */
  readonly retried: number;
  /** Tasks that ran for longer than they may; their threads were ended. */
  readonly timedOut: number;
}

export interface WorkerPool extends PromptHasher, AsyncDisposable {
  /**
   * Load a tokenizer into every thread. Its `encode` and `encodeChat` reject with `ERR_KVBLOCK_BUSY`,
   * `ERR_KVBLOCK_TIMEOUT`, `ERR_KVBLOCK_WORKER`, the signal's reason, and with what the tokenizer itself throws.
   * @param options - as those of `createHuggingFaceTokenizer`; each thread has its own `memoBytes`
   * @throws KvBlockError `ERR_KVBLOCK_TOKENIZE` naming the file or field that is missing or broken
   */
  tokenizer(
    source: WorkerTokenizerSource,
    options?: HuggingFaceTokenizerOptions,
  ): Promise<Tokenizer & Required<Pick<Tokenizer, "encodeChat">>>;
  stats(): WorkerPoolStats;
  /** What stands wrong now. */
  diagnose(): Diagnostic[];
  /** End the threads; what is under way is rejected. Idempotent. */
  close(): Promise<void>;
}

const OPTIONS = ["workers", "maxQueued", "deadlineMs", "inlineBelow", "workerUrl", "onDiagnostic"];

/** Hashing and looking up a long prompt takes far less than this. */
const HOUR_MS = 3_600_000;

/**
 * Start worker threads. Where they cannot be started, everything is done on the calling thread, and the diagnostic
 * `workers-unavailable` says why.
 * @throws TypeError or RangeError for the first option that is not what it should be
 */
export async function createWorkerPool(options: WorkerPoolOptions): Promise<WorkerPool> {
  checkOptions("createWorkerPool", options, OPTIONS);
  const {
    workers,
    maxQueued = 256,
    deadlineMs = 5000,
    inlineBelow = 1024,
    workerUrl,
    onDiagnostic,
  } = options;
  checkInteger("workers", workers, 0, 1024);
  checkInteger("maxQueued", maxQueued, 0);
  checkInteger("deadlineMs", deadlineMs, 1, HOUR_MS);
  checkInteger("inlineBelow", inlineBelow, 0);
  if (workerUrl !== undefined && typeof workerUrl !== "string" && !(workerUrl instanceof URL))
    throw typeMistake("workerUrl", "URL or string", workerUrl);
  if (onDiagnostic !== undefined && onDiagnostic !== null && typeof onDiagnostic !== "function")
    throw typeMistake("onDiagnostic", "function or null", onDiagnostic);
  const diagnostics = new Diagnostics(onDiagnostic, Date.now);
  const pool = new KvWorkerPool({ workers, maxQueued, deadlineMs, inlineBelow, workerUrl, diagnostics });
  await pool.start();
  return pool;
}

interface Settings {
  readonly workers: number;
  readonly maxQueued: number;
  readonly deadlineMs: number;
  readonly inlineBelow: number;
  readonly workerUrl: URL | string | undefined;
  readonly diagnostics: Diagnostics;
}

class KvWorkerPool implements WorkerPool {
  readonly #settings: Settings;
  readonly #threads: ThreadPool;
  #loads = 0;
  #hasher: Promise<PlanHasher> | undefined;
  readonly #tokenizers: PooledTokenizer[] = [];

  constructor(settings: Settings) {
    this.#settings = settings;
    const { workers, maxQueued, diagnostics } = settings;
    this.#threads = new ThreadPool({
      size: workers,
      maxQueued,
      spawn: () => spawn(settings.workerUrl),
      onDied: (why) => diagnostics.raise(died(why)),
      onUnavailable: (why) => diagnostics.raise(unavailable(workers, why)),
    });
  }

  start(): Promise<void> {
    return this.#threads.start();
  }

  async tokenizer(
    source: WorkerTokenizerSource,
    options: HuggingFaceTokenizerOptions = {},
  ): Promise<PooledTokenizer> {
    checkOptions("tokenizer", options, ["now", "memoBytes", "fastPath"]);
    const { now = () => new Date(), ...rest } = options;
    if (typeof now !== "function") throw typeMistake("now", "function", now);
    const { workers, deadlineMs, inlineBelow } = this.#settings;
    const threads = this.#threads;
    const id = this.#loads++;
    let loaded: Promise<Tokenizer> | undefined;
    const inline = (): Promise<Tokenizer> => (loaded ??= loadTokenizer(source, { ...rest, now }));
    const load: WorkerTask = { do: "load", tokenizer: id, source, options: rest };
    let degraded = threads.isAvailable ? await threads.setUp<string | undefined>(load) : undefined;
    // Most is done by the threads' copies, and their script may be another build: the word of either counts.
    if (inlineBelow > 0 || !threads.isAvailable) degraded ??= (await inline()).degraded;
    const isInline = workers === 0;
    const part = { threads, id, deadlineMs, inlineBelow, now, inline, isInline, degraded };
    const tokenizer = new PooledTokenizer(part);
    this.#tokenizers.push(tokenizer);
    return tokenizer;
  }

  async hashPrompt(
    tokens: Uint32Array,
    plan: HashPlan,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<HashedPrompt> {
    if (!(tokens instanceof Uint32Array)) throw typeMistake("tokens", "Uint32Array", tokens);
    checkOptions("hashPrompt", options, ["signal"]);
    const { signal } = options;
    const { deadlineMs } = this.#settings;
    const lists = this.#threads.isAvailable
      ? await this.#threads.run<HashedPrompt["lists"]>({
          message: { do: "hash", tokens, plan },
          deadlineMs,
          signal,
        })
      : (await (this.#hasher ??= PlanHasher.load())).hash(tokens, plan);
    return { tokens, request: plan.request, lists };
  }

  get isInline(): boolean {
    return !this.#threads.isAvailable;
  }

  stats(): WorkerPoolStats {
    return this.#threads.stats;
  }

  diagnose(): Diagnostic[] {
    return this.#settings.diagnostics.list();
  }

  async close(): Promise<void> {
    for (const tokenizer of this.#tokenizers) tokenizer.close();
    await this.#threads.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** @throws where there is no such file, or no `import.meta.url` to find it by (a bundle that is no ES module) */
function spawn(workerUrl: URL | string | undefined): Worker {
  const url = workerUrl ?? new URL("./pool-worker.js", import.meta.url);
  return new Worker(url, { workerData: "kvblock/pool", name: "kvblock" });
}

function unavailable(workers: number, why: Error): Finding {
  return {
    code: "workers-unavailable",
    severity: "warning",
    message: `None of ${workers} worker threads could be started (${why.message}), so prompts are tokenized on the calling thread and hold its event loop.`,
    fix: "Where the host is bundled, build kvblock/pool-worker as an entry of its own and give its URL as workerUrl.",
    evidence: { workers, error: why.message },
  };
}

function died(why: Error): Finding {
  return {
    code: "worker-died",
    severity: "warning",
    message: `A worker thread died (${why.message}) and was replaced.`,
    fix: "If it ran out of memory, run fewer workers or load fewer tokenizers; else report it.",
    evidence: { error: why.message },
  };
}
