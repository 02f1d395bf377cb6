/**
 * `kvblock/prometheus`: an indexer's counters on a prom-client registry, under llm-d's names where it has them.
 * @module
 */
import { Counter, Gauge, type Registry } from "prom-client";
import { checkOptions, typeMistake } from "./errors.js";
import type { Indexer } from "./indexer.js";
import type { IndexStats } from "./types.js";

export interface MetricsOptions {
  /** The registry to add to: your own, or prom-client's `register`. */
  registry: Registry;
}

/** Counters by name: help, and what of the stats they are. */
const COUNTERS: Readonly<Record<string, readonly [help: string, value: (stats: IndexStats) => number]>> = {
  kvcache_index_admissions_total: ["KV-block admissions", (s) => s.admissions],
  kvcache_index_evictions_total: ["KV-block evictions", (s) => s.evictions],
  kvcache_index_lookup_requests_total: ["Lookups", (s) => s.lookups],
  kvcache_index_lookup_hits_total: ["Blocks matched by the best pod, summed over lookups", (s) => s.hits],
  kvcache_index_max_pod_hit_count_total: [
    "Longest prefix of a single pod, summed over lookups",
    (s) => s.hits,
  ],
  kvblock_index_duplicates_total: ["Stores of a block that the publisher already held", (s) => s.duplicates],
  kvblock_index_voided_total: ["Entries voided by a clear, a restart or a removed pod", (s) => s.voided],
  kvblock_index_dropped_total: ["Entries dropped to keep the memory limit", (s) => s.dropped],
  kvblock_frames_total: ["Event frames received", (s) => s.frames],
};

const GAUGES: typeof COUNTERS = {
  kvblock_index_blocks: ["Distinct blocks in the index", (s) => s.blocks],
  kvblock_index_memory_bytes: ["Memory in use", (s) => s.memory.usedBytes],
  kvblock_index_memory_limit_bytes: ["Memory limit", (s) => s.memory.limitBytes],
};

/**
 * Add an indexer's metrics to a registry. They are read when the registry is scraped.
 *
 * @throws TypeError if the indexer or registry is none; prom-client's Error if the registry has one of the names already
 */
export function registerMetrics(indexer: Indexer, options: MetricsOptions): void {
  checkOptions("registerMetrics", options, ["registry"]);
  const { registry } = options;
  if (typeof indexer?.stats !== "function") throw typeMistake("indexer", "an Indexer", indexer);
  if (typeof registry?.registerMetric !== "function")
    throw typeMistake("registry", "a prom-client Registry", registry);
  const registers = [registry];
  for (const [name, [help, value]] of Object.entries(COUNTERS))
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(value(indexer.stats()));
      },
    });
  for (const [name, [help, value]] of Object.entries(GAUGES))
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value(indexer.stats()));
      },
    });
  new Counter({
    name: "kvblock_skips_total",
    help: "Frames, events and stores not applied, by reason",
    labelNames: ["reason"],
    registers,
    collect() {
      this.reset();
      for (const [reason, count] of Object.entries(indexer.stats().skips)) this.inc({ reason }, count);
    },
  });
  registry.registerMetric(lookupLatency(indexer));
}

/**
 * The indexer keeps its own histogram, since the registry may come later or never; this hands it out as it is.
 * prom-client has no class for that, so the metric is written out in its interface: name, help, type, `get`, `reset`.
 */
function lookupLatency(indexer: Indexer): Parameters<Registry["registerMetric"]>[0] {
  const name = "kvcache_index_lookup_latency_seconds";
  const metric = {
    name,
    help: "Latency of lookups, hashing included",
    type: "histogram",
    aggregator: "sum",
    async get() {
      const { count, sumSeconds, buckets } = indexer.stats().lookupLatency;
      const bucket = (le: number | string, value: number): object => ({
        metricName: `${name}_bucket`,
        labels: { le },
        value,
      });
      return {
        ...metric,
        values: [
          ...buckets.map(({ leSeconds, count: value }) => bucket(leSeconds, value)),
          bucket("+Inf", count),
          { metricName: `${name}_sum`, labels: {}, value: sumSeconds },
          { metricName: `${name}_count`, labels: {}, value: count },
        ],
      };
    },
    reset() {},
  };
  return metric as unknown as Parameters<Registry["registerMetric"]>[0];
}
