/**
 * `kvblock/prometheus`: an indexer's counters on a prom-client registry, under llm-d's names where it has them.
 *
 * The indexer keeps every number itself, so prom-client's classes, which count, are not needed: each metric is handed to
 * the registry in the interface that it asks of one (name, help, type, `get`, `reset`; prom-client 15 `lib/registry.js`).
 * So nothing of prom-client is loaded here, and the registry may come from any copy of it.
 * @module
 */
import type { Registry } from "prom-client";
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
  kvblock_longest_slice_seconds: [
    "Longest that applying frames in slices has held the event loop in one turn",
    (s) => s.longestSliceMs / 1000,
  ],
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
  const add = (type: string, name: string, help: string, read: (stats: IndexStats) => Sample[]): void =>
    registry.registerMetric(metricOf(type, name, help, () => read(indexer.stats())));
  for (const [name, [help, value]] of Object.entries(COUNTERS))
    add("counter", name, help, (stats) => [{ labels: {}, value: value(stats) }]);
  for (const [name, [help, value]] of Object.entries(GAUGES))
    add("gauge", name, help, (stats) => [{ labels: {}, value: value(stats) }]);
  add("counter", "kvblock_skips_total", "Frames, events and stores not applied, by reason", (stats) =>
    Object.entries(stats.skips).map(([reason, value]) => ({ labels: { reason }, value })),
  );
  add("histogram", LATENCY, "Latency of lookups, hashing included", ({ lookupLatency }) => [
    ...lookupLatency.buckets.map(({ leSeconds, count }) => bucket(leSeconds, count)),
    bucket("+Inf", lookupLatency.count),
    { metricName: `${LATENCY}_sum`, labels: {}, value: lookupLatency.sumSeconds },
    { metricName: `${LATENCY}_count`, labels: {}, value: lookupLatency.count },
  ]);
}

const LATENCY = "kvcache_index_lookup_latency_seconds";

/** One line of a scrape; `metricName` where it is not the metric's own. */
interface Sample {
  readonly metricName?: string | undefined;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

function bucket(le: number | string, value: number): Sample {
  return { metricName: `${LATENCY}_bucket`, labels: { le }, value };
}

/** A metric whose samples are read when the registry is scraped. */
function metricOf(
  type: string,
  name: string,
  help: string,
  read: () => Sample[],
): Parameters<Registry["registerMetric"]>[0] {
  const metric = {
    name,
    help,
    type,
    aggregator: "sum",
    async get(): Promise<object> {
      return { ...metric, values: read() };
    },
    reset(): void {},
  };
  return metric as unknown as Parameters<Registry["registerMetric"]>[0];
}
