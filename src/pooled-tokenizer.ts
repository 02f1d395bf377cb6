/**
 * A tokenizer whose work is done by a pool's threads.
 * @module
 */
import { affinityOfChat, affinityOfText } from "./affinity.js";
import { checkName, checkOptions, KvBlockError, typeMistake } from "./errors.js";
import type { ThreadPool } from "./threads/index.js";
import type { ChatMessage, ChatOptions, EncodeOptions, Tokenizer } from "./types.js";
import { encodeChat, type WorkerTask } from "./worker-protocol.js";

export interface PooledTokenizerOptions {
  readonly threads: ThreadPool;
  /** Its number in the threads. */
  readonly id: number;
  readonly deadlineMs: number;
  /** Texts of fewer characters are encoded here. */
  readonly inlineBelow: number;
  readonly now: () => Date;
  /** The same tokenizer on this thread. */
  readonly inline: () => Promise<Tokenizer>;
  /** Whether it was meant that everything is done here, what requests bring included. */
  readonly isInline: boolean;
  readonly degraded: string | undefined;
}

export class PooledTokenizer implements Tokenizer {
  readonly degraded: string | undefined;
  readonly #options: PooledTokenizerOptions;
  #closed = false;

  constructor(options: PooledTokenizerOptions) {
    this.#options = options;
    this.degraded = options.degraded;
  }

  async encode(text: string, options: EncodeOptions = {}): Promise<Uint32Array> {
    checkOptions("encode", options, ["addSpecialTokens", "signal"]);
    checkName("text", text);
    this.#checkOpen(options.signal);
    const { threads, id: tokenizer, inlineBelow, inline } = this.#options;
    if (text.length < inlineBelow || !threads.isAvailable)
      return typed(await (await inline()).encode(text, options));
    const { signal, ...rest } = options;
    return this.#run({ do: "encode", tokenizer, text, options: rest }, affinityOfText(text), signal);
  }

  /** Never here while there are threads: only those can be ended when a template does not end. */
  async encodeChat(messages: readonly ChatMessage[], options: ChatOptions = {}): Promise<Uint32Array> {
    if (!Array.isArray(messages)) throw typeMistake("messages", "array of messages", messages);
    this.#checkOpen(options.signal);
    const { threads, id: tokenizer, inline, isInline, now } = this.#options;
    if (!threads.isAvailable) {
      if (options.chatTemplate !== undefined && !isInline)
        throw new KvBlockError(
          "ERR_KVBLOCK_WORKER",
          "a request's own chat template runs in a worker thread or not at all, and there is none",
        );
      return typed(await encodeChat(await inline(), messages, options));
    }
    const { signal, ...rest } = options;
    const task = { do: "encodeChat", tokenizer, messages, options: rest, now: now().getTime() } as const;
    return this.#run(task, affinityOfChat(messages), signal);
  }

  close(): void {
    this.#closed = true;
  }

  #run(message: WorkerTask, affinity: number, signal: AbortSignal | undefined): Promise<Uint32Array> {
    const { threads, deadlineMs } = this.#options;
    return threads.run<Uint32Array>({ message, deadlineMs, affinity, signal });
  }

  #checkOpen(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted();
    if (this.#closed) throw new KvBlockError("ERR_KVBLOCK_CLOSED", "the tokenizer is closed");
  }
}

function typed(tokens: Uint32Array | readonly number[]): Uint32Array {
  return tokens instanceof Uint32Array ? tokens : Uint32Array.from(tokens);
}
