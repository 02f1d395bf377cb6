/**
 * Room for one decoded batch after the other: its events and their lists of numbers are used again for the next, so that
 * a steady stream leaves next to nothing to collect.
 * @module
 */
import { type Draft, newRemoved, newStored, UNREAD } from "./event-drafts.js";
import type { BlockRemoved, BlockStored } from "./event-types.js";
import { Layouts } from "./layouts.js";
import { MsgpackCursor } from "./msgpack-cursor.js";
import { WordPool } from "./word-pool.js";

/** Events of each type that are kept for the next batch: more than nearly all have. */
const KEPT = 512;

export class BatchPool {
  readonly words: WordPool;
  /** How the events were laid out that were decoded with it. */
  readonly layouts: Layouts = new Layouts();
  #isLent = false;
  readonly #stored: Draft<BlockStored>[] = [];
  readonly #removed: Draft<BlockRemoved>[] = [];
  readonly #parents: [hi: number, lo: number][] = [];
  #storedTaken = 0;
  #removedTaken = 0;
  #parentsTaken = 0;
  #cursor: MsgpackCursor | undefined;

  /** @param chunkWords - keys and token ids of a batch, in 32-bit words, that it has room for without asking for more */
  constructor(chunkWords?: number) {
    this.words = new WordPool(chunkWords);
  }

  /**
   * Lend it to `use`, after which all that was decoded with it is read no more and its room is used again. Lent already,
   * since what reads it called this in between, it lends nothing.
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
    if (this.#isLent) return false;
    this.#isLent = this.words.isReused = true;
    return true;
  }

  end(): void {
    this.#isLent = this.words.isReused = false;
    this.#storedTaken = this.#removedTaken = this.#parentsTaken = 0;
    this.words.reuse();
  }

  /** A cursor at a payload's beginning. */
  cursor(payload: Uint8Array, stepBytes: number): MsgpackCursor {
    if (!this.#isLent) return new MsgpackCursor(this).begin(payload, stepBytes);
    this.#cursor ??= new MsgpackCursor(this, true);
    return this.#cursor.begin(payload, stepBytes);
  }

  /** An event without blocks, parent and tokens. Its other fields are to be filled in: they are of another event. */
  stored(): Draft<BlockStored> {
    if (!this.#isLent || this.#storedTaken === KEPT) return newStored();
    const at = this.#storedTaken++;
    if (at === this.#stored.length) this.#stored.push(newStored());
    const event = this.#stored[at]!;
    event.blockKeys = event.tokenIds = UNREAD;
    event.parentKey = event.extraKeys = null;
    return event;
  }

  /** An event without blocks; as {@link stored}. */
  removed(): Draft<BlockRemoved> {
    if (!this.#isLent || this.#removedTaken === KEPT) return newRemoved();
    const at = this.#removedTaken++;
    if (at === this.#removed.length) this.#removed.push(newRemoved());
    const event = this.#removed[at]!;
    event.blockKeys = UNREAD;
    event.remainingCopies = null;
    return event;
  }

  parent(hi: number, lo: number): [hi: number, lo: number] {
    if (!this.#isLent || this.#parentsTaken === KEPT) return [hi, lo];
    const at = this.#parentsTaken++;
    if (at === this.#parents.length) this.#parents.push([hi, lo]);
    const kept = this.#parents[at]!;
    kept[0] = hi;
    kept[1] = lo;
    return kept;
  }
}

/** For those who keep what they read. */
export const forGood: BatchPool = new BatchPool();
