/**
 * A subscription to engines' events: the one file of this room with a clock.
 *
 * One socket for each endpoint, so that each frame's source and each connection's state are known, and a lost
 * connection concerns one engine. Publisher side: vLLM `kv_events.py`, `ZmqEventPublisher`.
 * @module
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { KvFrame } from "../types.js";
import type { EndpointLine, FrameHand } from "./endpoint-line.js";
import { FrameLine } from "./frame-line.js";
import { FrameQueue } from "./frame-queue.js";
import { RepairingFeed } from "./repairing-feed.js";
import { requestReplay } from "./replay-client.js";
import { inReplayTurn } from "./replay-turns.js";
import {
  type CheckedOptions,
  checkEventSocketOptions,
  type EventSocketOptions,
} from "./subscriber-options.js";
import { isPlainTcp, TcpLine } from "./tcp-line.js";
import { snapshotOf, type TransportSnapshot } from "./transport.js";
import { newSubscriber } from "./zeromq.js";
import { ZeromqLine } from "./zeromq-line.js";

/** An open subscription: iterate it for frames, unless `onFrame` takes them. */
export interface EventSocket extends AsyncIterable<KvFrame>, AsyncDisposable {
  /** Addresses connected to or bound; a port that was left open shows the one taken. */
  readonly endpoints: readonly string[];
  readonly transport: TransportSnapshot;
  /** Ends the iteration and frees the sockets. May be called again. */
  close(): Promise<void>;
}

/** Frames may come without a pause, many of them at once: iterated, they let the loop turn this often. */
const SLICE_MS = 2;

/** A replay takes the engine's publishing thread: after one that failed it is left alone this long, then longer. */
const REPLAY_COOL_DOWN_MS = 10_000;

/**
 * Subscribe to engines' events.
 *
 * Resolves when the sockets are open, which for a connecting one is before the engine answers: see `transport`. An
 * open socket keeps the process alive. A worker thread must close one that libzmq serves before it ends: see
 * docs/design.md, "Two transports".
 *
 * @throws TypeError or RangeError for an option that is not what it should be, KvBlockError `ERR_KVBLOCK_SUBSCRIBE`
 *   if an endpoint cannot be opened, or needs `zeromq` and that cannot be loaded
 */
export async function openEventSocket(options: EventSocketOptions): Promise<EventSocket> {
  const checked = checkEventSocketOptions(options, Date.now);
  checked.signal?.throwIfAborted();
  const socket = new EndpointSockets(checked);
  try {
    await socket.open();
    checked.signal?.throwIfAborted();
  } catch (error) {
    await socket.close();
    throw error;
  }
  return socket;
}

class EndpointSockets implements EventSocket {
  readonly #options: CheckedOptions;
  readonly #lines: EndpointLine[] = [];
  readonly #feeds: RepairingFeed[] = [];
  readonly #queue = new FrameQueue();
  readonly #onAbort = (): void => void this.close();
  /** When the slice of this turn of the loop ends; undefined before it has begun. */
  #sliceEnds: number | undefined;
  #isClosed = false;

  constructor(options: CheckedOptions) {
    this.#options = options;
  }

  /** To be followed by `close`, also when it throws. */
  async open(): Promise<void> {
    const changed = (): void => this.#changed();
    for (const endpoint of this.#options.endpoints) {
      const line = isPlainTcp(endpoint, this.#options)
        ? new TcpLine(endpoint, this.#options, changed)
        : new ZeromqLine(await newSubscriber(endpoint, this.#options), endpoint, this.#options, changed);
      this.#lines.push(line);
      await line.open();
    }
    this.#options.signal?.addEventListener("abort", this.#onAbort, { once: true });
    for (const [i, line] of this.#lines.entries()) {
      const hand = this.#handOf();
      line.run(this.#feedOf(line, i, hand) ?? hand).catch((error: unknown) => this.#fail(error));
    }
  }

  get endpoints(): readonly string[] {
    return this.#lines.map(({ endpoint }) => endpoint);
  }

  get transport(): TransportSnapshot {
    return snapshotOf(this.#lines);
  }

  [Symbol.asyncIterator](): AsyncIterator<KvFrame, undefined> {
    return { next: () => this.#queue.take() };
  }

  async close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true;
      this.#options.signal?.removeEventListener("abort", this.#onAbort);
      for (const line of this.#lines) line.close();
      this.#queue.end();
      for (const feed of this.#feeds) feed.close();
      this.#options.onTransport?.(this.transport);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #changed(): void {
    if (!this.#isClosed) this.#options.onTransport?.(this.transport);
  }

  /** Where an endpoint's frames go. */
  #handOf(): FrameHand {
    const { onFrame } = this.#options;
    if (onFrame === undefined) return { take: (frame) => this.#offer(frame) };
    // What waited when this was closed is not wanted.
    const hand = (frame: KvFrame): unknown => (this.#isClosed ? undefined : onFrame(frame));
    return new FrameLine(hand, (error) => this.#fail(error));
  }

  /** The endpoint's feed, if its engine has a replay endpoint. */
  #feedOf(line: EndpointLine, i: number, hand: FrameHand): RepairingFeed | undefined {
    const { replayEndpoints, replayPolicy, replayTimeoutMs, maxFrameBytes, curve, onRepair } = this.#options;
    const { topicFilter, replayTopic, now, lendsPayloads } = this.#options;
    const endpoint = replayEndpoints?.[i];
    if (endpoint === undefined) return undefined;
    const feed = new RepairingFeed({
      policy: replayPolicy,
      maxHeldBytes: maxFrameBytes,
      coolDownMs: REPLAY_COOL_DOWN_MS,
      now: () => performance.now(),
      lendsPayloads,
      blank: (said) => {
        const topic = said ?? (topicFilter === "" ? replayTopic : null);
        // A replay knows no filter.
        if (topic === null || !topic.startsWith(topicFilter)) return undefined;
        return { topic, receivedAt: now(), source: line.endpoint };
      },
      replay: (start, until, onBatch, signal) =>
        inReplayTurn(signal, (answered) => {
          const silenceMs = replayTimeoutMs;
          const request = { endpoint, start, until, silenceMs, maxFrameBytes, curve, signal };
          return requestReplay(request, (batch) => {
            answered();
            return onBatch(batch);
          });
        }),
      later: (ms, run) => {
        const timer = setTimeout(run, ms).unref();
        return () => clearTimeout(timer);
      },
      emit: (frame) => hand.take(frame),
      onRepair: (repair) => onRepair?.(repair, line.endpoint),
    });
    this.#feeds.push(feed);
    line.onConnected = () => feed.connected();
    if (line.transport.connected > 0) feed.connected();
    return feed;
  }

  /** To the iteration, which lets the loop turn. */
  async #offer(frame: KvFrame): Promise<void> {
    await this.#queue.offer(frame);
    if (!this.#hasTime()) await nextTurn();
  }

  #hasTime(): boolean {
    if (this.#sliceEnds !== undefined) return performance.now() < this.#sliceEnds;
    this.#sliceEnds = performance.now() + SLICE_MS;
    setImmediate(() => {
      this.#sliceEnds = undefined;
    });
    return true;
  }

  #fail(error: unknown): void {
    if (this.#isClosed) return;
    this.#queue.end({ error });
    // A host that throws when it is told has been told why already.
    this.close().catch(() => {});
  }
}
