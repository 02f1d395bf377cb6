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
import type { BlockRemoved, BlockStored } from "./event-types.js";
import { takeExtraKeys } from "./extra-keys.js";
import type { MsgpackCursor } from "./msgpack-cursor.js";
import { badField, SkipSignal } from "./signals.js";

const STORED_POSITIONS: readonly string[] = [
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
const REMOVED_POSITIONS: readonly string[] = ["type", "block_hashes", "medium", "group_idx"];

/** Elements of an array that has room for extra_keys. */
const EXTRA_KEYS_LENGTH = 1 + STORED_POSITIONS.indexOf("extra_keys");

const NONE = new Uint32Array(0);
const UNREAD = new Uint32Array(0); // told from NONE by identity
const MAX_U32 = 0xffffffff;
/** Reused, so that `hash` only ever fills one kind of array. */
const parentLanes = new Uint32Array(2);

type Draft<T> = { -readonly [K in keyof T]: T[K] };

/** Where an event's fields are: behind an array's type name, or in a map of which nothing was taken. */
export interface EventShape {
  readonly isMap: boolean;
  /** Elements of the array, the type name included, or entries of the map. */
  readonly length: number;
}

/** Take the rest of a `BlockStored`. */
export function takeBlockStored(cursor: MsgpackCursor, shape: EventShape): BlockStored {
  const event: Draft<BlockStored> = {
    type: "BlockStored",
    blockKeys: UNREAD,
    parentKey: null,
    tokenIds: UNREAD,
    blockSize: -1,
    loraId: null,
    loraName: null,
    medium: null,
    extraKeys: null,
    hasExtraKeysField: shape.isMap || shape.length >= EXTRA_KEYS_LENGTH,
    cacheSalt: null,
    groupIdx: null,
    kvCacheSpecKind: null,
    slidingWindow: null,
  };
  takeFields(cursor, shape, STORED_POSITIONS, event, takeStoredField);
  if (event.blockKeys === UNREAD) missing("block_hashes");
  if (event.tokenIds === UNREAD) missing("token_ids");
  if (event.blockSize < 0) missing("block_size");
  return event;
}

/** Take the rest of a `BlockRemoved`. */
export function takeBlockRemoved(cursor: MsgpackCursor, shape: EventShape): BlockRemoved {
  const event: Draft<BlockRemoved> = {
    type: "BlockRemoved",
    blockKeys: UNREAD,
    medium: null,
    groupIdx: null,
    remainingCopies: null,
  };
  takeFields(cursor, shape, REMOVED_POSITIONS, event, takeRemovedField);
  if (event.blockKeys === UNREAD) missing("block_hashes");
  if (2 * (event.remainingCopies?.length ?? 0) !== event.blockKeys.length) event.remainingCopies = null;
  return event;
}

function takeFields<T>(
  cursor: MsgpackCursor,
  shape: EventShape,
  positions: readonly string[],
  event: T,
  takeField: (cursor: MsgpackCursor, name: string, event: T) => void,
): void {
  if (!shape.isMap) for (let i = 1; i < shape.length; i++) takeField(cursor, positions[i] ?? "", event);
  else
    for (let i = 0; i < shape.length; i++) {
      const name = cursor.string();
      if (name === undefined) cursor.skip(); // a key that is no string names no field
      takeField(cursor, name ?? "", event);
    }
}

function takeStoredField(cursor: MsgpackCursor, name: string, event: Draft<BlockStored>): void {
  switch (name) {
    case "block_hashes":
      event.blockKeys = takeBlockKeys(cursor);
      break;
    case "parent_block_hash":
      event.parentKey = takeParent(cursor);
      break;
    case "token_ids":
      event.tokenIds = takeTokenIds(cursor);
      break;
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
      if (entries < 0) event.loraName = takeText(cursor, name);
      else event.cacheSalt = takeMetadataSalt(cursor, entries);
      break;
    }
    case "extra_keys":
      event.extraKeys = takeExtraKeys(cursor);
      break;
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
      cursor.skip();
  }
}

function takeRemovedField(cursor: MsgpackCursor, name: string, event: Draft<BlockRemoved>): void {
  if (name === "block_hashes") event.blockKeys = takeBlockKeys(cursor);
  else if (name === "medium") event.medium = takeText(cursor, name);
  else if (name === "group_idx") event.groupIdx = takeUintOrNil(cursor, name);
  else if (name === "remaining_copy_counts") event.remainingCopies = takeCopies(cursor);
  else cursor.skip();
}

/** A proposal still: in any other shape it is passed over like a field unknown, for the removal holds without it. */
function takeCopies(cursor: MsgpackCursor): Uint32Array | null {
  const start = cursor.at;
  const count = cursor.arrayLength();
  if (count >= 0) {
    const copies = new Uint32Array(count);
    if (cursor.uint32s(copies) === count) return copies;
  }
  cursor.at = start;
  cursor.skip();
  return null;
}

function takeBlockKeys(cursor: MsgpackCursor): Uint32Array {
  const count = cursor.arrayLength();
  if (count < 0) badField("block_hashes", "an array");
  if (count === 0) return NONE;
  const keys = cursor.words.take(2 * count);
  if (!cursor.hashes(keys)) badHash("block_hashes");
  return keys;
}

function takeParent(cursor: MsgpackCursor): BlockStored["parentKey"] {
  if (cursor.takeNil()) return null;
  if (!cursor.hash(parentLanes, 0)) badHash("parent_block_hash");
  return [parentLanes[0]!, parentLanes[1]!];
}

function takeTokenIds(cursor: MsgpackCursor): Uint32Array {
  const count = cursor.arrayLength();
  if (count < 0) badField("token_ids", "an array");
  if (count === 0) return NONE;
  const tokens = cursor.words.take(count);
  if (cursor.uint32s(tokens) < count) {
    if (cursor.arrayLength() >= 0)
      throw new SkipSignal("bigram-tokens", "token_ids: pairs of tokens, as SGLang's EAGLE cache has them");
    badField("token_ids", "integers 0 … 2^32-1");
  }
  return tokens;
}

/** SGLang's map at `lora_name`'s position: of its entries only the salt is part of a block's identity. */
function takeMetadataSalt(cursor: MsgpackCursor, entries: number): string | null {
  let salt: string | null = null;
  for (let i = 0; i < entries; i++) {
    const name = cursor.string();
    if (name === undefined) cursor.skip();
    if (name === "cache_salt") salt = takeText(cursor, name);
    else cursor.skip();
  }
  return salt;
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
