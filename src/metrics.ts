/**
 * The read path's own counters, and the line that shows them.
 * @module
 */
import type { IndexStats } from "./types.js";

/** Upper bounds of the lookup latency histogram, in seconds. A lookup takes microseconds to a few milliseconds. */
const BUCKETS = [1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 1e-1];

/** How long lookups took. */
export class LatencyHistogram {
  count = 0;
  sumSeconds = 0;
  readonly #counts = new Float64Array(BUCKETS.length);

  observe(seconds: number): void {
    this.count++;
    this.sumSeconds += seconds;
    for (let i = BUCKETS.length - 1; i >= 0 && seconds <= BUCKETS[i]!; i--) this.#counts[i]!++;
  }

  snapshot(): IndexStats["lookupLatency"] {
    return {
      count: this.count,
      sumSeconds: this.sumSeconds,
      buckets: BUCKETS.map((leSeconds, i) => ({ leSeconds, count: this.#counts[i]! })),
    };
  }
}

/**
 * The index's counters as llm-d's indexer logs them once a minute:
 * `metrics beat admissions=3 evictions=0 lookups=2 hits=2 latency_count=2 latency_sum=0.000412 latency_avg=0.000206`.
 * Latencies are in seconds.
 */
export function formatMetricsBeat({
  admissions,
  evictions,
  lookups,
  hits,
  lookupLatency,
}: IndexStats): string {
  const { count, sumSeconds } = lookupLatency;
  const average = count === 0 ? 0 : sumSeconds / count;
  return `metrics beat admissions=${admissions} evictions=${evictions} lookups=${lookups} hits=${hits} latency_count=${count} latency_sum=${seconds(sumSeconds)} latency_avg=${seconds(average)}`;
}

/** Whole nanoseconds, never in the notation with an exponent. */
function seconds(value: number): string {
  return value.toFixed(9).replace(/\.?0+$/, "");
}
