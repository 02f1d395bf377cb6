/**
 * From which sources an engine can be asked for frames that were lost: what the write path tells of a gap depends on it.
 * @module
 */

/** Endpoints come from subscriptions, which end: past this many, the oldest is forgotten. */
const MAX_SOURCES = 4096;

export class ReplayFeeds {
  readonly #asks = new Map<string, boolean>();

  /** Frames of this source come from a socket, with or without a replay endpoint. */
  note(source: string | undefined, asks: boolean): void {
    if (source === undefined || this.#asks.get(source) === asks) return;
    if (this.#asks.size >= MAX_SOURCES) this.#asks.delete(this.#asks.keys().next().value!);
    this.#asks.set(source, asks);
  }

  /** Whether lost frames are asked for there; undefined of frames that come from elsewhere. */
  asks(source: string | undefined): boolean | undefined {
    return source === undefined ? undefined : this.#asks.get(source);
  }
}
