/**
 * One endpoint of a subscription: its socket, and what becomes of its connections. There are two transports: our own for
 * plain TCP connections to engines, and libzmq for the rest (docs/design.md, "Two transports").
 * @module
 */
import type { KvBlockError } from "../errors.js";
import type { KvFrame } from "../types.js";
import type { CheckedOptions } from "./subscriber-options.js";
import { EndpointTransport } from "./transport.js";

/** Takes one endpoint's frames in their order. A promise holds its socket back until it settles; it does not reject. */
export interface FrameHand {
  take(frame: KvFrame): void | Promise<void>;
}

export abstract class EndpointLine {
  readonly transport: EndpointTransport;
  /** Told of each connection that is made. */
  onConnected: (() => void) | undefined;
  protected readonly options: CheckedOptions;
  /** To be told of each connection made or lost. */
  readonly #changed: () => void;
  #endpoint: string;

  constructor(endpoint: string, options: CheckedOptions, changed: () => void) {
    this.#endpoint = endpoint;
    this.options = options;
    this.#changed = changed;
    this.transport = new EndpointTransport(options.bind);
  }

  /** What was asked for; once it is bound, with the port that was taken. */
  get endpoint(): string {
    return this.#endpoint;
  }

  protected set endpoint(endpoint: string) {
    this.#endpoint = endpoint;
  }

  protected get isClosed(): boolean {
    return this.transport.state === "closed";
  }

  /** @throws KvBlockError `ERR_KVBLOCK_SUBSCRIBE` if it cannot be opened */
  abstract open(): Promise<void>;

  /** Read frames until closed. @throws what ended it before */
  abstract run(hand: FrameHand): Promise<void>;

  abstract close(): void;

  /** A connection is made: a peer is there and speaks our protocol. */
  protected handshaken(): void {
    this.transport.handshaken();
    this.#changed();
    this.onConnected?.();
  }

  protected lost(): void {
    this.transport.lost();
    this.#changed();
  }

  protected reject(error: KvBlockError): void {
    this.transport.rejected++;
    this.options.onRejected?.(error, this.endpoint);
  }
}
