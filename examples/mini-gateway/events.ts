/**
 * Following the pods' KV events.
 * @module
 */
import type { Indexer, Subscription } from "kvblock";
import type { GatewayConfig } from "./config.js";
import { messageOf } from "./log.js";

/**
 * Subscribe to all that the config names. What a pod announced before is asked for at its replay endpoint, when its first
 * live event shows that something is missing.
 *
 * @throws Error that names the config's field, for an endpoint that cannot be opened
 */
export async function followEvents(indexer: Indexer, config: GatewayConfig): Promise<Subscription[]> {
  const { bindEvents, pods } = config;
  const subscriptions: Subscription[] = [];
  const follow = async (at: string, options: Parameters<Indexer["subscribe"]>[0]): Promise<void> => {
    try {
      subscriptions.push(await indexer.subscribe(options));
    } catch (cause) {
      throw new Error(`${at}: ${messageOf(cause)}`);
    }
  };
  if (bindEvents !== undefined) await follow("bindEvents", { endpoint: bindEvents, bind: true });
  for (const [i, { events, replay, name, model }] of pods.entries())
    if (events !== undefined)
      await follow(`pods[${i}].events`, { endpoint: events, replayEndpoint: replay, pod: name, model });
  return subscriptions;
}
