/**
 * What Prometheus sees: the index under llm-d's names, and the gateway's own requests.
 * @module
 */
import type { Indexer } from "kvblock";
import type { WorkerPool } from "kvblock/pool";
import { registerMetrics } from "kvblock/prometheus";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Pods } from "./pods.js";

export class GatewayMetrics {
  readonly registry: Registry = new Registry();
  readonly requests: Counter<"pod" | "status">;
  readonly routed: Counter<"reason">;
  readonly retries: Counter;
  readonly scoreSeconds: Histogram;

  constructor(indexer: Indexer, pool: WorkerPool, pods: Pods) {
    const registers = [this.registry];
    registerMetrics(indexer, { registry: this.registry });
    this.requests = new Counter({
      name: "mini_gateway_requests_total",
      help: "Answers by pod and status",
      labelNames: ["pod", "status"],
      registers,
    });
    this.routed = new Counter({
      name: "mini_gateway_routed_total",
      help: "Picks by what decided them: score, load, or load because scoring failed",
      labelNames: ["reason"],
      registers,
    });
    this.retries = new Counter({
      name: "mini_gateway_retries_total",
      help: "Requests sent to another pod because the first gave no answer",
      registers,
    });
    this.scoreSeconds = new Histogram({
      name: "mini_gateway_score_seconds",
      help: "Time that scoring takes of a request, tokenization included",
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25],
      registers,
    });
    new Gauge({
      name: "mini_gateway_in_flight",
      help: "Requests in flight by pod",
      labelNames: ["pod"],
      registers,
      collect() {
        for (const pod of pods) this.set({ pod: pod.name }, pod.inFlight);
      },
    });
    new Gauge({
      name: "mini_gateway_pod_available",
      help: "1 if the pod is reachable and not ejected",
      labelNames: ["pod"],
      registers,
      collect() {
        for (const pod of pods) this.set({ pod: pod.name }, Number(pod.available));
      },
    });
    new Gauge({
      name: "mini_gateway_tokenizer_queue",
      help: "Prompts that wait for a tokenizer thread",
      registers,
      collect() {
        this.set(pool.stats().queued);
      },
    });
    new Counter({
      name: "mini_gateway_predictions_total",
      help: "Predicted cached tokens compared with the engine's own count, by outcome",
      labelNames: ["outcome"],
      registers,
      collect() {
        const { observed, exact } = indexer.stats().accuracy;
        this.reset();
        this.inc({ outcome: "exact" }, exact);
        this.inc({ outcome: "off" }, observed - exact);
      },
    });
  }
}
