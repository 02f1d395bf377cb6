/**
 * What a block's hash contains beside its tokens: vLLM's extra keys.
 *
 * In this order: the LoRA name (every block), each multimodal item that overlaps the block, the cache salt (the block
 * at token 0), the prompt-embeds bytes. Nothing applies: null, never an empty list.
 * Source: vLLM v1 `kv_cache_utils.py`, `generate_block_hash_extra_keys`. Vectors: test/vectors/extra_keys.json.
 * @module
 */
import { checkInteger, checkName, checkOneOf, checkOptions, rangeMistake, typeMistake } from "../errors.js";
import type { ExtraKey, ExtraKeysEra, MultimodalItem } from "../types.js";
import { type HashKey, tagExtraKeys } from "./tagged-keys.js";

/** What of a request goes into its blocks' hashes. A score request can be passed as it is. */
export interface ExtraKeysRequest {
  /** LoRA adapter's name. Empty is none. */
  loraName?: string | undefined;
  /** Where the engine loads the adapter from: hashed beside its name in the era `"tagged"`, which needs it. */
  loraPath?: string | undefined;
  /** LoRA adapter's integer id, which engines before vLLM v0.11.1 hash instead of a name. Used if there is no name. */
  loraId?: number | undefined;
  /** vLLM's `cache_salt`. Empty is none. */
  cacheSalt?: string | undefined;
  /** Multimodal items, in prompt order. */
  multimodal?: readonly MultimodalItem[] | undefined;
  /** Prompt embeddings: one entry per full block, the bytes that the engine puts there (32, a SHA-256), or null. */
  promptEmbeds?: readonly (Uint8Array | null)[] | undefined;
  /**
   * Length of the prompt, where the tokens go on with generated ones. vLLM before v0.31 looks only at the last multimodal
   * item for a block that generation completed, so its keys can differ from the same block's in a longer prompt. Absent:
   * all tokens are prompt.
   */
  promptTokens?: number | undefined;
}

const REQUEST_OPTIONS: readonly string[] = [
  "loraName",
  "loraId",
  "loraPath",
  "cacheSalt",
  "multimodal",
  "promptEmbeds",
  "promptTokens",
  "model",
  "pods",
];

/**
 * The extra keys of each full block of a request, for {@link BlockChain.hashTokens}.
 *
 * A text-only request has none; `hashTokens` without `extraKeys` is then the same and saves the list.
 *
 * @param tokenCount - tokens of the request, placeholders of its multimodal items included
 * @param blockSize - tokens per block
 * @param era - `"offsets"` (default), `"identifiers"` or `"tagged"`, by the engine's version; see {@link ExtraKeysEra}
 * @returns `floor(tokenCount / blockSize)` entries; null for a block without extra keys
 * @throws {TypeError} for a wrong type or an unknown field of `request`
 * @throws {RangeError} for a count out of range, multimodal items out of order, text with a lone surrogate, or an adapter
 *   without a path in the era `"tagged"`
 */
export function blockExtraKeys(
  request: ExtraKeysRequest,
  tokenCount: number,
  blockSize: number,
  era?: "offsets" | "identifiers",
): (readonly ExtraKey[] | null)[];
export function blockExtraKeys(
  request: ExtraKeysRequest,
  tokenCount: number,
  blockSize: number,
  era: ExtraKeysEra | undefined,
): (readonly HashKey[] | null)[];
export function blockExtraKeys(
  request: ExtraKeysRequest,
  tokenCount: number,
  blockSize: number,
  era: ExtraKeysEra = "offsets",
): (readonly HashKey[] | null)[] {
  checkOptions("blockExtraKeys", request, REQUEST_OPTIONS);
  checkInteger("tokenCount", tokenCount, 0);
  checkInteger("blockSize", blockSize, 1);
  checkOneOf("era", era, ["offsets", "identifiers", "tagged"]);
  const keys = untaggedKeys(request, tokenCount, blockSize, era);
  if (era !== "tagged") return keys;
  const name = checkText("loraName", request.loraName);
  const path = checkText("loraPath", request.loraPath);
  if (name !== "" && path === "")
    throw rangeMistake("loraPath", 'the adapter\'s path, which is hashed in the era "tagged"', path);
  const lora = name === "" ? undefined : { name, path };
  let last: readonly ExtraKey[] | null = null;
  let tagged: readonly HashKey[] | null = null;
  return keys.map((block) => {
    // Most blocks share one list.
    if (block !== last) tagged = tagExtraKeys((last = block), lora);
    return tagged;
  });
}

function untaggedKeys(
  request: ExtraKeysRequest,
  tokenCount: number,
  blockSize: number,
  era: ExtraKeysEra,
): (readonly ExtraKey[] | null)[] {
  const blocks = Math.floor(tokenCount / blockSize);
  const lora = loraKey(request);
  const salt = checkText("cacheSalt", request.cacheSalt);
  const items = checkItems(request.multimodal ?? []);
  const embeds = checkEmbeds(request.promptEmbeds, blocks);
  const promptTokens = checkInteger("promptTokens", request.promptTokens ?? tokenCount, 0);

  // Blocks with nothing of their own share one list: the LoRA key, or null.
  const common: readonly ExtraKey[] | null = lora === undefined ? null : [lora];
  const result = new Array<readonly ExtraKey[] | null>(blocks).fill(common);
  if (salt === "" && items.length === 0 && embeds === undefined) return result;

  let item = 0;
  for (let block = 0; block < blocks; block++) {
    const start = block * blockSize;
    const keys: ExtraKey[] = lora === undefined ? [] : [lora];
    // Before v0.31, a block that generation completes is hashed with the walk set back to the last item.
    if (era !== "tagged" && block > 0 && start + blockSize > promptTokens)
      item = Math.max(0, items.length - 1);
    item = addItems(keys, items, item, start, start + blockSize, era);
    if (block === 0 && salt !== "") keys.push(salt);
    const bytes = embeds?.[block];
    if (bytes != null) keys.push(bytes);
    if (keys.length > (common?.length ?? 0)) result[block] = keys;
  }
  return result;
}

/**
 * Append the items from index `item` on that overlap `start … end`; returns where the next block's walk begins.
 *
 * Before offsets were written (vLLM PR 36708), an item that ended exactly at `start` still counted, unless the walk had
 * passed it.
 */
function addItems(
  keys: ExtraKey[],
  items: readonly MultimodalItem[],
  item: number,
  start: number,
  end: number,
  era: ExtraKeysEra,
): number {
  const slack = era === "identifiers" ? 1 : 0;
  for (; item < items.length; item++) {
    const { id, offset, length } = items[item]!;
    if (end <= offset) break;
    if (start >= offset + length + slack) continue;
    keys.push(era === "identifiers" ? id : [id, offset - start]);
    if (end < offset + length) break;
  }
  return item;
}

function loraKey(request: ExtraKeysRequest): string | number | undefined {
  const name = checkText("loraName", request.loraName);
  if (request.loraId !== undefined) checkInteger("loraId", request.loraId, 0);
  return name === "" ? request.loraId : name;
}

function checkText(name: string, value: string | undefined): string {
  if (value !== undefined && typeof value !== "string") throw typeMistake(name, "string", value);
  return checkEncodable(name, value ?? "");
}

const LONE_SURROGATE = /\p{Surrogate}/u;

/** Half of a surrogate pair has no UTF-8. The text itself is not shown: a salt is a secret. */
function checkEncodable(name: string, text: string): string {
  const at = text.search(LONE_SURROGATE);
  if (at < 0) return text;
  throw new RangeError(
    `"${name}" expected text that UTF-8 can encode, as vLLM must to hash it, got a lone surrogate at index ${at}`,
  );
}

function checkItems(items: readonly MultimodalItem[]): readonly MultimodalItem[] {
  if (!Array.isArray(items)) throw typeMistake("multimodal", "an array", items);
  let previous = 0;
  for (let i = 0; i < items.length; i++) {
    const item = (items as readonly MultimodalItem[])[i]!;
    const name = `multimodal[${i}]`;
    checkOptions(name, item, ["id", "offset", "length"]);
    checkEncodable(`${name}.id`, checkName(`${name}.id`, item.id));
    checkInteger(`${name}.length`, item.length, 1);
    if (checkInteger(`${name}.offset`, item.offset, 0) < previous)
      throw rangeMistake(`${name}.offset`, `at least ${previous} (items in prompt order)`, item.offset);
    previous = item.offset;
  }
  return items;
}

function checkEmbeds(
  embeds: readonly (Uint8Array | null)[] | undefined,
  blocks: number,
): readonly (Uint8Array | null)[] | undefined {
  if (embeds === undefined) return undefined;
  if (!Array.isArray(embeds)) throw typeMistake("promptEmbeds", "an array", embeds);
  if (embeds.length !== blocks)
    throw rangeMistake("promptEmbeds", `${blocks} entries, one per full block`, embeds);
  for (const [block, bytes] of embeds.entries())
    if (bytes !== null && !(bytes instanceof Uint8Array))
      throw typeMistake(`promptEmbeds[${block}]`, "Uint8Array or null", bytes);
  return embeds;
}
