/** `kvblock/prometheus`: an indexer's counters on a prom-client registry, as a scrape shows them. */
import { formatMetricsBeat, Indexer } from "kvblock";
import { registerMetrics } from "kvblock/prometheus";
import { clearedFrame, removedFrame, storedFrame } from "kvblock/testing";
import { Registry } from "prom-client";
import { describe, expect, it } from "vitest";

const of = { pod: "pod-a", model: "m" };
const tokens = Array.from({ length: 192 }, (_, i) => i);
const prompt = { ...of, tokens, blockSize: 64 };

/** The quickstart: a miss, three blocks stored, a hit of two; then an eviction, a duplicate and a bad frame. */
async function busyIndexer(): Promise<Indexer> {
  const indexer = await Indexer.create({ onDiagnostic: null });
  indexer.scoreTokens(tokens, { model: "m" });
  indexer.apply(storedFrame({ ...prompt, seq: 0 }));
  indexer.scoreTokens(tokens, { model: "m" });
  return indexer;
}

const lines = async (registry: Registry): Promise<Map<string, number>> =>
  new Map(
    (await registry.metrics())
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]),
  );

describe("registerMetrics", () => {
  it("has llm-d's names, with the quickstart's numbers", async () => {
    const registry = new Registry();
    registerMetrics(await busyIndexer(), { registry });
    const scraped = await lines(registry);
    expect(scraped.get("kvcache_index_admissions_total")).toBe(3);
    expect(scraped.get("kvcache_index_evictions_total")).toBe(0);
    expect(scraped.get("kvcache_index_lookup_requests_total")).toBe(2);
    expect(scraped.get("kvcache_index_lookup_hits_total")).toBe(2);
    expect(scraped.get("kvcache_index_lookup_latency_seconds_count")).toBe(2);
    expect(scraped.get('kvcache_index_lookup_latency_seconds_bucket{le="+Inf"}')).toBe(2);
    expect(scraped.get("kvblock_index_blocks")).toBe(3);
    expect(scraped.get("kvblock_index_memory_limit_bytes")).toBe(256 * 2 ** 20);
  });

  it("every scrape shows the counters of that moment, skips by reason among them", async () => {
    const registry = new Registry();
    const indexer = await busyIndexer();
    registerMetrics(indexer, { registry });
    await registry.metrics();
    indexer.apply(removedFrame({ ...prompt, seq: 1, fromBlock: 2 }));
    indexer.apply(storedFrame({ ...prompt, seq: 2 }));
    indexer.apply(clearedFrame({ ...of, seq: 3 }));
    indexer.apply({ ...clearedFrame(of), topic: "" });
    const scraped = await lines(registry);
    expect(scraped.get("kvcache_index_admissions_total")).toBe(4);
    expect(scraped.get("kvcache_index_evictions_total")).toBe(1);
    expect(scraped.get("kvblock_index_duplicates_total")).toBe(2);
    expect(scraped.get("kvblock_index_voided_total")).toBe(3);
    expect(scraped.get("kvblock_frames_total")).toBe(5);
    expect(scraped.get('kvblock_skips_total{reason="topic-unusable"}')).toBe(1);
    expect(await lines(registry)).toEqual(scraped);
  });

  it("the histogram is a well-formed one: cumulative buckets up to the count", async () => {
    const registry = new Registry();
    registerMetrics(await busyIndexer(), { registry });
    const buckets = [...(await lines(registry))].filter(([name]) => name.includes("latency_seconds_bucket"));
    const counts = buckets.map(([, count]) => count);
    expect(buckets.length).toBeGreaterThan(5);
    expect(counts).toEqual([...counts].sort((a, b) => a - b));
    expect(counts.at(-1)).toBe(2);
    const text = await registry.metrics();
    expect(text).toContain("# TYPE kvcache_index_lookup_latency_seconds histogram");
    expect(text).toContain("# TYPE kvcache_index_admissions_total counter");
  });

  it("other metrics of the registry, and its own listings, go on working", async () => {
    const registry = new Registry();
    registry.setDefaultLabels({ router: "r1" });
    registerMetrics(await busyIndexer(), { registry });
    expect((await registry.getMetricsAsJSON()).map(({ name }) => name)).toContain(
      "kvcache_index_lookup_latency_seconds",
    );
    expect(await registry.metrics()).toContain('kvcache_index_admissions_total{router="r1"} 3');
    registry.resetMetrics();
    expect((await lines(registry)).get('kvcache_index_admissions_total{router="r1"}')).toBe(3);
  });

  it("refuses mistakes, and a second indexer on one registry", async () => {
    const registry = new Registry();
    const indexer = await busyIndexer();
    expect(() => registerMetrics({} as never, { registry })).toThrow('"indexer" expected an Indexer');
    expect(() => registerMetrics(indexer, {} as never)).toThrow('"registry" expected a prom-client Registry');
    expect(() => registerMetrics(indexer, { register: registry } as never)).toThrow("did you mean registry?");
    registerMetrics(indexer, { registry });
    expect(() => registerMetrics(indexer, { registry })).toThrow("already been registered");
  });
});

describe("formatMetricsBeat", () => {
  it("is llm-d's line, with the quickstart's numbers", async () => {
    const line = formatMetricsBeat((await busyIndexer()).stats());
    expect(line).toMatch(
      /^metrics beat admissions=3 evictions=0 lookups=2 hits=2 latency_count=2 latency_sum=\d+\.\d+ latency_avg=\d+\.\d+$/,
    );
  });

  it("writes short times out, for those who read it with simple tools", async () => {
    const stats = (await busyIndexer()).stats();
    const lookupLatency = { ...stats.lookupLatency, count: 4, sumSeconds: 0.000_000_4 };
    expect(formatMetricsBeat({ ...stats, lookupLatency })).toContain(
      "latency_sum=0.0000004 latency_avg=0.0000001",
    );
    const slow = { ...stats.lookupLatency, count: 2, sumSeconds: 10 };
    expect(formatMetricsBeat({ ...stats, lookupLatency: slow })).toContain("latency_sum=10 latency_avg=5");
  });

  it("has no average to divide by zero before the first lookup", async () => {
    expect(formatMetricsBeat((await Indexer.create()).stats())).toContain(
      "latency_count=0 latency_sum=0 latency_avg=0",
    );
  });
});
