/**
 * An indexer's subscriptions: opened, kept while they last, and what is told of their endpoints.
 * @module
 */
import type { Diagnostics } from "./diagnostics.js";
import type { Publisher } from "./publisher-state.js";
import type { ReplayFeeds } from "./replay-feeds.js";
import { openSubscription, type SubscribeOptions, type Subscription } from "./subscription.js";
import type { Turns } from "./turns.js";
import type { KvFrame } from "./types.js";
import { malformedMessage, replayIncomplete, subscriptionFailed } from "./write-findings.js";

/** What was given for a subscription's frames. */
export type Given = Pick<SubscribeOptions, "pod" | "model" | "replayEndpoint">;

export interface SubscriptionsOptions {
  readonly diagnostics: Diagnostics;
  readonly feeds: ReplayFeeds;
  readonly apply: (frame: KvFrame) => Publisher | undefined | Promise<Publisher | undefined>;
  readonly skip: (reason: string) => void;
  readonly clock: () => number;
  readonly turns: Turns;
}

export class Subscriptions {
  /** Those that are open. */
  readonly given: Map<Subscription, Given> = new Map();
  readonly #options: SubscriptionsOptions;
  /** Those that are being closed for a pod that was removed. */
  readonly #closing = new Set<Promise<void>>();
  #closed = false;

  constructor(options: SubscriptionsOptions) {
    this.#options = options;
  }

  /** Undefined if all were closed meanwhile. Throws as {@link openSubscription}. */
  async open(options: SubscribeOptions): Promise<Subscription | undefined> {
    const { diagnostics, feeds, apply, skip, clock, turns } = this.#options;
    const { endpoint, pod, model, replayEndpoint } = options;
    const subscription = await openSubscription(options, {
      apply: (frame) => {
        if (endpoint !== undefined) feeds.note(frame.source, replayEndpoint !== undefined);
        return apply(frame);
      },
      clock,
      turns,
      onRejected: (error, source) => {
        skip("malformed-message");
        diagnostics.raise(malformedMessage(error, source));
      },
      onRepaired: (repair, endpoint) => {
        if (repair.state === "repaired") diagnostics.withdrawFrom(endpoint, "replay-incomplete");
        // One that ended because the subscription was closed says nothing of the engine.
        else if (!isAbort(repair.error)) diagnostics.raise(replayIncomplete(repair, endpoint));
      },
      onFailed: (error, endpoints) => {
        const finding = subscriptionFailed(error, endpoints, options);
        // A host may subscribe again and again in vain: told anew if it went well for a while.
        diagnostics.contradict(finding.code, finding);
        diagnostics.raise(finding);
      },
    });
    if (this.#closed) {
      await subscription.close();
      return undefined;
    }
    this.given.set(subscription, { pod, model, replayEndpoint });
    const { endpoints, ended } = subscription;
    const forgetEndpoints = (): void =>
      diagnostics.withdrawIf(
        ({ code, source = "" }) => code !== "subscription-failed" && endpoints.includes(source),
      );
    // What was wrong there ends where it is followed anew, and where the host gives it up.
    forgetEndpoints();
    const forget = (): boolean => this.given.delete(subscription);
    ended.then(forget, forget);
    ended.then(() => this.#closed || forgetEndpoints()).catch(() => {});
    return subscription;
  }

  /** A subscription that failed has been made good where all that it followed is followed now. */
  review(): void {
    const open = [...this.given.keys()].flatMap(({ endpoints }) => endpoints);
    const sources = [...this.given].filter(([{ endpoints }]) => endpoints.length === 0);
    this.#options.diagnostics.withdrawIf(({ code, pod, model, evidence }) => {
      if (code !== "subscription-failed") return false;
      const followed = evidence["endpoints"] as readonly string[];
      if (followed.length > 0) return followed.every((endpoint) => open.includes(endpoint));
      return sources.some(([, given]) => given.pod === pod && given.model === model);
    });
  }

  /** Close those whose frames were said to be of that pod: it is gone. Returns how many. */
  closeOf(pod: string): number {
    const own = [...this.given].filter(([, given]) => given.pod === pod);
    for (const [subscription] of own) {
      this.given.delete(subscription);
      const closing = subscription.close().finally(() => this.#closing.delete(closing));
      this.#closing.add(closing);
    }
    return own.length;
  }

  async closeAll(): Promise<void> {
    this.#closed = true;
    await Promise.all([...Array.from(this.given.keys(), (open) => open.close()), ...this.#closing]);
  }
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}
