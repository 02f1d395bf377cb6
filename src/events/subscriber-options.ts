/**
 * What a subscription to an engine's events is given, checked and with its endpoints spelled out.
 * @module
 */
import {
  checkInteger,
  checkName,
  checkOneOf,
  checkOptions,
  type KvBlockError,
  rangeMistake,
  typeMistake,
} from "../errors.js";
import type { KvFrame } from "../types.js";
import { type CurveClient, type CurveServer, type CurveTexts, checkCurve } from "./curve.js";
import type { Repair, ReplayPolicy } from "./repairing-feed.js";
import type { TransportSnapshot } from "./transport.js";

/** Options of `openEventSocket`. */
export interface EventSocketOptions {
  /** `tcp://host:port`, `ipc://path` or `inproc://name`; several to hear several engines. */
  endpoint: string | readonly string[];
  /** Bind, for engines that connect to us, instead of connecting. Default false. */
  bind?: boolean | undefined;
  /** Hear only topics that start with this. Default `""`: all. */
  topicFilter?: string | undefined;
  /** Data-parallel ranks of each engine: rank r publishes at the endpoint's port + r. TCP connections only. Default 1. */
  dataParallelSize?: number | undefined;
  curve?: CurveClient | CurveServer | undefined;
  /** Largest message; a larger one ends its connection, which is then made anew. Default 64 MiB. */
  maxFrameBytes?: number | undefined;
  /**
   * Messages that libzmq keeps for each engine before it drops new ones. Default 100 000. Plain TCP connections keep none:
   * what there is no time for waits with the system and at the engine, up to the engine's own mark.
   */
  receiveHighWaterMark?: number | undefined;
  /**
   * Interval of ZMTP pings. A connection without an answer for three of them is lost, so a host that went away silently is
   * noticed within four; attempts to connect are given up after three (and a second at least). 0: none. Default 5000.
   */
  heartbeatIntervalMs?: number | undefined;
  /** First wait before connecting again; doubles up to `reconnectMaxIntervalMs`. Default 100. */
  reconnectIntervalMs?: number | undefined;
  /** Default 5000. */
  reconnectMaxIntervalMs?: number | undefined;
  /**
   * The engines' `replay_endpoint`s, as many as endpoints and in their order: asked for what was lost, and at each new
   * connection for what was announced before. Ranks as above.
   * Without it a gap stays a gap, and so does one that the engine does not fill when it is asked.
   */
  replayEndpoint?: string | readonly string[] | undefined;
  /** `full` (default with a replay endpoint): also what was announced before we came; `gap-only`; `off`. */
  replay?: ReplayPolicy | "off" | undefined;
  /**
   * Topic of frames replayed at a new connection where neither the replay (vLLM before v0.26, SGLang) nor an earlier frame
   * says it. Not used with a `topicFilter`. Without it such engines are asked when their first live frame comes.
   */
  replayTopic?: string | undefined;
  /** How long an engine may take for each reply of a replay, in milliseconds. Default 2000. */
  replayTimeoutMs?: number | undefined;
  /** Told when a repair begins and how it ended. */
  onRepair?: ((repair: Repair, endpoint: string) => void) | undefined;
  /** Clock of `KvFrame.receivedAt`: milliseconds since the epoch. Default `Date.now`. */
  now?: (() => number) | undefined;
  /** Told of each message that is no event message, and of each connection ended for breaking the protocol. */
  onRejected?: ((error: KvBlockError, endpoint: string) => void) | undefined;
  /**
   * Given each frame as it is received, in place of the iteration, which then only ends. A promise holds that endpoint's
   * socket back until it settles. Whoever takes frames so lets the event loop turn. What it throws ends the subscription.
   */
  onFrame?: ((frame: KvFrame) => unknown) | undefined;
  /**
   * A frame's payload may be overwritten once `onFrame`, or the promise that it returned, is done: saves a copy of each.
   * Default false: it is the taker's.
   */
  lendsPayloads?: boolean | undefined;
  /** Told when a connection is made or lost. */
  onTransport?: ((transport: TransportSnapshot) => void) | undefined;
  /** Closes the socket when aborted. */
  signal?: AbortSignal | undefined;
}

/** The options with their defaults. */
export interface CheckedOptions {
  readonly endpoints: readonly string[];
  readonly bind: boolean;
  readonly topicFilter: string;
  readonly curve: CurveTexts | null;
  readonly maxFrameBytes: number;
  readonly receiveHighWaterMark: number;
  readonly heartbeatIntervalMs: number;
  /** Without a sign of life for so long, a connection is lost. 0: never. */
  readonly silenceMs: number;
  /** For a connection and its handshake. */
  readonly attemptMs: number;
  readonly reconnectIntervalMs: number;
  readonly reconnectMaxIntervalMs: number;
  /** By endpoint; null: no replay. */
  readonly replayEndpoints: readonly string[] | null;
  readonly replayPolicy: ReplayPolicy;
  readonly replayTimeoutMs: number;
  readonly replayTopic: string | null;
  readonly onRepair: ((repair: Repair, endpoint: string) => void) | undefined;
  readonly now: () => number;
  readonly onRejected: ((error: KvBlockError, endpoint: string) => void) | undefined;
  readonly onFrame: ((frame: KvFrame) => unknown) | undefined;
  readonly lendsPayloads: boolean;
  readonly onTransport: ((transport: TransportSnapshot) => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

const KNOWN: readonly (keyof EventSocketOptions)[] = [
  "endpoint",
  "bind",
  "topicFilter",
  "dataParallelSize",
  "curve",
  "maxFrameBytes",
  "receiveHighWaterMark",
  "heartbeatIntervalMs",
  "reconnectIntervalMs",
  "reconnectMaxIntervalMs",
  "replayEndpoint",
  "replay",
  "replayTimeoutMs",
  "replayTopic",
  "onRepair",
  "now",
  "onRejected",
  "onFrame",
  "lendsPayloads",
  "onTransport",
  "signal",
];

/** Heartbeats without a sign of life after which a connection is lost. */
export const HEARTBEATS_MISSED = 3;
/** What an attempt to connect may take where nothing else is said, as with libzmq. */
const ATTEMPT_MS = 30_000;
/** What a slow host may take to answer a connection. */
const MIN_ATTEMPT_MS = 1000;
const MAX_INT32 = 0x7fffffff;
const MAX_PORT = 65_535;
const MAX_RANKS = 1024;

/** @throws TypeError or RangeError if an option is not what it should be */
export function checkEventSocketOptions(options: EventSocketOptions, clock: () => number): CheckedOptions {
  checkOptions("openEventSocket", options, KNOWN);
  const { bind = false, lendsPayloads = false, topicFilter = "", signal } = options;
  if (typeof bind !== "boolean") throw typeMistake("bind", "boolean", bind);
  if (typeof lendsPayloads !== "boolean") throw typeMistake("lendsPayloads", "boolean", lendsPayloads);
  for (const name of ["topicFilter", "replayTopic"] as const)
    if (typeof (options[name] ?? "") !== "string") throw typeMistake(name, "string", options[name]);
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw typeMistake("signal", "AbortSignal", signal);
  for (const name of ["now", "onRejected", "onFrame", "onTransport", "onRepair"] as const)
    if (options[name] !== undefined && typeof options[name] !== "function")
      throw typeMistake(name, "function", options[name]);
  const milliseconds = (name: keyof EventSocketOptions, fallback: number, min: number): number =>
    checkInteger(name, options[name] ?? fallback, min, MAX_INT32 / 3);
  const heartbeatIntervalMs = milliseconds("heartbeatIntervalMs", 5000, 0);
  const silenceMs = HEARTBEATS_MISSED * heartbeatIntervalMs;
  const reconnectIntervalMs = milliseconds("reconnectIntervalMs", 100, 1);
  const endpoints = expandEndpoints("endpoint", options.endpoint, bind, options.dataParallelSize ?? 1);
  const replay = checkOneOf("replay", options.replay ?? "full", ["full", "gap-only", "off"]);
  return {
    endpoints,
    replayEndpoints: replay === "off" ? null : replayEndpoints(options, endpoints.length),
    replayPolicy: replay === "off" ? "full" : replay,
    replayTimeoutMs: milliseconds("replayTimeoutMs", 2000, 1),
    replayTopic: options.replayTopic ?? null,
    onRepair: options.onRepair,
    onFrame: options.onFrame,
    lendsPayloads: lendsPayloads && options.onFrame !== undefined,
    bind,
    topicFilter,
    curve: options.curve === undefined ? null : checkCurve(options.curve),
    maxFrameBytes: checkInteger("maxFrameBytes", options.maxFrameBytes ?? 64 * 1024 * 1024, 1),
    receiveHighWaterMark: checkInteger(
      "receiveHighWaterMark",
      options.receiveHighWaterMark ?? 100_000,
      1,
      MAX_INT32,
    ),
    heartbeatIntervalMs,
    silenceMs,
    // A host that is away swallows attempts to connect: given up as a connection is, not when the system does (minutes).
    attemptMs: silenceMs > 0 ? Math.max(silenceMs, MIN_ATTEMPT_MS) : ATTEMPT_MS,
    reconnectIntervalMs,
    reconnectMaxIntervalMs: milliseconds(
      "reconnectMaxIntervalMs",
      Math.max(5000, reconnectIntervalMs),
      reconnectIntervalMs,
    ),
    now: options.now ?? clock,
    onRejected: options.onRejected,
    onTransport: options.onTransport,
    signal,
  };
}

function replayEndpoints(options: EventSocketOptions, count: number): readonly string[] | null {
  if (options.replayEndpoint === undefined) return null;
  if (options.bind === true)
    throw rangeMistake(
      "replayEndpoint",
      "none with bind: it is not known whose a connection is",
      options.replayEndpoint,
    );
  const all = expandEndpoints("replayEndpoint", options.replayEndpoint, false, options.dataParallelSize ?? 1);
  if (all.length !== count) throw rangeMistake("replayEndpoint", `as many as endpoints (${count})`, all);
  return all;
}

/** Every address to open: each endpoint, or one for each rank. */
function expandEndpoints(
  name: string,
  endpoint: string | readonly string[],
  bind: boolean,
  dataParallelSize: number,
): readonly string[] {
  const list: readonly unknown[] = Array.isArray(endpoint) ? endpoint : [endpoint];
  if (list.length === 0) throw rangeMistake(name, "at least one endpoint", endpoint);
  checkInteger("dataParallelSize", dataParallelSize, 1, MAX_RANKS);
  if (bind && dataParallelSize > 1)
    throw rangeMistake(
      "dataParallelSize",
      "1 with bind: all ranks connect to one endpoint",
      dataParallelSize,
    );
  const all = list.flatMap((item) => {
    const address = checkName(name, item);
    const tcp = /^tcp:\/\/(.+):(\d+|\*)$/.exec(address);
    if (tcp === null) {
      if (!/^(ipc|inproc):\/\/./.test(address))
        throw rangeMistake(name, '"tcp://host:port", "ipc://path" or "inproc://name"', address);
      if (dataParallelSize > 1)
        throw rangeMistake("dataParallelSize", "1 for an endpoint without a port", dataParallelSize);
      return [address];
    }
    const [, host, portText] = tcp;
    const port = portText === "*" ? 0 : Number(portText);
    if (port > MAX_PORT - dataParallelSize + 1 || (port === 0 && !bind))
      throw rangeMistake(name, `ports 1 … ${MAX_PORT} to connect to`, address);
    if (host === "*" && !bind)
      throw rangeMistake(name, 'the engine\'s host to connect to ("*" is to bind)', address);
    return Array.from({ length: dataParallelSize }, (_, rank) =>
      dataParallelSize === 1 ? address : `tcp://${host}:${port + rank}`,
    );
  });
  const twice = all.find((address, i) => all.indexOf(address) < i && !(bind && /:(0|\*)$/.test(address)));
  if (twice !== undefined) throw rangeMistake(name, "different endpoints", twice);
  return all;
}
