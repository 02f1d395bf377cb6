/**
 * The pods: which are there, how busy each is, and which one a request goes to.
 *
 * A pod that fails a request or a probe is out for a while, and comes back with the first probe that it answers after
 * that.
 * @module
 */
import type { GatewayConfig, PodConfig } from "./config.js";
import { type Log, messageOf } from "./log.js";

export class Pod {
  readonly name: string;
  readonly url: string;
  readonly model: string;
  inFlight = 0;
  /** Number of the pick that it last was; 0 for never. */
  lastPick = 0;
  /** It answered the last probe. */
  reachable = false;
  /** Out until then, milliseconds since the epoch. */
  ejectedUntil = 0;
  /** Its usage has named cached tokens: from then on, usage without them means none (vLLM leaves out a zero). */
  reportsCached = false;

  constructor({ name, url, model }: PodConfig) {
    this.name = name;
    this.url = url;
    this.model = model;
  }

  get available(): boolean {
    return this.reachable && Date.now() >= this.ejectedUntil;
  }
}

/** A pick, and what decided it. */
export interface Pick {
  readonly pod: Pod;
  readonly reason: "score" | "load";
}

export class Pods implements Iterable<Pod> {
  readonly #pods: readonly Pod[];
  readonly #config: GatewayConfig;
  readonly #log: Log;
  readonly #stop = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #picks = 0;

  constructor(config: GatewayConfig, log: Log) {
    this.#pods = config.pods.map((pod) => new Pod(pod));
    this.#config = config;
    this.#log = log;
  }

  [Symbol.iterator](): Iterator<Pod> {
    return this.#pods[Symbol.iterator]();
  }

  available(model: string): Pod[] {
    return this.#pods.filter((pod) => pod.model === model && pod.available);
  }

  /**
   * The pod with the most tokens of the prompt in its cache; among equals the least busy, then the one picked longest
   * ago. Not one that has `overloadMargin` more requests in flight than the least busy: waiting would cost more than
   * computing the prompt anew.
   *
   * @param tokens - cached tokens by pod, tier-weighted; a pod that is absent has none
   */
  pick(candidates: readonly Pod[], tokens: ReadonlyMap<string, number>): Pick | undefined {
    const leastBusy = Math.min(...candidates.map(({ inFlight }) => inFlight));
    const worth = (pod: Pod): number => tokens.get(pod.name) ?? 0;
    const [pod] = candidates
      .filter(({ inFlight }) => inFlight <= leastBusy + this.#config.overloadMargin)
      .sort((a, b) => worth(b) - worth(a) || a.inFlight - b.inFlight || a.lastPick - b.lastPick);
    if (pod === undefined) return undefined;
    pod.lastPick = ++this.#picks;
    return { pod, reason: worth(pod) > 0 ? "score" : "load" };
  }

  /** A request on it failed for a reason that is the pod's. */
  eject(pod: Pod, error: unknown): void {
    if (this.#stop.signal.aborted) return;
    if (pod.reachable)
      this.#log("WARN", "pod ejected", {
        pod: pod.name,
        forMs: this.#config.ejectMs,
        error: messageOf(error),
      });
    pod.reachable = false;
    pod.ejectedUntil = Date.now() + this.#config.ejectMs;
  }

  /** Probe all pods now, and from now on at intervals. */
  async watch(): Promise<void> {
    await Promise.all(this.#pods.map((pod) => this.#probe(pod)));
    if (this.#stop.signal.aborted) return;
    this.#timer = setTimeout(() => void this.watch(), this.#config.probeIntervalMs);
  }

  stop(): void {
    this.#stop.abort();
    clearTimeout(this.#timer);
  }

  async #probe(pod: Pod): Promise<void> {
    if (Date.now() < pod.ejectedUntil) return;
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(this.#config.connectTimeoutMs)]);
    try {
      const response = await fetch(`${pod.url}/health`, { signal });
      await response.arrayBuffer();
      if (!response.ok) throw new Error(`/health answered ${response.status}`);
      if (!pod.reachable) this.#log("INFO", "pod up", { pod: pod.name });
      pod.reachable = true;
    } catch (error) {
      this.eject(pod, error);
    }
  }
}
