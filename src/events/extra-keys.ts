/**
 * A block's extra keys on the wire: what `BlockStored.extra_keys` holds since vLLM PR 33304.
 *
 * | on the wire | key |
 * |---|---|
 * | string | LoRA name, cache salt, or a multimodal identifier of before PR 36708 |
 * | integer | LoRA id, before names |
 * | bytes | SHA-256 of prompt embeddings |
 * | `[identifier, offset]` | multimodal item |
 * | map with `type` `lora`, `mm`, `cache_salt`, `prompt_embeds` | the same four, as vLLM PR 55488 proposed |
 * @module
 */
import type { ExtraKey } from "../types.js";
import type { MsgpackCursor } from "./msgpack-cursor.js";
import { badField, SkipSignal } from "./signals.js";
import { inStretches, type Rest, STRETCH } from "./steps.js";

/** Blocks of which the keys are read between two looks at whether to pause, and keys that a block may have. */
const STRETCH_BLOCKS = 64;
const MAX_KEYS = 256;
/** Entries of a key that is a map, nested ones included. */
const MAX_ENTRIES = 64;
/** Lists of so many nulls, made when first needed: 260 KB if all are. */
const MAX_NONE = 256;
const NONE: (readonly null[] | undefined)[] = new Array(MAX_NONE + 1).fill(undefined);

/**
 * Take an event's extra keys: nil, or by block nil or a list of keys.
 * A block's empty list means none, so it becomes null as vLLM writes it.
 */
export function takeExtraKeys(
  cursor: MsgpackCursor,
  event: { extraKeys: readonly (readonly ExtraKey[] | null)[] | null },
): Rest | undefined {
  event.extraKeys = null;
  if (cursor.takeNil()) return undefined;
  const blocks = cursor.arrayLength();
  if (blocks < 0) badField("extra_keys", "an array or nil");
  if (blocks <= STRETCH && cursor.takeNils(blocks)) {
    event.extraKeys = none(blocks);
    return undefined;
  }
  const byBlock: (readonly ExtraKey[] | null)[] = [];
  event.extraKeys = byBlock;
  return inStretches(cursor, byBlock, blocks, STRETCH_BLOCKS, fillBlocks);
}

/** So many blocks without extra keys, as nearly all are: one list for all events, unless it is long. */
function none(blocks: number): readonly null[] {
  if (blocks > MAX_NONE) return new Array<null>(blocks).fill(null);
  return (NONE[blocks] ??= Object.freeze(new Array<null>(blocks).fill(null)));
}

function fillBlocks(
  cursor: MsgpackCursor,
  byBlock: (readonly ExtraKey[] | null)[],
  from: number,
  to: number,
): void {
  for (let block = from; block < to; block++) byBlock.push(takeBlockKeys(cursor));
}

function takeBlockKeys(cursor: MsgpackCursor): readonly ExtraKey[] | null {
  if (cursor.takeNil()) return null;
  const count = cursor.arrayLength();
  if (count < 0) badField("extra_keys", "an array or nil for each block");
  if (count > MAX_KEYS) badField("extra_keys", `at most ${MAX_KEYS} for each block`);
  if (count === 0) return null;
  const keys: ExtraKey[] = [];
  for (let i = 0; i < count; i++) keys.push(takeKey(cursor));
  return keys;
}

function takeKey(cursor: MsgpackCursor): ExtraKey {
  const plain = cursor.string() ?? cursor.integer() ?? cursor.binary();
  if (plain !== undefined) return plain;
  const length = cursor.arrayLength();
  if (length === 2) {
    const identifier = cursor.string();
    const offset = identifier === undefined ? undefined : cursor.integer();
    if (identifier !== undefined && offset !== undefined) return [identifier, offset];
  }
  if (length < 0) {
    const entries = cursor.mapLength();
    if (entries >= 0) return takeTypedKey(cursor, entries);
  }
  return unknownKey("a value that is no string, integer, bytes or [identifier, offset]");
}

/** A key written as a map: told by its `type`, whatever the order of its entries; other entries are passed over. */
function takeTypedKey(cursor: MsgpackCursor, entries: number): ExtraKey {
  const found = new Map<string, string | number | Uint8Array>();
  const pass = (): void => {
    if (cursor.skip(1, MAX_ENTRIES) > 0) unknownKey("a map with more in it than a key has");
  };
  if (entries > MAX_ENTRIES) unknownKey("a map of more entries than a key has");
  for (let i = 0; i < entries; i++) {
    const name = cursor.string();
    if (name === undefined) pass();
    const value = TYPED_KEY_FIELDS.has(name ?? "")
      ? (cursor.string() ?? cursor.integer() ?? cursor.binary())
      : undefined;
    if (value === undefined) pass();
    else found.set(name!, value);
  }
  const type = found.get("type");
  const hash = found.get("hash");
  const offset = found.get("block_offset");
  const text = found.get(type === "lora" ? "name" : "salt");
  if ((type === "lora" || type === "cache_salt") && typeof text === "string") return text;
  if (type === "mm" && typeof hash === "string" && typeof offset === "number") return [hash, offset];
  if (type === "prompt_embeds" && hash instanceof Uint8Array) return hash;
  return unknownKey("a map that is no lora, mm, cache_salt or prompt_embeds key");
}

const TYPED_KEY_FIELDS: ReadonlySet<string> = new Set(["type", "name", "salt", "hash", "block_offset"]);

function unknownKey(what: string): never {
  throw new SkipSignal("unknown-extra-key", `extra_keys: ${what}`);
}
