/**
 * A live feed of an indexer: a socket's or any other source's frames, applied as they come.
 * @module
 */
import { checkName, checkOptions, typeMistake } from "./errors.js";
import {
  type EventSocket,
  type EventSocketOptions,
  openEventSocket,
  type Repair,
  type TransportSnapshot,
} from "./events/index.js";
import { Heard } from "./heard.js";
import { ingest, inSlices } from "./ingest.js";
import type { Publisher } from "./publisher-state.js";
import type { Turns } from "./turns.js";
import type { KvFrame } from "./types.js";

/** What to follow: a socket, with the options of `openEventSocket`, or a source of frames. */
export interface SubscribeOptions
  extends Partial<
    Omit<
      EventSocketOptions,
      | "now"
      | "onRejected"
      | "onFrame"
      | "onTransport"
      | "onRepair"
      | "replayTopic"
      | "lendsPayloads"
      | "signal"
    >
  > {
  /** Frames from elsewhere (a recording, another process) instead of a socket. */
  source?: AsyncIterable<KvFrame> | undefined;
  /** The pod that the frames are of, whatever their topic says; a frame's own `pod` goes over it. */
  pod?: string | undefined;
  /** The model that the frames are of, whatever their topic says; a frame's own `model` goes over it. */
  model?: string | undefined;
  /**
   * Called with each frame before it is applied: to record it, or to hand it to other processes. What it throws ends the
   * subscription: `ended` rejects with it, and `subscription-failed` is told.
   */
  onFrame?: ((frame: KvFrame) => void) | undefined;
  /**
   * Payloads that `onFrame` is given may be overwritten once it returns: saves a copy of each. Default false; nobody has a copy
   * where there is no `onFrame`.
   */
  lendsPayloads?: boolean | undefined;
  /** Closes the subscription when aborted. */
  signal?: AbortSignal | undefined;
}

export interface Subscription extends AsyncDisposable {
  /** What the socket is connected or bound to; empty for a source. */
  readonly endpoints: readonly string[];
  /** The socket's state now; null for a source. */
  readonly transport: TransportSnapshot | null;
  /** Settles when the subscription has ended: closed, its source at its end, or failed (then it rejects). */
  readonly ended: Promise<void>;
  close(): Promise<void>;
}

export interface SubscriptionHost {
  /** Whose frame it was; a promise for a large one, that settles when it is applied. */
  apply(frame: KvFrame): Publisher | undefined | Promise<Publisher | undefined>;
  readonly clock: () => number;
  readonly turns: Turns;
  /** A malformed message was dropped before it was a frame. */
  onRejected(error: Error, source: string): void;
  /** An engine was asked for what was lost: how that ended. */
  onRepaired(repair: Repair, endpoint: string): void;
  onFailed(error: unknown, endpoints: readonly string[]): void;
}

const OWN_OPTIONS = ["source", "pod", "model", "onFrame", "lendsPayloads", "signal"];
const SOCKET_OPTIONS = [
  "endpoint",
  "bind",
  "topicFilter",
  "dataParallelSize",
  "replayEndpoint",
  "replay",
  "replayTimeoutMs",
  "curve",
  "maxFrameBytes",
  "receiveHighWaterMark",
  "heartbeatIntervalMs",
  "reconnectIntervalMs",
  "reconnectMaxIntervalMs",
];

/**
 * @throws TypeError or RangeError for a mistake in the options
 * @throws KvBlockError `ERR_KVBLOCK_SUBSCRIBE` if the socket cannot be opened, or needs zeromq and that is missing
 */
export async function openSubscription(
  options: SubscribeOptions,
  host: SubscriptionHost,
): Promise<Subscription> {
  checkOptions("subscribe", options, [...OWN_OPTIONS, ...SOCKET_OPTIONS]);
  const { source, pod, model, onFrame, lendsPayloads, signal, ...socketOptions } = options;
  if (pod !== undefined) checkName("pod", pod);
  if (model !== undefined) checkName("model", model);
  if ((source === undefined) === (options.endpoint === undefined))
    throw typeMistake(
      "subscribe",
      'either "endpoint" or "source"',
      source === undefined ? "neither" : "both",
    );
  if (source !== undefined && typeof source?.[Symbol.asyncIterator] !== "function")
    throw typeMistake("source", "an async iterable of frames", source);
  if (onFrame !== undefined && typeof onFrame !== "function")
    throw typeMistake("onFrame", "function", onFrame);
  signal?.throwIfAborted();

  const heard = new Heard();
  const stop = new AbortController();
  /** Large frames that are being applied. */
  const underWay = new Set<Promise<void>>();
  const apply = (frame: KvFrame): void | Promise<void> => {
    // One was on its way when this was closed.
    if (stop.signal.aborted) return;
    if (pod !== undefined || model !== undefined) {
      // A source's frames are not ours to change.
      if (source !== undefined) frame = { ...frame };
      frame.pod ??= pod;
      frame.model ??= model;
    }
    onFrame?.(frame);
    const note = (publisher: Publisher | undefined): void => {
      if (publisher !== undefined) heard.note(publisher, frame.source);
    };
    const applied = host.apply(frame);
    if (!(applied instanceof Promise)) return note(applied);
    const done = applied.then(note).finally(() => underWay.delete(done));
    underWay.add(done);
    return done;
  };
  let socket: EventSocket | undefined;
  if (source === undefined) {
    socket = await openEventSocket({
      ...(socketOptions as EventSocketOptions),
      now: host.clock,
      // Frames that are said to be of this pod and model need no topic.
      replayTopic: pod !== undefined && model !== undefined ? "" : undefined,
      onRejected: host.onRejected,
      onFrame: inSlices(apply, host.turns, stop.signal),
      // What is applied keeps nothing of it; a host's own taker may.
      lendsPayloads: lendsPayloads ?? onFrame === undefined,
      onTransport: ({ endpoints }) => {
        for (const { endpoint, connected } of endpoints)
          if (connected === 0) heard.setUnreachable(endpoint);
          else heard.setConnected(endpoint);
      },
      onRepair: (repair, endpoint) => {
        heard.setRepairing(endpoint, repair.state === "asking");
        if (repair.state !== "asking") host.onRepaired(repair, endpoint);
      },
    });
  }

  const run =
    socket === undefined ? ingest(source!, apply, host.turns, stop.signal) : endOf(socket, underWay);
  const ended = run.catch(async (error: unknown) => {
    if (stop.signal.aborted) return;
    host.onFailed(error, socket?.endpoints ?? []);
    // Nobody reads the socket any more: left open it would keep the process alive.
    await socket?.close();
    heard.setAllUnreachable();
    throw error;
  });
  // A failure is told by onFailed; who wants it as a rejection awaits `ended`.
  ended.catch(() => {});

  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= (async () => {
      stop.abort();
      signal?.removeEventListener("abort", close);
      await socket?.close();
      heard.setAllUnreachable();
      await ended.catch(() => {});
    })();
    return closing;
  };
  signal?.addEventListener("abort", close, { once: true });
  // A host's signal outlives the subscriptions that end by themselves.
  const forgetSignal = (): void => signal?.removeEventListener("abort", close);
  ended.then(forgetSignal, forgetSignal);
  if (signal?.aborted) await close();
  return {
    endpoints: socket?.endpoints ?? [],
    get transport() {
      return socket?.transport ?? null;
    },
    ended,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Until the socket has ended, and what it gave is applied. @throws why it ended, if it was not closed */
async function endOf(socket: EventSocket, underWay: ReadonlySet<Promise<void>>): Promise<void> {
  try {
    await socket[Symbol.asyncIterator]().next();
  } finally {
    await Promise.allSettled(underWay);
  }
}
