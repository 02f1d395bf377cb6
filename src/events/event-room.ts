/**
 * What events are read into.
 * @module
 */
import { type Draft, newRemoved, newStored, UNREAD } from "./event-drafts.js";
import type { BlockRemoved, BlockStored, KvEvent } from "./event-types.js";
import { Layouts } from "./layouts.js";
import { MsgpackCursor } from "./msgpack-cursor.js";
import { WordPool } from "./word-pool.js";

/** Lists of up to so many events are kept, one of each length. */
const KEPT_LIST = 64;
/** Events of each type that are kept for the next batch: more than nearly all have. */
const KEPT = 512;

/** Good for ever; or, between {@link begin} and {@link end}, the same events and lists time after time. */
export class EventRoom {
  readonly words: WordPool;
  /** How the events are laid out that were read. */
  readonly layouts: Layouts = new Layouts();
  #isReused = false;
  readonly #stored: Draft<BlockStored>[] = [];
  readonly #removed: Draft<BlockRemoved>[] = [];
  readonly #lists: KvEvent[][] = [];
  readonly #parents: [hi: number, lo: number][] = [];
  #isListTaken = false;
  #storedTaken = 0;
  #removedTaken = 0;
  #parentsTaken = 0;
  #cursor: MsgpackCursor | undefined;

  /** @param chunkWords - see {@link WordPool} */
  constructor(chunkWords?: number) {
    this.words = new WordPool(chunkWords);
  }

  /** False if that was called already. */
  begin(): boolean {
    if (this.#isReused) return false;
    this.#isReused = this.words.isReused = true;
    return true;
  }

  /** All that was read since {@link begin} is read no more. */
  end(): void {
    this.#isReused = this.words.isReused = false;
    this.#storedTaken = this.#removedTaken = this.#parentsTaken = 0;
    this.#isListTaken = false;
    this.words.reuse();
  }

  /** The room's own cursor, at a payload's beginning: for who reads it in one go, and lets it {@link MsgpackCursor.leave} then. */
  cursor(payload: Uint8Array): MsgpackCursor {
    this.#cursor ??= new MsgpackCursor(this, true);
    return this.#cursor.begin(payload);
  }

  /** A batch's list of so many events, whatever is in it now; undefined if none is kept. */
  list(events: number): KvEvent[] | undefined {
    if (!this.#isReused || this.#isListTaken || events > KEPT_LIST) return undefined;
    this.#isListTaken = true;
    return (this.#lists[events] ??= new Array<KvEvent>(events));
  }

  /** An event without blocks, parent and tokens. Its other fields are to be filled in: they are of another event. */
  stored(): Draft<BlockStored> {
    if (!this.#isReused || this.#storedTaken === KEPT) return newStored();
    const at = this.#storedTaken++;
    if (at === this.#stored.length) this.#stored.push(newStored());
    const event = this.#stored[at]!;
    event.blockKeys = event.tokenIds = UNREAD;
    event.parentKey = event.extraKeys = null;
    return event;
  }

  /** An event without blocks; as {@link stored}. */
  removed(): Draft<BlockRemoved> {
    if (!this.#isReused || this.#removedTaken === KEPT) return newRemoved();
    const at = this.#removedTaken++;
    if (at === this.#removed.length) this.#removed.push(newRemoved());
    const event = this.#removed[at]!;
    event.blockKeys = UNREAD;
    event.remainingCopies = null;
    return event;
  }

  parent(hi: number, lo: number): [hi: number, lo: number] {
    if (!this.#isReused || this.#parentsTaken === KEPT) return [hi, lo];
    const at = this.#parentsTaken++;
    if (at === this.#parents.length) this.#parents.push([hi, lo]);
    const kept = this.#parents[at]!;
    kept[0] = hi;
    kept[1] = lo;
    return kept;
  }
}
