/**
 * A subscription to engines' events on libzmq: the one file of this room with a clock.
 *
 * One ZeroMQ socket for each endpoint, so that each frame's source and each connection's state are known, and a lost
 * connection concerns one engine. Publisher side: vLLM `kv_events.py`, `ZmqEventPublisher`.
 * @module
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { KvBlockError } from "../errors.js";
import type { KvFrame } from "../types.js";
import { EndpointLine, type SubscriberSocket } from "./endpoint-line.js";
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
import { snapshotOf, type TransportSnapshot } from "./transport.js";
import { loadZeromq, type Zeromq } from "./zeromq.js";

/** An open subscription: iterate it for frames, unless `onFrame` takes them. */
export interface EventSocket extends AsyncIterable<KvFrame>, AsyncDisposable {
  /** Addresses connected to or bound; a port that was left open shows the one taken. */
  readonly endpoints: readonly string[];
  readonly transport: TransportSnapshot;
  /** Ends the iteration and frees the sockets. May be called again. */
  close(): Promise<void>;
}

/** Frames may come without a pause, and libzmq hands over what it has at once: iterated, they let the loop turn this often. */
const SLICE_MS = 2;
const HEARTBEATS_MISSED = 3;
/** What a slow host may take to answer a connection. */
const MIN_ATTEMPT_MS = 1000;

/** A replay takes the engine's publishing thread: after one that failed it is left alone this long, then longer. */
const REPLAY_COOL_DOWN_MS = 10_000;

/**
 * Subscribe to engines' events.
 *
 * Resolves when the sockets are open, which for a connecting one is before the engine answers: see `transport`. An
 * open socket keeps the process alive, and a worker thread must close it before it ends.
 *
 * @throws TypeError or RangeError for an option that is not what it should be, KvBlockError `ERR_KVBLOCK_SUBSCRIBE`
 *   if `zeromq` cannot be loaded or an endpoint not be opened
 */
export async function openEventSocket(options: EventSocketOptions): Promise<EventSocket> {
  const checked = checkEventSocketOptions(options, Date.now);
  checked.signal?.throwIfAborted();
  const zeromq = await loadZeromq();
  if (checked.curve !== null && zeromq.capability.curve !== true)
    throw new KvBlockError("ERR_KVBLOCK_SUBSCRIBE", "this build of zeromq has no CURVE");
  const socket = new ZeromqEventSocket(zeromq, checked);
  try {
    await socket.open();
    checked.signal?.throwIfAborted();
  } catch (error) {
    await socket.close();
    throw error;
  }
  return socket;
}

/** Takes one endpoint's frames in their order. A promise holds its socket back until it settles; it does not reject. */
interface FrameHand {
  take(frame: KvFrame): void | Promise<void>;
}

class ZeromqEventSocket implements EventSocket {
  readonly #zeromq: Zeromq;
  readonly #options: CheckedOptions;
  readonly #lines: EndpointLine[] = [];
  readonly #feeds: RepairingFeed[] = [];
  readonly #queue = new FrameQueue();
  readonly #onAbort = (): void => void this.close();
  /** When the slice of this turn of the loop ends; undefined before it has begun. */
  #sliceEnds: number | undefined;
  #isClosed = false;

  constructor(zeromq: Zeromq, options: CheckedOptions) {
    this.#zeromq = zeromq;
    this.#options = options;
  }

  /** To be followed by `close`, also when it throws. */
  async open(): Promise<void> {
    for (const endpoint of this.#options.endpoints) {
      const socket = newSubscriber(this.#zeromq, endpoint, this.#options);
      const line = new EndpointLine(socket, endpoint, this.#options, () => this.#changed());
      this.#lines.push(line);
      await line.open();
    }
    this.#options.signal?.addEventListener("abort", this.#onAbort, { once: true });
    for (const [i, line] of this.#lines.entries()) {
      const hand = this.#handOf();
      void this.#pump(line, this.#feedOf(line, i, hand) ?? hand);
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

  close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true;
      this.#options.signal?.removeEventListener("abort", this.#onAbort);
      for (const line of this.#lines) line.close();
      this.#queue.end();
      for (const feed of this.#feeds) feed.close();
      this.#options.onTransport?.(this.transport);
    }
    return Promise.resolve();
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
    if (onFrame === undefined) return { take: (frame) => this.#queue.offer(frame) };
    // What waited when this was closed is not wanted.
    const hand = (frame: KvFrame): unknown => (this.#isClosed ? undefined : onFrame(frame));
    return new FrameLine(hand, (error) => this.#fail(error));
  }

  /** The endpoint's feed, if its engine has a replay endpoint. */
  #feedOf(line: EndpointLine, i: number, hand: FrameHand): RepairingFeed | undefined {
    const { replayEndpoints, replayPolicy, replayTimeoutMs, maxFrameBytes, curve, onRepair } = this.#options;
    const { topicFilter, replayTopic, now } = this.#options;
    const endpoint = replayEndpoints?.[i];
    if (endpoint === undefined) return undefined;
    const feed = new RepairingFeed({
      policy: replayPolicy,
      maxHeldBytes: maxFrameBytes,
      coolDownMs: REPLAY_COOL_DOWN_MS,
      now: () => performance.now(),
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

  /** Read one endpoint's messages until closed. */
  async #pump(line: EndpointLine, hand: FrameHand): Promise<void> {
    const isIterated = this.#options.onFrame === undefined;
    try {
      for (;;) {
        const frame = line.read(await line.socket.receive());
        // Nothing is waited for that need not be: each wait is a trip through the queue of microtasks.
        const taken = frame === undefined ? undefined : hand.take(frame);
        if (taken !== undefined) await taken;
        if (isIterated && !this.#hasTime()) await nextTurn();
      }
    } catch (cause) {
      // A pending receive ends so.
      const message = `receiving from ${line.endpoint} failed`;
      this.#fail(new KvBlockError("ERR_KVBLOCK_SUBSCRIBE", message, { cause }));
    }
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
    void this.close();
  }
}

/** @throws KvBlockError `ERR_KVBLOCK_SUBSCRIBE` if libzmq cannot make one (too many sockets or open files) */
function newSubscriber(zeromq: Zeromq, endpoint: string, options: CheckedOptions): SubscriberSocket {
  const { curve } = options;
  const silence = HEARTBEATS_MISSED * options.heartbeatIntervalMs;
  // A host that is away swallows attempts to connect: given up as a connection is, not when the system does (minutes).
  const attempt = Math.max(silence, MIN_ATTEMPT_MS);
  try {
    return new zeromq.Subscriber({
      ...(silence > 0 && { connectTimeout: attempt, handshakeInterval: attempt }),
      linger: 0,
      maxMessageSize: options.maxFrameBytes,
      receiveHighWaterMark: options.receiveHighWaterMark,
      heartbeatInterval: options.heartbeatIntervalMs,
      heartbeatTimeout: silence,
      reconnectInterval: options.reconnectIntervalMs,
      reconnectMaxInterval: options.reconnectMaxIntervalMs,
      // Only where it must be: with it, a name would resolve to its IPv6 address first, where few engines listen.
      ipv6: endpoint.startsWith("tcp://["),
      ...(curve?.role === "server" && { curveServer: true, curveSecretKey: curve.secretKey }),
      ...(curve?.role === "client" && {
        curveServerKey: curve.serverKey,
        curvePublicKey: curve.publicKey,
        curveSecretKey: curve.secretKey,
      }),
    });
  } catch (cause) {
    throw new KvBlockError("ERR_KVBLOCK_SUBSCRIBE", `cannot make a ZeroMQ socket for ${endpoint}`, { cause });
  }
}
