/**
 * Whose frames came from which endpoint: what a subscription learns of the endpoint concerns them.
 * @module
 */
import type { Publisher } from "./publisher-state.js";

export class Heard {
  readonly #byEndpoint = new Map<string, Set<Publisher>>();
  /** Endpoints whose engine is being asked for what was lost. */
  readonly #repairing = new Set<string>();
  /** Endpoints without a connection. */
  readonly #down = new Set<string>();

  note(publisher: Publisher, endpoint = ""): void {
    // A frame that had come before its connection was lost says nothing of the engine now.
    if (this.#down.size > 0 && this.#down.has(endpoint)) publisher.unreachable = true;
    const publishers = this.#byEndpoint.get(endpoint);
    if (publishers?.has(publisher)) return;
    publisher.repairing = this.#repairing.has(endpoint);
    if (publishers === undefined) {
      this.#byEndpoint.set(endpoint, new Set([publisher]));
      return;
    }
    publishers.add(publisher);
    // Each time the number has doubled: pods come and go, and a subscription outlives them.
    if (Number.isInteger(Math.log2(publishers.size)))
      for (const other of publishers) if (other.removed) publishers.delete(other);
  }

  setRepairing(endpoint: string, repairing: boolean): void {
    if (repairing) this.#repairing.add(endpoint);
    else this.#repairing.delete(endpoint);
    for (const publisher of this.#byEndpoint.get(endpoint) ?? []) publisher.repairing = repairing;
  }

  /** Until the next frame of a new connection. */
  setUnreachable(endpoint: string): void {
    this.#down.add(endpoint);
    for (const publisher of this.#byEndpoint.get(endpoint) ?? []) publisher.unreachable = true;
  }

  /** There is a connection. It says neither whose it is nor what was missed: the next frame does. */
  setConnected(endpoint: string): void {
    this.#down.delete(endpoint);
  }

  setAllUnreachable(): void {
    for (const endpoint of this.#byEndpoint.keys()) this.setUnreachable(endpoint);
  }
}
