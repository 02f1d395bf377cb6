/**
 * What a stored event says of its blocks' extra keys, whichever way its wire era does.
 * @module
 */
import type { BlockStored } from "./events/index.js";
import type { ExtraKey } from "./types.js";

/** A key or handle as lanes. */
export type Lanes = readonly [hi: number, lo: number];

/** An own key as the digest that it came from: the parent of further blocks. */
export function ownDigest(hi: number, lo: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, hi);
  view.setUint32(4, lo);
  return bytes;
}

/** An event's extra keys by block; undefined: none at all. */
export function extraKeysOf(
  event: BlockStored,
  blocks: number,
): readonly (readonly ExtraKey[] | null)[] | undefined {
  if (event.extraKeys !== null)
    return hasNone(event.extraKeys) ? undefined : event.extraKeys.slice(0, blocks);
  const lora = event.loraName ?? event.loraId;
  // SGLang's salt goes with the root, as vLLM's stands in block 0 alone; children differ through their parent.
  const salt = event.parentKey === null ? event.cacheSalt : null;
  if (lora === null && salt === null) return undefined;
  return Array.from({ length: blocks }, (_, block) => {
    const keys: ExtraKey[] = lora === null ? [] : [lora];
    if (block === 0 && salt !== null) keys.push(salt);
    return keys.length > 0 ? keys : null;
  });
}

/**
 * Whether a multimodal item stands as a bare identifier: a string that is neither the adapter's name, nor on a first
 * block, where it may be a salt.
 */
export function hasBareIdentifier({ extraKeys, parentKey, loraName }: BlockStored): boolean {
  if (extraKeys === null || hasNone(extraKeys)) return false;
  const first = parentKey === null ? 1 : 0;
  return extraKeys.some(
    (keys, block) =>
      block >= first && keys?.some((key, i) => typeof key === "string" && !(i === 0 && key === loraName)),
  );
}

/** Whether no block has any, as is usual. */
function hasNone(extraKeys: NonNullable<BlockStored["extraKeys"]>): boolean {
  for (let block = 0; block < extraKeys.length; block++) if (extraKeys[block] !== null) return false;
  return true;
}
