/**
 * One payload → one event batch. A batch is an array `[ts, events, data_parallel_rank]`, of two elements in vLLM's
 * first version, or a map of the same names.
 * @module
 */
import { typeMistake } from "../errors.js";
import { type BatchPool, roomOf } from "./batch-pool.js";
import { takeFields } from "./block-events.js";
import type { Draft } from "./event-drafts.js";
import { shapeOf, takeEvents } from "./event-list.js";
import type { EventBatch, KvEvent } from "./event-types.js";
import { MsgpackCursor } from "./msgpack-cursor.js";
import { BrokenSignal } from "./signals.js";
import { passOver, type Rest } from "./steps.js";

/** What a batch has before its list of events is read: told by identity. */
const UNREAD: KvEvent[] = [];

const unread = (): Draft<EventBatch> => ({
  ts: Number.NaN,
  dataParallelRank: null,
  events: UNREAD,
  skipped: [],
  failed: null,
});

/**
 * Decode one message's payload.
 *
 * Never throws on bytes: a bad event is in `skipped`, broken bytes end the batch in `failed` with the events before
 * them intact. Nothing in the result shares memory with the payload.
 *
 * @param pool - gives room for events, keys and token ids, which are good as long as it is lent. Absent: good for ever
 * @throws TypeError if `payload` is not a Uint8Array
 *
 * Cost: one pass; memory within a small multiple of the payload, whatever lengths it declares.
 */
export function decodeEventBatch(payload: Uint8Array, pool?: BatchPool | undefined): EventBatch {
  checkPayload(payload);
  const cursor = roomOf(pool).cursor(payload);
  const batch = unread();
  try {
    const rest = takeBatch(cursor, batch);
    if (rest !== undefined) while (rest.next().done !== true);
    return checked(cursor, batch);
  } catch (signal) {
    return brokenOff(batch, signal);
  } finally {
    cursor.leave();
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
  pool?: BatchPool | undefined,
): Generator<number, EventBatch> {
  checkPayload(payload);
  const cursor = new MsgpackCursor(roomOf(pool)).begin(payload, stepBytes);
  const batch = unread();
  try {
    yield* takeBatch(cursor, batch) ?? [];
    return checked(cursor, batch);
  } catch (signal) {
    return brokenOff(batch, signal);
  }
}

function checkPayload(payload: Uint8Array): void {
  if (!(payload instanceof Uint8Array)) throw typeMistake("payload", "Uint8Array", payload);
}

/** Read a batch, or up to what is long: then the rest is left. */
function takeBatch(cursor: MsgpackCursor, batch: Draft<EventBatch>): Rest | undefined {
  const shape = shapeOf(cursor);
  if (shape.length < 0) notABatch(cursor.at);
  return takeFields(cursor, shape, POSITIONS, batch, takeBatchField, 0);
}

function checked(cursor: MsgpackCursor, batch: Draft<EventBatch>): EventBatch {
  if (batch.events === UNREAD || Number.isNaN(batch.ts)) notABatch(0);
  if (!cursor.atEnd) batch.failed = { reason: "trailing-bytes", offset: cursor.at };
  return batch;
}

/** Reading was left early. */
function brokenOff(batch: Draft<EventBatch>, signal: unknown): EventBatch {
  if (!(signal instanceof BrokenSignal)) throw signal;
  batch.failed = { reason: signal.reason, offset: signal.offset };
  // Without a time and a rank that can be read, its events are nobody's.
  if (signal.reason === "not-a-batch") batch.skipped = [];
  if (signal.reason === "not-a-batch" || batch.events === UNREAD) batch.events = [];
  return batch;
}

/** The batch's own time in seconds, without decoding its events; NaN if it cannot be read, or the batch is a map. */
export function peekBatchTime(payload: Uint8Array): number {
  try {
    const cursor = new MsgpackCursor(roomOf(undefined)).begin(payload);
    return (cursor.arrayLength() > 0 ? cursor.number() : undefined) ?? Number.NaN;
  } catch (signal) {
    if (!(signal instanceof BrokenSignal)) throw signal;
    return Number.NaN;
  }
}

const POSITIONS: readonly string[] = ["ts", "events", "data_parallel_rank"];

function takeBatchField(cursor: MsgpackCursor, name: string, batch: Draft<EventBatch>): Rest | undefined {
  const { at } = cursor;
  if (name === "events") {
    const count = cursor.arrayLength();
    if (count < 0) notABatch(at);
    if (batch.events === UNREAD) batch.events = [];
    return takeEvents(cursor, batch, count);
  }
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

function notABatch(offset: number): never {
  throw new BrokenSignal("not-a-batch", offset);
}
