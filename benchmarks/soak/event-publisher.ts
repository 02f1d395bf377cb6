/**
 * An engine's event sockets, bare: PUB with a high-water mark of one's choice, and a ROUTER that replays.
 *
 * examples/engine has the same after vLLM; its high-water mark is vLLM's, which no test can overrun in seconds.
 */
import { Publisher as PubSocket, Router } from "zeromq";

export interface SocketArguments {
  /** Port of the PUB socket, on loopback. */
  readonly events: number;
  /** Port of the ROUTER socket; null: no replay. */
  readonly replay: number | null;
  /** Messages kept for a slow subscriber before newer ones are dropped; default vLLM's 100 000. */
  readonly highWaterMark?: number;
  /** Past batches that a replay can reach; default vLLM's 10 000. */
  readonly bufferSteps?: number;
}

const END_OF_REPLAY = new Uint8Array(8).fill(0xff);
const EMPTY = new Uint8Array(0);

export class EventPublisher {
  /** The next batch's sequence number. */
  next = 0;
  readonly #publish: PubSocket;
  readonly #replay: Router | null;
  /** The last batches, by their number modulo its length. */
  readonly #buffer: (readonly [topic: string, seq: Uint8Array, payload: Uint8Array])[];

  private constructor({ bufferSteps = 10_000, highWaterMark = 100_000, replay }: SocketArguments) {
    this.#buffer = new Array(bufferSteps);
    this.#publish = new PubSocket({ linger: 0, sendHighWaterMark: highWaterMark });
    this.#replay = replay === null ? null : new Router({ linger: 0 });
  }

  static async bind(options: SocketArguments): Promise<EventPublisher> {
    const publisher = new EventPublisher(options);
    await publisher.#replay?.bind(`tcp://127.0.0.1:${options.replay}`);
    await publisher.#publish.bind(`tcp://127.0.0.1:${options.events}`);
    void publisher.#serveReplays();
    return publisher;
  }

  async send(topic: string, payload: Uint8Array): Promise<void> {
    const seq = new Uint8Array(8);
    new DataView(seq.buffer).setBigUint64(0, BigInt(this.next));
    const batch = [topic, seq, payload] as const;
    this.#buffer[this.next++ % this.#buffer.length] = batch;
    await this.#publish.send([...batch]);
  }

  async #serveReplays(): Promise<void> {
    if (this.#replay === null) return;
    for await (const [identity, , start] of this.#replay) {
      const from = Math.max(Number(start!.readBigUInt64BE()), this.next - this.#buffer.length);
      for (let number = from; number < this.next; number++)
        await this.#replay.send([identity!, EMPTY, ...this.#buffer[number % this.#buffer.length]!]);
      await this.#replay.send([identity!, EMPTY, "", END_OF_REPLAY, EMPTY]);
    }
  }
}
