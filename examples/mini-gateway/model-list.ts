/**
 * `/v1/models`: what the engines serve, as they say it, and the gateway's aliases.
 * @module
 */
import type { GatewayConfig } from "./config.js";
import { ApiError } from "./http.js";
import type { Pods } from "./pods.js";

interface Card {
  readonly id: string;
}

/** @throws ApiError 503 if no engine answers */
export async function mergedModels(config: GatewayConfig, pods: Pods): Promise<unknown> {
  const cards = new Map<string, Card>();
  for (const [model, { aliases }] of Object.entries(config.models)) {
    for (const pod of pods.available(model)) {
      const served = await modelsOf(pod.url, config.connectTimeoutMs);
      for (const card of served) if (!cards.has(card.id)) cards.set(card.id, card);
      // The model's other pods serve the same.
      if (served.length > 0) break;
    }
    const own = cards.get(model);
    if (own !== undefined) for (const alias of aliases) cards.set(alias, { ...own, id: alias });
  }
  if (cards.size === 0) throw new ApiError(503, "ServiceUnavailableError", "No engine is available.");
  return { object: "list", data: [...cards.values()] };
}

/** None from a pod that fails: the next is asked. */
async function modelsOf(url: string, timeoutMs: number): Promise<readonly Card[]> {
  try {
    const response = await fetch(`${url}/v1/models`, { signal: AbortSignal.timeout(timeoutMs) });
    const { data } = (await response.json()) as { data?: unknown };
    return Array.isArray(data) ? data.filter((card) => typeof card?.id === "string") : [];
  } catch {
    return [];
  }
}
