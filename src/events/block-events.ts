/**
 * `BlockStored` and `BlockRemoved`, field by field. An event is an array `[type, field 1, field 2, …]` (vLLM up to
 * v0.23, SGLang up to 2026-09) or a map `{type, name: field, …}` (after); fields past the known ones are passed over.
 *
 * | position | BlockStored | since | BlockRemoved |
 * |---|---|---|---|
 * | 1 | block_hashes | v0.9 | block_hashes |
 * | 2 | parent_block_hash | v0.9 | medium |
 * | 3 | token_ids | v0.9 | group_idx |
 * | 4 | block_size | v0.9 | |
 * | 5 | lora_id | v0.9 | |
 * | 6 | medium | PR 19737 | |
 * | 7 | lora_name; SGLang: a metadata map with cache_salt | PR 27577 | |
 * | 8 | extra_keys | PR 33304 | |
 * | 9 | group_idx | PR 37688 | |
 * | 10 | kv_cache_spec_kind | PR 40984 | |
 * | 11 | kv_cache_spec_sliding_window | PR 40984 | |
 * | map only | cache_salt (SGLang) | | remaining_copy_counts (PR 48933, open) |
 * @module
 */
import { type Draft, newStored, UNREAD } from "./event-drafts.js";
import type { BlockRemoved, BlockStored } from "./event-types.js";
import { takeExtraKeys } from "./extra-keys.js";
import type { MsgpackCursor } from "./msgpack-cursor.js";
import { badField, SkipSignal } from "./signals.js";
import { inStretches, passOver, type Rest, STRETCH } from "./steps.js";

export const STORED_POSITIONS: readonly string[] = [
  "type",
  "block_hashes",
  "parent_block_hash",
  "token_ids",
  "block_size",
  "lora_id",
  "medium",
  "lora_name",
  "extra_keys",
  "group_idx",
  "kv_cache_spec_kind",
  "kv_cache_spec_sliding_window",
];
export const REMOVED_POSITIONS: readonly string[] = ["type", "block_hashes", "medium", "group_idx"];

/** Names of all fields that are read. */
export const STORED_FIELDS: ReadonlySet<string> = new Set([...STORED_POSITIONS, "cache_salt"]);
export const REMOVED_FIELDS: ReadonlySet<string> = new Set([...REMOVED_POSITIONS, "remaining_copy_counts"]);

/** Elements of an array that has room for extra_keys. */
const EXTRA_KEYS_LENGTH = 1 + STORED_POSITIONS.indexOf("extra_keys");

/** Entries of SGLang's metadata map that are looked at. */
const MAX_METADATA = 256;

const NONE = new Uint32Array(0);
const MAX_U32 = 0xffffffff;
const EMPTY: BlockStored = newStored();
/** Reused, so that `hash` only ever fills one kind of array. */
const parentLanes = new Uint32Array(2);

/** Where an event's fields are: behind an array's type name, or in a map of which nothing was taken. */
export interface EventShape {
  readonly isMap: boolean;
  /** Elements of the array, the type name included, or entries of the map. */
  readonly length: number;
}

/** Take a `BlockStored` after its type. */
export function takeBlockStored(cursor: MsgpackCursor, shape: EventShape): BlockStored | Rest<BlockStored> {
  const event = cursor.room.stored();
  fillStored(event, EMPTY);
  event.hasExtraKeysField = shape.isMap || shape.length >= EXTRA_KEYS_LENGTH;
  const rest = takeFields(cursor, shape, STORED_POSITIONS, event, takeStoredField);
  return rest === undefined ? checkedStored(event) : after(rest, event, checkedStored);
}

/** Give an event what another has in the fields that are alike in most events of an engine. */
export function fillStored(event: Draft<BlockStored>, other: BlockStored): void {
  event.blockSize = other.blockSize;
  event.loraId = other.loraId;
  event.loraName = other.loraName;
  event.medium = other.medium;
  event.hasExtraKeysField = other.hasExtraKeysField;
  event.cacheSalt = other.cacheSalt;
  event.groupIdx = other.groupIdx;
  event.kvCacheSpecKind = other.kvCacheSpecKind;
  event.slidingWindow = other.slidingWindow;
}

export function checkedStored(event: Draft<BlockStored>): BlockStored {
  if (event.blockKeys === UNREAD) missing("block_hashes");
  if (event.tokenIds === UNREAD) missing("token_ids");
  if (event.blockSize < 0) missing("block_size");
  const { extraKeys, blockKeys, tokenIds } = event;
  // Which tokens go with which of them nobody could say.
  if (extraKeys !== null && tokenIds.length > 0 && 2 * extraKeys.length < blockKeys.length)
    badField("extra_keys", "an entry for each block");
  return event;
}

/** Take a `BlockRemoved` after its type. */
export function takeBlockRemoved(
  cursor: MsgpackCursor,
  shape: EventShape,
): BlockRemoved | Rest<BlockRemoved> {
  const event = cursor.room.removed();
  event.medium = event.groupIdx = null;
  const rest = takeFields(cursor, shape, REMOVED_POSITIONS, event, takeRemovedField);
  return rest === undefined ? checkedRemoved(event) : after(rest, event, checkedRemoved);
}

export function checkedRemoved(event: Draft<BlockRemoved>): BlockRemoved {
  if (event.blockKeys === UNREAD) missing("block_hashes");
  if (2 * (event.remainingCopies?.length ?? 0) !== event.blockKeys.length) event.remainingCopies = null;
  return event;
}

function* after<T>(rest: Rest, event: Draft<T>, check: (event: Draft<T>) => T): Rest<T> {
  yield* rest;
  return check(event);
}

type TakeField<T> = (cursor: MsgpackCursor, name: string, event: T) => Rest | undefined;

/** Take an event's or a batch's fields from the given one on, up to one that is long: then the rest is left. */
export function takeFields<T>(
  cursor: MsgpackCursor,
  shape: EventShape,
  positions: readonly string[],
  event: T,
  takeField: TakeField<T>,
  first: number = shape.isMap ? 0 : 1,
): Rest | undefined {
  for (let i = first; i < shape.length; i++) {
    const name = shape.isMap ? cursor.string() : (positions[i] ?? "");
    // A key that is no string names no field: it is passed over with its value.
    const rest = name === undefined ? passOver(cursor, 2) : takeField(cursor, name, event);
    if (rest !== undefined) return takeRest(rest, cursor, shape, positions, event, takeField, i + 1);
  }
  return undefined;
}

function* takeRest<T>(
  rest: Rest,
  ...[cursor, shape, positions, event, takeField, next]: Required<Parameters<typeof takeFields<T>>>
): Rest {
  yield* rest;
  const more = takeFields(cursor, shape, positions, event, takeField, next);
  if (more !== undefined) yield* more;
}

export function takeStoredField(
  cursor: MsgpackCursor,
  name: string,
  event: Draft<BlockStored>,
): Rest | undefined {
  switch (name) {
    case "block_hashes":
      return takeBlockKeys(cursor, event);
    case "parent_block_hash":
      event.parentKey = takeParent(cursor);
      break;
    case "token_ids":
      return takeTokenIds(cursor, event);
    case "block_size":
      event.blockSize = takeUint(cursor, name);
      break;
    case "lora_id":
      event.loraId = cursor.takeNil() ? null : (cursor.integer() ?? badField(name, "an integer or nil"));
      break;
    case "medium":
      event.medium = takeText(cursor, name);
      break;
    case "lora_name": {
      const entries = cursor.mapLength();
      if (entries >= 0) return takeMetadataSalt(cursor, entries, event);
      event.loraName = takeText(cursor, name);
      break;
    }
    case "extra_keys":
      return takeExtraKeys(cursor, event);
    case "group_idx":
      event.groupIdx = takeUintOrNil(cursor, name);
      break;
    case "kv_cache_spec_kind":
      event.kvCacheSpecKind = takeText(cursor, name);
      break;
    case "kv_cache_spec_sliding_window":
      event.slidingWindow = takeUintOrNil(cursor, name);
      break;
    case "cache_salt":
      event.cacheSalt = takeText(cursor, name);
      break;
    default:
      return passOver(cursor);
  }
  return undefined;
}

export function takeRemovedField(
  cursor: MsgpackCursor,
  name: string,
  event: Draft<BlockRemoved>,
): Rest | undefined {
  if (name === "block_hashes") return takeBlockKeys(cursor, event);
  if (name === "remaining_copy_counts") return takeCopies(cursor, event);
  if (name === "medium") event.medium = takeText(cursor, name);
  else if (name === "group_idx") event.groupIdx = takeUintOrNil(cursor, name);
  else return passOver(cursor);
  return undefined;
}

/** A proposal still: in any other shape it is passed over like a field unknown, for the removal holds without it. */
function takeCopies(cursor: MsgpackCursor, event: Draft<BlockRemoved>): Rest | undefined {
  const count = cursor.arrayLength();
  if (count < 0) return passOver(cursor);
  event.remainingCopies = cursor.room.words.take(count);
  return inStretches(cursor, event, count, STRETCH, fillCopies);
}

function fillCopies(cursor: MsgpackCursor, event: Draft<BlockRemoved>, from: number, to: number): void {
  const { remainingCopies } = event;
  const at = remainingCopies === null ? from : cursor.uint32s(remainingCopies, from, to);
  if (at === to) return;
  event.remainingCopies = null;
  if (cursor.skip(to - at, 2 * STRETCH) > 0) badField("remaining_copy_counts", "integers");
}

function takeBlockKeys(
  cursor: MsgpackCursor,
  event: { blockKeys: Uint32Array<ArrayBufferLike> },
): Rest | undefined {
  const count = cursor.arrayLength();
  if (count < 0) badField("block_hashes", "an array");
  const keys = count === 0 ? NONE : cursor.room.words.take(2 * count);
  event.blockKeys = keys;
  if (keys.length > STRETCH) return inStretches(cursor, keys, keys.length, STRETCH, fillKeys);
  fillKeys(cursor, keys, 0, keys.length);
  return undefined;
}

function fillKeys(cursor: MsgpackCursor, keys: Uint32Array, from: number, to: number): void {
  if (!cursor.hashes(keys, from, to)) badHash("block_hashes");
}

function takeParent(cursor: MsgpackCursor): BlockStored["parentKey"] {
  if (cursor.takeNil()) return null;
  if (!cursor.hash(parentLanes, 0)) badHash("parent_block_hash");
  return cursor.room.parent(parentLanes[0]!, parentLanes[1]!);
}

function takeTokenIds(cursor: MsgpackCursor, event: Draft<BlockStored>): Rest | undefined {
  const count = cursor.arrayLength();
  if (count < 0) badField("token_ids", "an array");
  const tokens = count === 0 ? NONE : cursor.room.words.take(count);
  event.tokenIds = tokens;
  if (count > STRETCH) return inStretches(cursor, tokens, count, STRETCH, fillTokens);
  fillTokens(cursor, tokens, 0, count);
  return undefined;
}

function fillTokens(cursor: MsgpackCursor, tokens: Uint32Array, from: number, to: number): void {
  if (cursor.uint32s(tokens, from, to) === to) return;
  if (cursor.arrayLength() >= 0)
    throw new SkipSignal("bigram-tokens", "token_ids: pairs of tokens, as SGLang's EAGLE cache has them");
  badField("token_ids", "integers 0 … 2^32-1");
}

/** SGLang's map at `lora_name`'s position: of its entries only the salt is part of a block's identity. */
function* takeMetadataSalt(cursor: MsgpackCursor, entries: number, event: Draft<BlockStored>): Rest {
  if (entries > MAX_METADATA) badField("lora_name", "a name, or a map of fewer entries");
  for (let i = 0; i < entries; i++) {
    const name = cursor.string();
    if (name === "cache_salt") event.cacheSalt = takeText(cursor, name);
    else yield* passOver(cursor, name === undefined ? 2 : 1) ?? [];
  }
}

function takeText(cursor: MsgpackCursor, field: string): string | null {
  return cursor.takeNil() ? null : (cursor.string() ?? badField(field, "a string or nil"));
}

function takeUintOrNil(cursor: MsgpackCursor, field: string): number | null {
  return cursor.takeNil() ? null : takeUint(cursor, field);
}

function takeUint(cursor: MsgpackCursor, field: string): number {
  const value = cursor.integer();
  return value !== undefined && value >= 0 && value <= MAX_U32
    ? value
    : badField(field, "an integer 0 … 2^32-1");
}

function missing(field: string): never {
  throw new SkipSignal("missing-field", field);
}

function badHash(field: string): never {
  throw new SkipSignal("bad-hash", `${field}: expected 64-bit integers, or bytes of a digest's length`);
}
