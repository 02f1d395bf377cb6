/**
 * Other requests for the same tokens: what else a client may have meant, for explanations.
 * @module
 */
import type { RequestExtra } from "./explanation.js";
import type { Publisher } from "./publisher-state.js";
import type { Query } from "./query.js";

/** Adapters that are seen or configured, and tried at most. */
const MAX_LORAS_TRIED = 64;

const EXTRAS: readonly RequestExtra[] = ["cacheSalt", "loraName", "multimodal"];
const NONE = { cacheSalt: "", loraName: undefined, multimodal: [] } as const;

/** What the request names beside its tokens. */
export function extrasOf(query: Query): RequestExtra[] {
  return EXTRAS.filter((extra) => query[extra] !== undefined && query[extra].length > 0);
}

/** Other requests for the same tokens, those that differ least first: without what is named, and with what was seen. */
export function* variationsOf(
  query: Query,
  publisher: Publisher,
): Generator<Partial<Pick<Query, RequestExtra>> & { differs: readonly RequestExtra[] }> {
  const given = extrasOf(query);
  for (const extra of given) yield { [extra]: NONE[extra], differs: [extra] };
  for (const cacheSalt of publisher.saltsSeen)
    if (cacheSalt !== query.cacheSalt) yield { cacheSalt, differs: ["cacheSalt"] };
  const loras = [...publisher.lorasSeen, ...publisher.settings.loras.keys()].slice(0, MAX_LORAS_TRIED);
  for (const loraName of new Set(loras))
    if (loraName !== query.loraName) yield { loraName, differs: ["loraName"] };
  if (given.length === 3)
    for (const kept of EXTRAS) yield { ...NONE, [kept]: query[kept], differs: without(kept) };
  if (given.length > 1) yield { ...NONE, differs: given };
}

function without(kept: RequestExtra): RequestExtra[] {
  return EXTRAS.filter((extra) => extra !== kept);
}
