/**
 * Extra keys as vLLM hashes them from v0.31 on, made of the untagged ones that its events still carry.
 *
 *     adapter's name           ("lora", name, path)
 *     [identifier, offset]     ("mm", identifier, offset)
 *     salt                     ("cache_salt", salt)
 *     bytes                    ("prompt_embeds", bytes)
 *
 * Source: vLLM v0.31 `kv_cache_utils.py`, `generate_block_hash_extra_keys` and `to_event_extra_keys`. Judged by
 * test/vectors/vllm-traces.
 * @module
 */
import { typeMistake } from "../errors.js";
import type { ExtraKey, TaggedKey } from "../types.js";

/** An extra key of any era. */
export type HashKey = ExtraKey | TaggedKey;

/** An adapter as the engine loads it. */
export interface LoraSource {
  readonly name: string;
  readonly path: string;
}

/**
 * Tag one block's extra keys.
 * @param lora - the request's adapter, whose name is the first key of every block
 * @throws {TypeError} for an integer, which is an adapter's id and of another era
 */
export function tagExtraKeys(
  keys: readonly ExtraKey[] | null,
  lora?: LoraSource | undefined,
): readonly TaggedKey[] | null {
  if (keys === null) return null;
  return keys.map((key, i): TaggedKey => {
    if (key instanceof Uint8Array) return ["prompt_embeds", key];
    if (typeof key === "number") throw typeMistake(`extraKeys[${i}]`, "an adapter's name, not its id", key);
    if (typeof key !== "string") return ["mm", key[0], key[1]];
    return i === 0 && key === lora?.name ? ["lora", key, lora.path] : ["cache_salt", key];
  });
}
