/**
 * Events while they are read.
 * @module
 */
import type { BlockRemoved, BlockStored } from "./event-types.js";

/** Something read-only while it is made. */
export type Draft<T> = { -readonly [K in keyof T]: T[K] };

/** Told by identity from lists that were read. */
export const UNREAD: Uint32Array = new Uint32Array(0);

export function newStored(): Draft<BlockStored> {
  return {
    type: "BlockStored",
    blockKeys: UNREAD,
    parentKey: null,
    tokenIds: UNREAD,
    blockSize: -1,
    loraId: null,
    loraName: null,
    medium: null,
    extraKeys: null,
    hasExtraKeysField: false,
    cacheSalt: null,
    groupIdx: null,
    kvCacheSpecKind: null,
    slidingWindow: null,
  };
}

export function newRemoved(): Draft<BlockRemoved> {
  return { type: "BlockRemoved", blockKeys: UNREAD, medium: null, groupIdx: null, remainingCopies: null };
}
