/**
 * A batch's list of events. Those that are short and sound, as nearly all are, are taken without a generator; a bad event
 * costs that event only.
 * @module
 */
import { type EventShape, takeBlockRemoved, takeBlockStored } from "./block-events.js";
import type { Draft } from "./event-drafts.js";
import type { EventBatch, KvEvent, SkippedEvent } from "./event-types.js";
import type { MsgpackCursor } from "./msgpack-cursor.js";
import { BrokenSignal, SkipSignal } from "./signals.js";
import { isDue, passOver, pause, type Rest, rewind } from "./steps.js";

/** Bad events that one batch may list; a one-byte bad event costs a list entry, so the list must end somewhere. */
const MAX_SKIPPED = 65_536;
const MAX_TYPE_NAME = 64;

/** The usual shapes, by length. */
const ARRAYS: readonly EventShape[] = Array.from({ length: 32 }, (_, length) => ({ isMap: false, length }));
const MAPS: readonly EventShape[] = Array.from({ length: 32 }, (_, length) => ({ isMap: true, length }));

const CLEARED: KvEvent = Object.freeze({ type: "AllBlocksCleared" });

/** Take so many events into a batch, up to one that is long or bad: then the rest is left. */
export function takeEvents(cursor: MsgpackCursor, batch: Draft<EventBatch>, count: number): Rest | undefined {
  const index = takeKnownEvents(cursor, batch, count);
  if (index === count) return undefined;
  const progress: Progress = { index, start: cursor.at, count };
  const rest = takePlainEvents(cursor, batch, progress);
  return rest === undefined ? undefined : takeEventsInSteps(cursor, batch, progress, rest);
}

/**
 * Take events as long as they are laid out as others before them, into a list that the next batch of as many uses again.
 * Returns how many.
 */
function takeKnownEvents(cursor: MsgpackCursor, batch: Draft<EventBatch>, count: number): number {
  const { layouts } = cursor.room;
  const list = batch.events.length === 0 ? cursor.room.list(count) : undefined;
  if (list === undefined) return 0;
  for (let index = 0; index < count; index++) {
    const known = layouts.take(cursor);
    if (known === undefined) {
      batch.events = list.slice(0, index);
      return index;
    }
    list[index] = known;
  }
  batch.events = list;
  return count;
}

/** How far a list of events is read. */
interface Progress {
  /** The event that is being read, and its offset. */
  index: number;
  start: number;
  readonly count: number;
}

/** Take events as long as they are short and sound, as nearly all are: gives the rest of the first that is not. */
function takePlainEvents(
  cursor: MsgpackCursor,
  batch: Draft<EventBatch>,
  progress: Progress,
): Rest<KvEvent> | undefined {
  const { events } = batch;
  const { layouts } = cursor.room;
  for (; progress.index < progress.count; progress.index++) {
    progress.start = cursor.at;
    if (isDue(cursor)) return takeAfterPause(cursor);
    const known = layouts.take(cursor);
    if (known !== undefined) {
      events.push(known);
      continue;
    }
    try {
      const taken = takeEvent(cursor);
      if (!("type" in taken)) return taken;
      events.push(taken);
    } catch (signal) {
      return raise(signal);
    }
  }
  return undefined;
}

function* takeAfterPause(cursor: MsgpackCursor): Rest<KvEvent> {
  yield pause(cursor);
  const taken = takeEvent(cursor);
  return "type" in taken ? taken : yield* taken;
}

// biome-ignore lint/correctness/useYield: it ends before its first pause
function* raise(signal: unknown): Rest<never> {
  throw signal;
}

/** Take the events that are left, of any kind. */
function* takeEventsInSteps(
  cursor: MsgpackCursor,
  batch: Draft<EventBatch>,
  progress: Progress,
  first: Rest<KvEvent>,
): Rest {
  for (
    let rest: Rest<KvEvent> | undefined = first;
    rest !== undefined;
    progress.index++, rest = takePlainEvents(cursor, batch, progress)
  ) {
    const { index, start } = progress;
    try {
      batch.events.push(yield* rest);
    } catch (signal) {
      if (!(signal instanceof SkipSignal)) throw signal;
      if (batch.skipped.length === MAX_SKIPPED) throw new BrokenSignal("too-many-skipped", start);
      const { reason, detail } = signal;
      rewind(cursor, start);
      const type = yield* knownTypeAt(cursor);
      rewind(cursor, start);
      yield* passed(cursor, 1);
      batch.skipped.push({ index, type, reason, detail });
    }
  }
}

function* passed(cursor: MsgpackCursor, values: number): Rest {
  const rest = passOver(cursor, values);
  if (rest !== undefined) yield* rest;
}

/** The type of the event that begins here, if it is a known one. */
function* knownTypeAt(cursor: MsgpackCursor): Rest<SkippedEvent["type"]> {
  const shape = shapeOf(cursor);
  const type =
    shape.length < 1 ? undefined : shape.isMap ? yield* findType(cursor, shape.length) : cursor.string();
  return type === "BlockStored" || type === "BlockRemoved" || type === "AllBlocksCleared" ? type : null;
}

export function shapeOf(cursor: MsgpackCursor): EventShape {
  const elements = cursor.arrayLength();
  const length = elements >= 0 ? elements : cursor.mapLength();
  return (elements >= 0 ? ARRAYS : MAPS)[length] ?? { isMap: elements < 0, length };
}

/** Take an event field by field. */
function takeEvent(cursor: MsgpackCursor): KvEvent | Rest<KvEvent> {
  const start = cursor.at;
  const taken = takeShaped(cursor);
  if ("type" in taken && taken.type !== "AllBlocksCleared") cursor.room.layouts.learn(cursor, start, taken);
  return taken;
}

function takeShaped(cursor: MsgpackCursor): KvEvent | Rest<KvEvent> {
  const shape = shapeOf(cursor);
  if (shape.length < 1) throw new SkipSignal("not-an-event", "expected an array or a map with a type");
  if (!shape.isMap) return takeTyped(cursor, shape, cursor.string());
  const start = cursor.at;
  // Engines write it first.
  const type = cursor.string() === "type" ? cursor.string() : undefined;
  cursor.at = start;
  return type === undefined ? takeUnordered(cursor, shape) : takeTyped(cursor, shape, type);
}

function* takeUnordered(cursor: MsgpackCursor, shape: EventShape): Rest<KvEvent> {
  const taken = takeTyped(cursor, shape, yield* findType(cursor, shape.length));
  return "type" in taken ? taken : yield* taken;
}

function takeTyped(
  cursor: MsgpackCursor,
  shape: EventShape,
  type: string | undefined,
): KvEvent | Rest<KvEvent> {
  if (type === undefined) throw new SkipSignal("not-an-event", "expected a type name");
  if (type === "BlockStored") return takeBlockStored(cursor, shape);
  if (type === "BlockRemoved") return takeBlockRemoved(cursor, shape);
  if (type !== "AllBlocksCleared") throw new SkipSignal("unknown-type", type.slice(0, MAX_TYPE_NAME));
  const rest = passOver(cursor, shape.isMap ? 2 * shape.length : shape.length - 1);
  return rest === undefined ? CLEARED : cleared(rest);
}

function* cleared(rest: Rest): Rest<KvEvent> {
  yield* rest;
  return CLEARED;
}

/** The value of a map's `type`, wherever it stands; the cursor stays on the first entry. */
function* findType(cursor: MsgpackCursor, entries: number): Rest<string | undefined> {
  const start = cursor.at;
  let type: string | undefined;
  for (let i = 0; i < entries && type === undefined; i++) {
    if (isDue(cursor)) yield pause(cursor);
    const name = cursor.string();
    if (name === undefined) yield* passed(cursor, 1);
    if (name === "type") {
      type = cursor.string();
      if (type === undefined) break;
    } else yield* passed(cursor, 1);
  }
  rewind(cursor, start);
  return type;
}
