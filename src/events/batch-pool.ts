/**
 * Room for one decoded batch after the other: its events and their lists of numbers are used again for the next, so that
 * a steady stream leaves next to nothing to collect.
 * @module
 */
import { EventRoom } from "./event-room.js";

let innerOf: (pool: BatchPool) => EventRoom;

export class BatchPool {
  readonly #room: EventRoom;

  static {
    innerOf = (pool) => pool.#room;
  }

  /** @param words - of 32 bits, that long lists of keys and token ids are cut from: one of more than half has an array of its own */
  constructor(words?: number) {
    this.#room = new EventRoom(words);
  }

  /**
   * Lend it to `use`, after which all that was decoded with it is read no more and its room is used again. Lent already,
   * since what reads them called this in between, it lends nothing.
   */
  lend<T>(use: (pool: BatchPool | undefined) => T): T {
    const isLent = this.begin();
    try {
      return use(isLent ? this : undefined);
    } finally {
      if (isLent) this.end();
    }
  }

  /** As {@link lend}, without a function: false if it is lent already; else {@link end} must be called. */
  begin(): boolean {
    return this.#room.begin();
  }

  end(): void {
    this.#room.end();
  }
}

/** For those who keep what they read. */
const forGood = new EventRoom();

/** What is inside a pool; without one, room that is good for ever. */
export function roomOf(pool: BatchPool | undefined): EventRoom {
  return pool === undefined ? forGood : innerOf(pool);
}
