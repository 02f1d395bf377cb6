/**
 * The primary's part: one subscription to the engines' events, every frame handed to every worker.
 *
 * A worker that starts later is given what was kept of the history first. Where something is missing, too long ago or
 * dropped because the worker was too slow, its own indexer notices by the sequence numbers and says so.
 * @module
 */
import cluster, { type Worker } from "node:cluster";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { KvFrame } from "kvblock";
import { type EventSocket, openEventSocket } from "kvblock/events";

/** What workers say: "I can take frames now". */
export interface ReadyMessage {
  readonly ready: true;
}

/** What workers are told. */
export interface FramesMessage {
  readonly frames: readonly KvFrame[];
}

/** History kept for workers to come, and frames on their way to a slow worker. */
const MAX_HISTORY_BYTES = 64 * 2 ** 20;
const MAX_PENDING_BYTES = 64 * 2 ** 20;

export interface WorkersOptions {
  /** The engines' event endpoints. */
  readonly endpoints: readonly string[];
  readonly model: string;
  readonly count: number;
  /** That the workers share; 0 for any free one. */
  readonly port: number;
}

export class Workers {
  readonly #socket: EventSocket;
  readonly #history: KvFrame[] = [];
  #historyBytes = 0;
  /** Workers that take frames, and the bytes on their way to each. */
  readonly #pending = new Map<Worker, number>();
  #port: number;
  #isClosing = false;
  /** Frames received from the engines. */
  frames = 0;

  private constructor(socket: EventSocket, port: number) {
    this.#socket = socket;
    this.#port = port;
  }

  /** Resolves when all workers listen. */
  static async start({ endpoints, model, count, port }: WorkersOptions): Promise<Workers> {
    // "advanced" is structured clone: byte arrays and the sequence's bigint pass as they are.
    cluster.setupPrimary({
      exec: fileURLToPath(new URL("./worker.ts", import.meta.url)),
      args: [model, String(port)],
      serialization: "advanced",
    });
    const workers = new Workers(await openEventSocket({ endpoint: endpoints }), port);
    void workers.#handOut();
    cluster.on("exit", workers.#replace);
    await Promise.all(Array.from({ length: count }, () => workers.#fork()));
    return workers;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Engines whose events are connected. */
  get connected(): number {
    return this.#socket.transport.connected;
  }

  /** Numbers of the workers that take frames, ascending. */
  get ids(): number[] {
    return Array.from(this.#pending.keys(), ({ id }) => id).sort((a, b) => a - b);
  }

  kill(id: number): void {
    cluster.workers?.[id]?.process.kill();
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    cluster.off("exit", this.#replace);
    await this.#socket.close();
    await Promise.all(
      Object.values(cluster.workers ?? {}).map(async (worker) => {
        const exited = once(worker!, "exit");
        worker!.process.kill();
        await exited;
      }),
    );
  }

  readonly #replace = (worker: Worker): void => {
    // One that never took frames could not start, and its successor could not either.
    if (!this.#pending.delete(worker) || this.#isClosing) return;
    this.#fork().catch((error: unknown) => console.error(error));
  };

  async #fork(): Promise<void> {
    const worker = cluster.fork();
    worker.on("message", ({ ready }: Partial<ReadyMessage>) => {
      // Between these two nothing can arrive, so the worker misses no frame and gets none twice.
      if (ready !== true) return;
      this.#pending.set(worker, 0);
      this.#send(worker, this.#history);
    });
    const exited = once(worker, "exit").then(() => {
      throw new Error("a worker ended before it listened");
    });
    const [address] = (await Promise.race([once(worker, "listening"), exited])) as [{ port: number }];
    this.#port = address.port;
  }

  async #handOut(): Promise<void> {
    for await (const frame of this.#socket) {
      this.frames++;
      this.#history.push(frame);
      this.#historyBytes += frame.payload.length;
      while (this.#historyBytes > MAX_HISTORY_BYTES)
        this.#historyBytes -= this.#history.shift()!.payload.length;
      for (const worker of this.#pending.keys()) this.#send(worker, [frame]);
    }
  }

  #send(worker: Worker, frames: readonly KvFrame[]): void {
    const bytes = frames.reduce((sum, { payload }) => sum + payload.length, 0);
    const pending = this.#pending.get(worker)!;
    if (pending > MAX_PENDING_BYTES || !worker.isConnected()) return;
    this.#pending.set(worker, pending + bytes);
    worker.send({ frames } satisfies FramesMessage, () => {
      const now = this.#pending.get(worker);
      if (now !== undefined) this.#pending.set(worker, now - bytes);
    });
  }
}
