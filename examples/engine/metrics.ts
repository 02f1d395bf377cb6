/**
 * The few of vLLM's Prometheus metrics that a router reads.
 * @module
 */
import type { ServerHost } from "./server.js";

/** The text of `/metrics`. */
export function metricsText({ core, blocks, model, numBlocks }: ServerHost): string {
  const { running, waiting, queriedTokens, hitTokens } = core.stats;
  const labels = `engine="0",model_name=${JSON.stringify(model)}`;
  const metrics: readonly (readonly [name: string, type: string, labels: string, value: number])[] = [
    [
      "vllm:cache_config_info",
      "gauge",
      `block_size="${blocks.blockSize}",enable_prefix_caching="True",engine="0",num_gpu_blocks="${numBlocks}"`,
      1,
    ],
    ["vllm:num_requests_running", "gauge", labels, running],
    ["vllm:num_requests_waiting", "gauge", labels, waiting],
    ["vllm:kv_cache_usage_perc", "gauge", labels, blocks.pool.usedBlocks / (numBlocks - 1)],
    ["vllm:prefix_cache_queries_total", "counter", labels, queriedTokens],
    ["vllm:prefix_cache_hits_total", "counter", labels, hitTokens],
  ];
  return metrics
    .map(([name, type, of, value]) => `# TYPE ${name} ${type}\n${name}{${of}} ${value}\n`)
    .join("");
}
