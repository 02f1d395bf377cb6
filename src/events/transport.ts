/**
 * What a socket knows of its connections: what becomes of them, folded into a state.
 * @module
 */

/**
 * `connecting`: not heard yet. `connected`: ZMTP handshake done. `disconnected`: lost, being tried again.
 * `listening`: bound, with or without peers.
 */
export type EndpointState = "connecting" | "connected" | "disconnected" | "listening" | "closed";

/** A socket's connections at one moment: plain JSON. */
export interface TransportSnapshot {
  /** Connections that are up; on a bound socket, engines connected to it. */
  readonly connected: number;
  readonly endpoints: readonly {
    readonly endpoint: string;
    readonly state: EndpointState;
    /** Connections up at this endpoint. */
    readonly connected: number;
  }[];
  /** Messages received that were frames. */
  readonly received: number;
  /** Messages that were none, and connections ended for breaking the protocol. */
  readonly rejected: number;
  /** Connections made again after a loss. */
  readonly reconnects: number;
}

/** One endpoint's connections. */
export class EndpointTransport {
  state: EndpointState;
  connected = 0;
  received = 0;
  rejected = 0;
  reconnects = 0;
  #everConnected = false;
  #failedHandshakes = 0;
  readonly #isBound: boolean;

  constructor(isBound: boolean) {
    this.#isBound = isBound;
    this.state = isBound ? "listening" : "connecting";
  }

  /** A peer is there and speaks our protocol. */
  handshaken(): void {
    this.connected++;
    if (this.#isBound) return;
    this.state = "connected";
    if (this.#everConnected) this.reconnects++;
    this.#everConnected = true;
  }

  /** A peer was there and does not; its `lost` follows. */
  refused(): void {
    this.#failedHandshakes++;
  }

  /** A peer is gone. */
  lost(): void {
    if (this.state === "closed") return; // told after the fact
    if (this.#failedHandshakes > 0) this.#failedHandshakes--;
    else this.connected = Math.max(0, this.connected - 1);
    if (!this.#isBound) this.state = "disconnected";
  }

  closed(): void {
    this.state = "closed";
    this.connected = 0;
  }
}

/** All endpoints together. */
export function snapshotOf(
  lines: readonly { readonly endpoint: string; readonly transport: EndpointTransport }[],
): TransportSnapshot {
  const sum = (count: (transport: EndpointTransport) => number): number =>
    lines.reduce((total, { transport }) => total + count(transport), 0);
  return {
    connected: sum((transport) => transport.connected),
    endpoints: lines.map(({ endpoint, transport: { state, connected } }) => ({ endpoint, state, connected })),
    received: sum((transport) => transport.received),
    rejected: sum((transport) => transport.rejected),
    reconnects: sum((transport) => transport.reconnects),
  };
}
