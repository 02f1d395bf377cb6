/**
 * What of a request goes into its blocks' keys beside the tokens, by key class.
 * @module
 */
import { blockExtraKeys, type HashKey } from "./hash/index.js";
import type { KeyClass } from "./key-classes.js";
import type { LoraOptions } from "./options.js";
import type { ExtraKeysEra, ScoreRequest } from "./types.js";

/** The part of a resolved request that extra keys come from. */
export interface KeyedRequest {
  readonly loraName: string | undefined;
  /** Empty: none. */
  readonly cacheSalt: string;
  readonly multimodal: NonNullable<ScoreRequest["multimodal"]>;
}

/** By hash (of which a block may have several); undefined: none at all. */
export type QueryKeys = readonly (readonly HashKey[] | null)[] | undefined;

function isPlain({ loraName, cacheSalt, multimodal }: KeyedRequest): boolean {
  return loraName === undefined && cacheSalt === "" && multimodal.length === 0;
}

/** Salted and multimodal prompts never match where such blocks look like plain ones. */
export function canTell(keyClass: KeyClass, { loraName, cacheSalt, multimodal }: KeyedRequest): boolean {
  // SGLang's page hash knows a salt and nothing else.
  if (keyClass.algorithm === "sglang") return loraName === undefined && multimodal.length === 0;
  return keyClass.tellsExtraKeys || (cacheSalt === "" && multimodal.length === 0);
}

/**
 * The ways in which engines of a key class may hash a request's extra keys. Nothing on the wire tells vLLM v0.31 and
 * later, which tag them, from v0.24 … v0.30: both are looked up, and at most one can be held. The wrong one ends at the
 * first block with such a key.
 */
export function erasOf({ algorithm, era }: KeyClass, request: KeyedRequest): readonly ExtraKeysEra[] {
  const vllm = algorithm !== null && algorithm !== "sglang" && algorithm !== "sha256_cbor_64bit";
  return vllm && era === "offsets" && !isPlain(request) ? [era, "tagged"] : [era];
}

/** The prompt's extra keys by hash; `unknown` if the adapter's id or path is needed and not given. */
export function queryKeys(
  request: KeyedRequest,
  tokenCount: number,
  keyClass: KeyClass,
  era: ExtraKeysEra,
  loras: ReadonlyMap<string, LoraOptions>,
): QueryKeys | "unknown" {
  if (isPlain(request)) return undefined;
  const { loraName, cacheSalt, multimodal } = request;
  const byId = keyClass.loraAs === "id" && loraName !== undefined;
  const known = loraName === undefined ? undefined : loras.get(loraName);
  const loraId = byId ? known?.id : undefined;
  if (byId && loraId === undefined) return "unknown";
  const loraPath = era === "tagged" ? known?.path : undefined;
  if (era === "tagged" && loraName !== undefined && loraPath === undefined) return "unknown";
  return blockExtraKeys(
    { loraName: byId ? undefined : loraName, loraId, loraPath, cacheSalt, multimodal },
    tokenCount,
    keyClass.chain.hashBlockSize,
    era,
  );
}

/** Whether two requests hash the same beside their tokens. */
export function isAlike(a: KeyedRequest, b: KeyedRequest): boolean {
  return (
    a.loraName === b.loraName &&
    a.cacheSalt === b.cacheSalt &&
    a.multimodal.length === b.multimodal.length &&
    a.multimodal.every(({ id, offset, length }, i) => {
      const other = b.multimodal[i]!;
      return other.id === id && other.offset === offset && other.length === length;
    })
  );
}
