/**
 * An endpoint that is a TCP connection to an engine, made again when it is lost.
 * @module
 */
import { KvBlockError } from "../errors.js";
import { EndpointLine, type FrameHand } from "./endpoint-line.js";
import { type CheckedOptions, HEARTBEATS_MISSED } from "./subscriber-options.js";
import { Connection } from "./zmtp/connection.js";
import { FrameParts } from "./zmtp/frame-parts.js";
import type { PartReader } from "./zmtp/part-reader.js";
import { Breach } from "./zmtp/protocol.js";

/** A host, or an address in brackets. What else libzmq knows, an interface before it, is left to libzmq, and mistakes too. */
const ADDRESS = /^tcp:\/\/(?:\[([\da-f:.]+)\]|([\w.-]+)):(\d+)$/i;

/** Messages that are no frames, between two turns of the event loop. */
const REJECTED_AT_ONCE = 64;

/** Whether our own transport serves it. */
export function isPlainTcp(endpoint: string, { bind, curve }: CheckedOptions): boolean {
  return !bind && curve === null && ADDRESS.test(endpoint);
}

export class TcpLine extends EndpointLine {
  readonly #parts: FrameParts;
  #connection: Connection | undefined;
  #retry: NodeJS.Timeout | undefined;
  /** Connections that did not come about since the last one that did, or broke the protocol since the last frame. */
  #failures = 0;
  #breaches = 0;
  #hand: FrameHand = { take: () => {} };
  #end: (error?: unknown) => void = () => {};

  constructor(endpoint: string, options: CheckedOptions, changed: () => void) {
    super(endpoint, options, changed);
    const { maxFrameBytes, topicFilter, now, lendsPayloads } = options;
    this.#parts = new FrameParts({ maxFrameBytes, topicFilter, now, lendsPayloads, source: endpoint });
  }

  open(): Promise<void> {
    return Promise.resolve();
  }

  run(hand: FrameHand): Promise<void> {
    this.#hand = hand;
    this.#connect();
    return new Promise((resolve, reject) => {
      this.#end = (error) => (error === undefined ? resolve() : reject(error));
    });
  }

  close(): void {
    clearTimeout(this.#retry);
    this.#connection?.close();
    this.transport.closed();
    this.#end();
  }

  #connect(): void {
    const { topicFilter, maxFrameBytes, heartbeatIntervalMs, attemptMs } = this.options;
    const [, address, host, port] = ADDRESS.exec(this.endpoint)!;
    let isUp = false;
    this.#parts.reset();
    this.#connection = new Connection({
      host: address ?? host!,
      port: Number(port),
      topicFilter,
      maxPartBytes: maxFrameBytes,
      attemptMs,
      heartbeatMs: heartbeatIntervalMs,
      pingsMissed: HEARTBEATS_MISSED,
      onHandshake: () => {
        isUp = true;
        this.#failures = 0;
        this.handshaken();
      },
      onPart: (part) => this.#take(part),
      onEnd: (error) => {
        if (error !== undefined && !(error instanceof Breach)) return this.#end(error);
        try {
          this.#ended(isUp, error);
        } catch (thrown) {
          this.#end(thrown); // by a host that was told
        }
      },
    });
  }

  #take(part: PartReader): Promise<void> | undefined {
    let frame: ReturnType<FrameParts["add"]>;
    try {
      frame = this.#parts.add(part);
    } catch (error) {
      if (!(error instanceof KvBlockError)) throw error;
      this.reject(error);
      // One after the other is read without a taker that would end a slice.
      if (this.transport.rejected % REJECTED_AT_ONCE === 0)
        return new Promise((resolve) => setImmediate(resolve));
    }
    if (frame === undefined) return undefined;
    this.transport.received++;
    this.#breaches = 0;
    return this.#hand.take(frame) as Promise<void> | undefined;
  }

  #ended(wasUp: boolean, breach: Breach | undefined): void {
    if (wasUp || breach !== undefined) this.lost();
    // Whoever is told of it may close this.
    if (this.isClosed) return;
    if (breach === undefined) this.#failures++;
    else {
      this.#breaches++;
      const why = `the connection to ${this.endpoint} was ended: ${breach.message}; connecting again`;
      this.reject(new KvBlockError("ERR_KVBLOCK_FRAME", why));
    }
    if (!this.isClosed) this.#retry = setTimeout(() => this.#connect(), this.#wait());
  }

  /** Milliseconds until the next attempt: routers that lost one engine together do not come back in step. */
  #wait(): number {
    const { reconnectIntervalMs, reconnectMaxIntervalMs } = this.options;
    const doublings = Math.max(0, this.#failures - 1, this.#breaches);
    const wait = reconnectIntervalMs * 2 ** Math.min(doublings, 20);
    return Math.min(wait, reconnectMaxIntervalMs) + Math.random() * reconnectIntervalMs;
  }
}
