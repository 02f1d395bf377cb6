/**
 * One payload → one event batch. A batch is an array `[ts, events, data_parallel_rank]`, of two elements in vLLM's
 * first version, or a map of the same names. A bad event costs that event only.
 * @module
 */
import { typeMistake } from "../errors.js";
import { type EventShape, takeBlockRemoved, takeBlockStored, takeFields } from "./block-events.js";
import type { BatchFailure, EventBatch, KvEvent, SkippedEvent } from "./event-types.js";
import { MsgpackCursor } from "./msgpack-cursor.js";
import { BrokenSignal, SkipSignal } from "./signals.js";
import { isDue, passOver, pause, type Rest, rewind } from "./steps.js";
import type { WordPool } from "./word-pool.js";

/** Bad events that one batch may list; a one-byte bad event costs a list entry, so the list must end somewhere. */
const MAX_SKIPPED = 65_536;
const MAX_TYPE_NAME = 64;

const CLEARED: KvEvent = Object.freeze({ type: "AllBlocksCleared" });

/** What a batch has before its list of events is read: told by identity. */
const UNREAD: KvEvent[] = [];

/** An {@link EventBatch} while it is read. */
interface Draft {
  ts: number;
  dataParallelRank: number | null;
  events: KvEvent[];
  skipped: SkippedEvent[];
  failed: BatchFailure | null;
}

/**
 * Decode one message's payload.
 *
 * Never throws on bytes: a bad event is in `skipped`, broken bytes end the batch in `failed` with the events before
 * them intact. Nothing in the result shares memory with the payload.
 *
 * @param words - gives room for keys and token ids, which are good as long as it is lent. Absent: good for ever
 * @throws TypeError if `payload` is not a Uint8Array
 *
 * Cost: one pass; memory within a small multiple of the payload, whatever lengths it declares.
 */
export function decodeEventBatch(payload: Uint8Array, words?: WordPool | undefined): EventBatch {
  const reading = new Reading(payload, Number.POSITIVE_INFINITY, words);
  try {
    const rest = reading.begin();
    if (rest !== undefined) while (rest.next().done !== true);
    return reading.end();
  } catch (signal) {
    return reading.breakOff(signal);
  }
}

/**
 * As {@link decodeEventBatch}, a stretch at a time: pauses about each `stepBytes` of the payload, also amid a long event,
 * with the offset reached.
 * @throws TypeError if `payload` is not a Uint8Array
 */
export function* decodeInSteps(
  payload: Uint8Array,
  stepBytes: number,
  words?: WordPool | undefined,
): Generator<number, EventBatch> {
  const reading = new Reading(payload, stepBytes, words);
  try {
    yield* reading.begin() ?? [];
    return reading.end();
  } catch (signal) {
    return reading.breakOff(signal);
  }
}

/** One payload that is being read. */
class Reading {
  readonly #cursor: MsgpackCursor;
  readonly #batch: Draft = {
    ts: Number.NaN,
    dataParallelRank: null,
    events: UNREAD,
    skipped: [],
    failed: null,
  };

  constructor(payload: Uint8Array, stepBytes: number, words: WordPool | undefined) {
    if (!(payload instanceof Uint8Array)) throw typeMistake("payload", "Uint8Array", payload);
    this.#cursor = new MsgpackCursor(payload, stepBytes, words);
  }

  /** Read it, or up to what is long: then the rest is left. */
  begin(): Rest | undefined {
    const shape = shapeOf(this.#cursor);
    if (shape.length < 0) notABatch(this.#cursor.at);
    return takeFields(this.#cursor, shape, POSITIONS, this.#batch, takeBatchField, 0);
  }

  end(): EventBatch {
    const batch = this.#batch;
    if (batch.events === UNREAD || Number.isNaN(batch.ts)) notABatch(0);
    if (!this.#cursor.atEnd) batch.failed = { reason: "trailing-bytes", offset: this.#cursor.at };
    return batch;
  }

  /** It was left early. */
  breakOff(signal: unknown): EventBatch {
    if (!(signal instanceof BrokenSignal)) throw signal;
    const batch = this.#batch;
    batch.failed = { reason: signal.reason, offset: signal.offset };
    // Without a time and a rank that can be read, its events are nobody's.
    if (signal.reason === "not-a-batch") batch.skipped = [];
    if (signal.reason === "not-a-batch" || batch.events === UNREAD) batch.events = [];
    return batch;
  }
}

/** The batch's own time in seconds, without decoding its events; NaN if it cannot be read, or the batch is a map. */
export function peekBatchTime(payload: Uint8Array): number {
  try {
    const cursor = new MsgpackCursor(payload);
    return (cursor.arrayLength() > 0 ? cursor.number() : undefined) ?? Number.NaN;
  } catch (signal) {
    if (!(signal instanceof BrokenSignal)) throw signal;
    return Number.NaN;
  }
}

const POSITIONS: readonly string[] = ["ts", "events", "data_parallel_rank"];

function takeBatchField(cursor: MsgpackCursor, name: string, batch: Draft): Rest | undefined {
  const { at } = cursor;
  if (name === "events") return takeEvents(cursor, batch);
  if (name === "ts") {
    const ts = cursor.number();
    if (ts === undefined || !Number.isFinite(ts)) notABatch(at);
    batch.ts = ts;
  } else if (name === "data_parallel_rank") batch.dataParallelRank = takeRank(cursor);
  else return passOver(cursor);
  return undefined;
}

function takeRank(cursor: MsgpackCursor): number | null {
  if (cursor.takeNil()) return null;
  const at = cursor.at;
  const rank = cursor.integer();
  if (rank === undefined || rank < 0 || rank > 0xffffffff) notABatch(at);
  return rank;
}

function takeEvents(cursor: MsgpackCursor, batch: Draft): Rest | undefined {
  const { at } = cursor;
  const count = cursor.arrayLength();
  if (count < 0) notABatch(at);
  if (batch.events === UNREAD) batch.events = [];
  const taken = takePlainEvents(cursor, batch.events, count);
  return taken === count ? undefined : takeEventsInSteps(cursor, batch, taken, count);
}

/** Take events as long as they are short and sound, as nearly all are. Returns how many. */
function takePlainEvents(cursor: MsgpackCursor, events: KvEvent[], count: number): number {
  for (let index = 0; index < count; index++) {
    const start = cursor.at;
    try {
      const taken = isDue(cursor) ? undefined : takeEvent(cursor);
      if (taken !== undefined && "type" in taken) {
        events.push(taken);
        continue;
      }
    } catch (signal) {
      if (!(signal instanceof SkipSignal)) throw signal;
    }
    cursor.at = start;
    return index;
  }
  return count;
}

/** Take events of any kind, from the given one on. */
function* takeEventsInSteps(cursor: MsgpackCursor, batch: Draft, first: number, count: number): Rest {
  for (let index = first; index < count; index++) {
    if (isDue(cursor)) yield pause(cursor);
    const start = cursor.at;
    try {
      const taken = takeEvent(cursor);
      batch.events.push("type" in taken ? taken : yield* taken);
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

function shapeOf(cursor: MsgpackCursor): EventShape {
  const elements = cursor.arrayLength();
  return elements >= 0 ? { isMap: false, length: elements } : { isMap: true, length: cursor.mapLength() };
}

function takeEvent(cursor: MsgpackCursor): KvEvent | Rest<KvEvent> {
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

function notABatch(offset: number): never {
  throw new BrokenSignal("not-a-batch", offset);
}
