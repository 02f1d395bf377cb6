/**
 * An endpoint that libzmq serves: bound, encrypted, or not of TCP.
 *
 * The socket is libzmq's as far as used here, so that this file needs no package.
 * @module
 */
import { KvBlockError } from "../errors.js";
import type { KvFrame } from "../types.js";
import { EndpointLine, type FrameHand } from "./endpoint-line.js";
import { oversized, parseFrame } from "./frame.js";
import type { CheckedOptions } from "./subscriber-options.js";

/** libzmq tells of its own reconnecting at once; silence for this long after a loss means that it gave up. */
const GIVEN_UP_MS = 250;

type MonitorEvent =
  | "connect"
  | "connect:delay"
  | "connect:retry"
  | "handshake"
  | "handshake:error:protocol"
  | "handshake:error:auth"
  | "handshake:error:other"
  | "disconnect";

/** A ZeroMQ SUB socket. */
export interface SubscriberSocket {
  readonly lastEndpoint: string | null;
  readonly events: { on(type: MonitorEvent, listener: () => void): unknown };
  subscribe(prefix: string): void;
  connect(endpoint: string): void;
  disconnect(endpoint: string): void;
  bind(endpoint: string): Promise<void>;
  receive(): Promise<readonly Uint8Array[]>;
  close(): void;
}

export class ZeromqLine extends EndpointLine {
  readonly #socket: SubscriberSocket;
  #givenUp: NodeJS.Timeout | undefined;
  #revivals = 0;

  constructor(socket: SubscriberSocket, endpoint: string, options: CheckedOptions, changed: () => void) {
    super(endpoint, options, changed);
    this.#socket = socket;
  }

  async open(): Promise<void> {
    const { bind, topicFilter } = this.options;
    this.#watch();
    try {
      this.#socket.subscribe(topicFilter);
      if (!bind) this.#socket.connect(this.endpoint);
      else {
        await this.#socket.bind(this.endpoint);
        this.endpoint = this.#socket.lastEndpoint ?? this.endpoint;
      }
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      const message = `cannot ${bind ? "bind" : "connect to"} ${this.endpoint}: ${why}`;
      throw new KvBlockError("ERR_KVBLOCK_SUBSCRIBE", message, { cause });
    }
    // Within one process there is no connection to lose, and libzmq reports none.
    if (!bind && this.endpoint.startsWith("inproc:")) this.transport.handshaken();
  }

  async run(hand: FrameHand): Promise<void> {
    try {
      for (;;) {
        const frame = this.#read(await this.#socket.receive());
        // Nothing is waited for that need not be: each wait is a trip through the queue of microtasks.
        const taken = frame === undefined ? undefined : hand.take(frame);
        if (taken !== undefined) await taken;
      }
    } catch (cause) {
      // A pending receive ends so.
      if (this.isClosed) return;
      throw new KvBlockError("ERR_KVBLOCK_SUBSCRIBE", `receiving from ${this.endpoint} failed`, { cause });
    }
  }

  /** A message's frame; undefined, and counted, if it is none. */
  #read(parts: readonly Uint8Array[]): KvFrame | undefined {
    try {
      const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
      if (bytes > this.options.maxFrameBytes) throw oversized(bytes, this.options.maxFrameBytes);
      const frame = parseFrame(parts, this.options.now(), this.endpoint);
      this.transport.received++;
      this.#revivals = 0;
      return frame;
    } catch (error) {
      if (!(error instanceof KvBlockError)) throw error;
      this.reject(error);
      return undefined;
    }
  }

  close(): void {
    clearTimeout(this.#givenUp);
    this.#socket.close();
    this.transport.closed();
  }

  #watch(): void {
    const { events } = this.#socket;
    const alive = (): void => clearTimeout(this.#givenUp);
    for (const type of ["connect", "connect:delay", "connect:retry"] as const) events.on(type, alive);
    events.on("handshake", () => this.handshaken());
    for (const kind of ["protocol", "auth", "other"] as const)
      events.on(`handshake:error:${kind}`, () => this.transport.refused());
    events.on("disconnect", () => {
      this.lost();
      if (!this.options.bind) this.#expectRetry();
    });
  }

  /**
   * After a breach of the protocol (a message over the limit, a peer that is no publisher or wants other security)
   * libzmq 4.3 ends a connection for ever. Engines come back, so connect anew, at growing intervals.
   */
  #expectRetry(): void {
    clearTimeout(this.#givenUp);
    if (this.isClosed) return;
    const wait = Math.min(
      GIVEN_UP_MS * 2 ** this.#revivals,
      Math.max(GIVEN_UP_MS, this.options.reconnectMaxIntervalMs),
    );
    this.#givenUp = setTimeout(() => {
      this.#revivals++;
      this.reject(
        new KvBlockError(
          "ERR_KVBLOCK_FRAME",
          `the connection to ${this.endpoint} was ended: a message over maxFrameBytes (${this.options.maxFrameBytes}), ` +
            "or a peer that is no ZeroMQ publisher or has other CURVE settings; connecting again",
        ),
      );
      try {
        this.#socket.disconnect(this.endpoint);
      } catch {
        // libzmq has forgotten the endpoint along with its connection
      }
      try {
        this.#socket.connect(this.endpoint);
      } catch {
        this.#expectRetry();
      }
    }, wait).unref();
  }
}
