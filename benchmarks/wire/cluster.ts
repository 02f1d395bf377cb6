/** A recording's engines on real sockets, from the side of the indexer that follows them. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import type { KvFrame } from "kvblock";
import { BUILD, forkScript } from "../run/processes.js";
import type { Answer, Command, PublisherArguments } from "./publisher-process.js";

/** Frames on their way: enough to keep both sides busy, far below what a subscriber's queue holds. */
const WINDOW = 4000;
const ACK_EVERY = 256;
/** Of a pass, each of which is taken to be alike in itself. */
const PARTS = 64;

/** What a follower makes of a frame: the payload is enough to tell its age. */
type Received = Pick<KvFrame, "payload">;

/** Who follows the engines: an indexer, or what receives as one does. */
export interface Follower {
  subscribe(options: {
    endpoint: string;
    receiveHighWaterMark: number;
    onFrame: (frame: Received) => void;
    lendsPayloads: boolean;
  }): Promise<Following>;
}

interface Following {
  readonly transport: { readonly connected: number } | null;
  close(): Promise<void>;
}

export class Cluster implements AsyncDisposable {
  /** Frames of one pass over the recording, the resets at its end included. */
  readonly framesPerPass: number;
  readonly #child: ChildProcess;
  readonly #subscriptions: Following[];
  /** Frames received since the last command, and where in a pass its first was. */
  #received = 0;
  #first = 0;
  #isPaused = false;
  #isClosing = false;
  #onFrame: (frame: Received, received: number) => void = () => {};

  private constructor(child: ChildProcess, framesPerPass: number, subscriptions: Following[]) {
    this.#child = child;
    // A benchmark that waits for frames of a process that is gone would wait for ever.
    child.once("exit", () => {
      if (!this.#isClosing) throw new Error("the publishers' process has ended");
    });
    this.framesPerPass = framesPerPass;
    this.#subscriptions = subscriptions;
  }

  /** Start the engines, and follow each by a subscription of its own. */
  static async follow(follower: Follower, recording: string, tsconfig = BUILD): Promise<Cluster> {
    const child = forkScript(
      "benchmarks/wire/publisher-process.ts",
      { recording } satisfies PublisherArguments,
      { tsconfig },
    );
    const ready = await answer(child, "ready");
    const subscriptions: Following[] = [];
    const cluster = new Cluster(child, ready.framesPerPass, subscriptions);
    for (const endpoint of ready.endpoints)
      subscriptions.push(
        await follower.subscribe({
          endpoint,
          receiveHighWaterMark: 1_000_000,
          onFrame: (frame) => cluster.#take(frame),
          lendsPayloads: true,
        }),
      );
    while (subscriptions.some(({ transport }) => transport!.connected === 0)) await sleep(5);
    // Connected is not yet subscribed: what is published in between would be lost.
    await sleep(300);
    return cluster;
  }

  /**
   * Send as fast as is received, until {@link stop}.
   * @param onVisible - called after each frame is applied, with how many were
   */
  saturate(onVisible: (frame: Received, received: number) => void): void {
    this.#begin(onVisible);
    this.#tell({ type: "saturate", window: WINDOW });
  }

  /** No more frames after those on their way, till {@link resume}. */
  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#tell({ type: "ack", received: this.#received });
  }

  async stop(): Promise<void> {
    const stopped = answer(this.#child, "stopped");
    this.#tell({ type: "stop" });
    await this.#drained((await stopped).sent);
  }

  /**
   * Send as fast as is received, for a number of whole passes that take so long at least.
   * @returns seconds that each of the {@link PARTS} equal parts of a pass took: frames differ in what they cost
   */
  async profile(seconds: number): Promise<number[]> {
    const parts = new Array<number>(PARTS).fill(0);
    let passes = 0;
    let part = -1;
    let partFrom = 0;
    let isDone = false;
    await new Promise<void>((resolve) => {
      const from = performance.now();
      this.saturate((_, received) => {
        const place = (this.#first + received) % this.framesPerPass;
        const begun = Math.floor((place * PARTS) / this.framesPerPass);
        // From the first pass that begins when it is warm, to the end of one.
        if (isDone || begun === part || (part < 0 && (begun > 0 || received < this.framesPerPass))) return;
        const at = performance.now();
        if (part >= 0) parts[part]! += (at - partFrom) / 1000;
        if (part >= 0 && begun === 0) passes++;
        part = begun;
        partFrom = at;
        if (passes === 0 || begun > 0 || at - from < 1000 * seconds) return;
        isDone = true;
        resolve();
      });
    });
    await this.stop();
    return parts.map((took) => took / passes);
  }

  /** Send each part of a pass in so many seconds. @returns seconds that the 99th of a hundred frames left late */
  async pace(
    parts: readonly number[],
    seconds: number,
    onVisible: (frame: Received, received: number) => void,
  ): Promise<number> {
    this.#begin(onVisible);
    const paced = answer(this.#child, "paced");
    this.#tell({ type: "pace", parts, seconds });
    const { sent, lateP99 } = await paced;
    await this.#drained(sent);
    return lateP99;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing = true;
    for (const subscription of this.#subscriptions) await subscription.close();
    const exited = once(this.#child, "exit");
    this.#child.disconnect();
    await exited;
  }

  #begin(onVisible: (frame: Received, received: number) => void): void {
    this.#received = 0;
    this.#isPaused = false;
    this.#onFrame = onVisible;
  }

  /** Called before the frame is applied, in the same stretch of code: what is queued here runs after it. */
  #take(frame: Received): void {
    const received = ++this.#received;
    queueMicrotask(() => this.#onFrame(frame, received));
    if (received % ACK_EVERY === 0 && !this.#isPaused) this.#tell({ type: "ack", received });
  }

  async #drained(sent: number): Promise<void> {
    for (const until = performance.now() + 60_000; this.#received < sent; await sleep(2))
      if (performance.now() > until) throw new Error(`${sent} frames sent, ${this.#received} received`);
    this.#first = (this.#first + sent) % this.framesPerPass;
  }

  #tell(command: Command): void {
    if (this.#child.connected) this.#child.send(command);
  }
}

/** No answer takes so long. One was never given, once, with all sockets connected: why is not known. */
const LONGEST_ANSWER_MS = 120_000;

async function answer<T extends Answer["type"]>(
  child: ChildProcess,
  type: T,
): Promise<Extract<Answer, { type: T }>> {
  const ended = new AbortController();
  const timer = setTimeout(() => {
    throw new Error(`the publishers: no "${type}" in ${LONGEST_ANSWER_MS / 1000} s`);
  }, LONGEST_ANSWER_MS);
  const [message] = (await Promise.race([
    once(child, "message", { signal: ended.signal }),
    once(child, "exit", { signal: ended.signal }).then(() => [{ type: "exit" }]),
  ]).finally(() => {
    clearTimeout(timer);
    ended.abort();
  })) as [Answer | { type: "exit" }];
  if (message.type !== type) throw new Error(`the publishers: expected "${type}", got "${message.type}"`);
  return message as Extract<Answer, { type: T }>;
}

/** Milliseconds since the batch was sent, by the clock that the machine's processes share. */
export function ageMs({ payload }: Received): number {
  const sentAt = new DataView(payload.buffer, payload.byteOffset).getFloat64(2);
  return Number(process.hrtime.bigint()) / 1e6 - sentAt * 1000;
}
