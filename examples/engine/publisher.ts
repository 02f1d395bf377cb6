/**
 * The engine's event sockets: PUB for live batches, ROUTER for those that a subscriber missed.
 *
 * Follows vLLM's `ZmqEventPublisher` (`vllm/distributed/kv_events.py`): messages `[topic, sequence, payload]`, the
 * sequence 8 bytes big-endian from 0 per process; a bounded buffer of past batches behind the replay socket, which
 * answers `[identity, "", start sequence]` with every batch from there on and an end mark, and ignores anything else.
 * @module
 */
import { Publisher as PubSocket, Router } from "zeromq";

/**
 * Layout of a replay's answers: `[sequence, payload]`, or with the topic before them (vLLM from v0.26,
 * PR 45177).
 */
export type ReplayDialect = "plain" | "topic";

export interface PublisherOptions {
  /** Where to publish, `tcp://127.0.0.1:*` for any free port. */
  readonly endpoint: string;
  /** Connect to a subscriber that has bound its socket, instead of binding. */
  readonly connect: boolean;
  /** Where replays are asked for, always bound; null for no replay. */
  readonly replayEndpoint: string | null;
  readonly replayDialect: ReplayDialect;
  /** Past batches that a replay can reach. */
  readonly bufferSteps: number;
}

interface Batch {
  readonly number: bigint;
  readonly topic: string;
  readonly seq: Uint8Array;
  readonly payload: Uint8Array;
}

/** Messages that wait for a slow subscriber before newer ones are dropped; vLLM's `hwm`. */
const HIGH_WATER_MARK = 100_000;

const END_OF_REPLAY = new Uint8Array(8).fill(0xff);
const EMPTY = new Uint8Array(0);

export class Publisher {
  readonly endpoint: string;
  readonly replayEndpoint: string | null;
  readonly #options: PublisherOptions;
  readonly #publish: PubSocket;
  readonly #replay: Router | null;
  readonly #serving: Promise<void>;
  readonly #buffer: Batch[] = [];
  #next = 0n;
  #sending: Promise<void> = Promise.resolve();

  private constructor(options: PublisherOptions, publish: PubSocket, replay: Router | null) {
    this.#options = options;
    this.#publish = publish;
    this.#replay = replay;
    this.endpoint = options.connect ? options.endpoint : (publish.lastEndpoint ?? options.endpoint);
    this.replayEndpoint = replay?.lastEndpoint ?? null;
    this.#serving = this.#serveReplays();
  }

  static async open(options: PublisherOptions): Promise<Publisher> {
    const publish = new PubSocket({ linger: 0, sendHighWaterMark: HIGH_WATER_MARK });
    const replay = options.replayEndpoint === null ? null : new Router({ linger: 0 });
    try {
      if (options.connect) publish.connect(options.endpoint);
      else await publish.bind(options.endpoint);
      await replay?.bind(options.replayEndpoint!);
    } catch (cause) {
      publish.close();
      replay?.close();
      throw new Error(`cannot open the event sockets at ${options.endpoint}: ${(cause as Error).message}`, {
        cause,
      });
    }
    return new Publisher(options, publish, replay);
  }

  /** Batches published so far, and the next one's sequence number. */
  get published(): bigint {
    return this.#next;
  }

  /** Send one batch. Batches leave in the order of the calls. */
  publish(topic: string, payload: Uint8Array): void {
    const seq = new Uint8Array(8);
    new DataView(seq.buffer).setBigUint64(0, this.#next);
    this.#buffer.push({ number: this.#next, topic, seq, payload });
    if (this.#buffer.length > this.#options.bufferSteps) this.#buffer.shift();
    this.#next++;
    // zeromq refuses a second send while one is under way.
    this.#sending = this.#sending.then(async () => {
      if (!this.#publish.closed) await this.#publish.send([topic, seq, payload]);
    });
  }

  async close(): Promise<void> {
    await this.#sending;
    this.#publish.close();
    this.#replay?.close();
    await this.#serving;
  }

  async #serveReplays(): Promise<void> {
    if (this.#replay === null) return;
    for await (const [identity, delimiter, start, ...rest] of this.#replay) {
      if (delimiter?.length !== 0 || start?.length !== 8 || rest.length > 0) continue;
      const from = start.readBigUInt64BE();
      const answer = (topic: string, seq: Uint8Array, payload: Uint8Array): Promise<void> =>
        this.#options.replayDialect === "topic"
          ? this.#replay!.send([identity!, EMPTY, topic, seq, payload])
          : this.#replay!.send([identity!, EMPTY, seq, payload]);
      try {
        for (const batch of this.#buffer.filter(({ number }) => number >= from))
          await answer(batch.topic, batch.seq, batch.payload);
        await answer("", END_OF_REPLAY, EMPTY);
      } catch (error) {
        // The asker has gone, or this engine is closing: the next request is served all the same.
        if (!this.#replay.closed && (error as { code?: string }).code !== "EHOSTUNREACH") throw error;
      }
    }
  }
}
