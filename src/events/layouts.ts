/**
 * Events that are laid out as others before them. An engine writes all of its events alike: the same names in the same
 * order, and the same values but for hashes, token ids and extra keys. So what an event consists of is remembered as runs
 * of bytes between those, and where the next one has the same bytes it means the same: names and constant values are
 * compared, four bytes at a time, and not read.
 *
 *     BlockStored, block_hashes ▢ parent_block_hash ▢ token_ids ▢ block_size 16, lora_id nil, … extra_keys ▢ …
 *
 * Where the runs of two layouts part, there are several ways on: a tree. What fits none of them is read field by field.
 * @module
 */
import {
  checkedRemoved,
  checkedStored,
  fillStored,
  REMOVED_FIELDS,
  REMOVED_POSITIONS,
  STORED_FIELDS,
  STORED_POSITIONS,
  takeRemovedField,
  takeStoredField,
} from "./block-events.js";
import { ByteRun } from "./byte-run.js";
import { type Draft, UNREAD } from "./event-drafts.js";
import type { BlockRemoved, BlockStored } from "./event-types.js";
import type { MsgpackCursor } from "./msgpack-cursor.js";
import { BrokenSignal, SkipSignal } from "./signals.js";

/** A run of bytes, and what follows it: a value that is read, or the event's end. */
interface Way {
  readonly run: ByteRun;
  /** Name of the field that the value is of; of one that no version has, "". */
  readonly field: string;
  /** On from that value. */
  readonly next: Way[];
  /** At an event's end: one that ended so. */
  readonly example: BlockStored | BlockRemoved | undefined;
  readonly isStored: boolean;
}

/** Fields whose values are never alike. */
const VARYING: ReadonlySet<string> = new Set([
  ...["block_hashes", "parent_block_hash", "token_ids", "extra_keys", "remaining_copy_counts"],
]);
/** Fields of names that users give: events that have one are not remembered. */
const NAMES: ReadonlySet<string> = new Set(["lora_name", "cache_salt"]);
/** Ways on from one place: tiers, attention groups and kinds make some. */
const MAX_WAYS = 16;
/** Ways of all layouts together, of at most so many bytes each. */
const MAX_ALL = 512;
const MAX_RUN = 512;
/** When there are as many, all are forgotten after so many events that none of them fits. */
const MISSES_TO_FORGET = 65_536;
/** Fields of an event, and values in one of them, that are looked at. */
const MAX_FIELDS = 32;
const MAX_VALUES = 1024;

export class Layouts {
  #ways: Way[] = [];
  #count = 0;
  #misses = 0;

  /** Take an event that is laid out as one before, if it is: else the cursor stays where it is. */
  take(cursor: MsgpackCursor): BlockStored | BlockRemoved | undefined {
    const start = cursor.at;
    const way = wayOn(cursor, this.#ways);
    if (way === undefined) return undefined;
    try {
      const taken = way.isStored ? takeStored(cursor, way) : takeRemoved(cursor, way);
      if (taken !== undefined) return taken;
    } catch (signal) {
      // It is bad, or broken off: told as it is when it is read field by field.
      if (!(signal instanceof SkipSignal || signal instanceof BrokenSignal)) throw signal;
    }
    cursor.at = start;
    return undefined;
  }

  /** An event was read field by field, from `start` to where the cursor is: remember how it is laid out. */
  learn(cursor: MsgpackCursor, start: number, event: BlockStored | BlockRemoved): void {
    if (this.#count >= MAX_ALL && ++this.#misses >= MISSES_TO_FORGET) {
      this.#ways = [];
      this.#count = this.#misses = 0;
    }
    const end = cursor.at;
    this.#learn(cursor, start, end, event);
    cursor.at = end;
  }

  #learn(cursor: MsgpackCursor, start: number, end: number, event: BlockStored | BlockRemoved): void {
    cursor.at = start;
    const elements = cursor.arrayLength();
    const fields = elements >= 0 ? elements : cursor.mapLength();
    const isStored = event.type === "BlockStored";
    const positions = isStored ? STORED_POSITIONS : REMOVED_POSITIONS;
    const known = isStored ? STORED_FIELDS : REMOVED_FIELDS;
    let ways: Way[] | undefined = this.#ways;
    let from = start;
    for (let i = 0; i < Math.min(fields, MAX_FIELDS) && ways !== undefined; i++) {
      const name = elements >= 0 ? (positions[i] ?? "") : cursor.string();
      if (name === undefined || (i === 0 && name !== "type")) return;
      const value = cursor.at;
      const isRead = VARYING.has(name) || !known.has(name);
      if (!isRead && isConstant(cursor, name)) continue;
      if (!isRead || cursor.skip(1, MAX_VALUES) > 0) return;
      const after = cursor.at;
      ways = this.#way(
        ways,
        cursor.copy(from, value),
        known.has(name) ? name : "",
        undefined,
        isStored,
      )?.next;
      from = after;
    }
    if (cursor.at === end && ways !== undefined)
      this.#way(ways, cursor.copy(from, end), "", exampleOf(event), isStored);
  }

  /** The way of these bytes: the one that there is, or a new one; undefined if there is no room. */
  #way(
    ways: Way[],
    bytes: Uint8Array,
    field: string,
    example: Way["example"],
    isStored: boolean,
  ): Way | undefined {
    const run = new ByteRun(bytes);
    const known = ways.find((way) => way.run.equals(run));
    if (known !== undefined) return known;
    if (ways.length >= MAX_WAYS || this.#count >= MAX_ALL || bytes.length > MAX_RUN) return undefined;
    const way: Way = { run, field, next: [], example, isStored };
    ways.push(way);
    this.#count++;
    return way;
  }
}

/** Take a field's value, if there are few that it may have. */
function isConstant(cursor: MsgpackCursor, name: string): boolean {
  return (
    cursor.takeNil() ||
    (!NAMES.has(name) && (cursor.integer() !== undefined || cursor.string() !== undefined))
  );
}

function wayOn(cursor: MsgpackCursor, ways: readonly Way[]): Way | undefined {
  for (let i = 0; i < ways.length; i++) if (cursor.takeRun(ways[i]!.run)) return ways[i];
  return undefined;
}

function takeStored(cursor: MsgpackCursor, first: Way): BlockStored | undefined {
  const event = cursor.room.stored();
  for (let way: Way | undefined = first; way !== undefined; way = wayOn(cursor, way.next)) {
    if (way.example !== undefined) {
      fillStored(event, way.example as BlockStored);
      return checkedStored(event);
    }
    // What is long is left to who reads in steps.
    if (takeStoredField(cursor, way.field, event) !== undefined) return undefined;
  }
  return undefined;
}

function takeRemoved(cursor: MsgpackCursor, first: Way): BlockRemoved | undefined {
  const event = cursor.room.removed();
  for (let way: Way | undefined = first; way !== undefined; way = wayOn(cursor, way.next)) {
    if (way.example !== undefined) {
      event.medium = way.example.medium;
      event.groupIdx = way.example.groupIdx;
      return checkedRemoved(event);
    }
    if (takeRemovedField(cursor, way.field, event) !== undefined) return undefined;
  }
  return undefined;
}

/** What is alike in events of a layout, apart from the event, whose room is used again. */
function exampleOf(event: BlockStored | BlockRemoved): BlockStored | BlockRemoved {
  const example: Draft<BlockStored | BlockRemoved> = { ...event, blockKeys: UNREAD };
  if (example.type === "BlockRemoved") example.remainingCopies = null;
  else {
    example.tokenIds = UNREAD;
    example.parentKey = example.extraKeys = null;
  }
  return example;
}
