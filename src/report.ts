/**
 * What an indexer says of itself: its pods, its counts, and all of it in one object for a bug report.
 * @module
 */
import type { BlockIndex } from "./block-index/index.js";
import type { TransportSnapshot } from "./events/index.js";
import type { HashOptions, IndexerOptions } from "./options.js";
import type { Publishers } from "./publishers.js";
import type { ReadPath } from "./read-path.js";
import type { Subscription } from "./subscription.js";
import type { Given } from "./subscriptions.js";
import type { Turns } from "./turns.js";
import type { Diagnostic, IndexStats, PodStatus } from "./types.js";
import { VERSION } from "./version.js";
import type { WritePath } from "./write-path.js";

/** Everything that helps to find a fault, as plain JSON; no prompts, token ids, salts or keys. */
export interface IndexerReport {
  /** This package's version. */
  readonly kvblock: string;
  readonly node: string;
  /** Such as `linux-x64`. */
  readonly platform: string;
  /** When it was made, by the indexer's clock. */
  readonly at: number;
  /** Options as configured: functions and tokenizers by name or kind, `noneHash` by its length. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly subscriptions: readonly {
    readonly pod: string | null;
    readonly model: string | null;
    /** Empty for a source. */
    readonly endpoints: readonly string[];
    /** Whether lost frames are asked for. */
    readonly replay: boolean;
    readonly transport: TransportSnapshot | null;
  }[];
  readonly pods: readonly PodStatus[];
  readonly stats: IndexStats;
  readonly diagnostics: readonly Diagnostic[];
  /** Of the whole process, in bytes. The index's own: `stats.memory`. */
  readonly memory: {
    readonly rss: number;
    readonly heapUsed: number;
    readonly heapTotal: number;
    readonly external: number;
    readonly arrayBuffers: number;
  };
}

export interface ReporterOptions {
  readonly configured: IndexerOptions;
  readonly index: BlockIndex;
  readonly publishers: Publishers;
  readonly writePath: WritePath;
  readonly readPath: ReadPath;
  readonly subscriptions: ReadonlyMap<Subscription, Given>;
  readonly turns: Turns;
  readonly clock: () => number;
}

export class Reporter {
  readonly #options: ReporterOptions;

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  pods(): PodStatus[] {
    const now = this.#options.clock();
    return Array.from(this.#options.publishers, (publisher) => publisher.status(now)).sort(
      (a, b) => compare(a.model, b.model) || compare(a.pod, b.pod) || a.dataParallelRank - b.dataParallelRank,
    );
  }

  stats(): IndexStats {
    const { index, readPath, writePath, turns } = this.#options;
    const { admissions, duplicates, evictions, voided, dropped, saturated } = index.counts;
    const { lookups, hits, latency, accuracy } = readPath;
    return {
      admissions,
      duplicates,
      evictions,
      voided,
      dropped,
      saturated,
      lookups,
      hits,
      lookupLatency: latency.snapshot(),
      frames: writePath.frames,
      longestSliceMs: turns.longestMs,
      events: { ...writePath.batches.events },
      skips: { ...writePath.skips },
      blocks: index.blocks,
      memory: { usedBytes: index.usedBytes, limitBytes: index.memoryLimitBytes },
      accuracy: { ...accuracy },
    };
  }

  report(diagnostics: readonly Diagnostic[]): IndexerReport {
    const { configured, subscriptions, clock } = this.#options;
    const { rss, heapUsed, heapTotal, external, arrayBuffers } = process.memoryUsage();
    return {
      kvblock: VERSION,
      node: process.version,
      platform: `${process.platform}-${process.arch}`,
      at: clock(),
      options: shownOptions(configured),
      subscriptions: Array.from(subscriptions, ([{ endpoints, transport }, given]) => ({
        pod: given.pod ?? null,
        model: given.model ?? null,
        endpoints: [...endpoints],
        replay: given.replayEndpoint !== undefined,
        transport,
      })),
      pods: this.pods(),
      stats: this.stats(),
      diagnostics,
      memory: { rss, heapUsed, heapTotal, external, arrayBuffers },
    };
  }
}

/** Only what is named here is shown: an option to come may hold what a report must not. */
function shownOptions(options: IndexerOptions): Record<string, unknown> {
  const { blockSize, hash, models, tokenizers, tierWeights, memoryLimitBytes, maxFrameBytes } = options;
  const shown = {
    blockSize,
    hash: shownHash(hash),
    models:
      models === undefined
        ? undefined
        : Object.fromEntries(
            Object.entries(models).map(([name, model]) => [name, { ...model, hash: shownHash(model.hash) }]),
          ),
    tokenizers: typeof tokenizers === "function" ? "function" : tokenizers && Object.keys(tokenizers),
    tierWeights,
    memoryLimitBytes,
    maxFrameBytes,
    onDiagnostic: options.onDiagnostic && "function",
    clock: options.clock && "function",
  };
  // Copied, so that what the host changes later does not change the report; what is undefined goes.
  return JSON.parse(JSON.stringify(shown)) as Record<string, unknown>;
}

function shownHash(hash: HashOptions | undefined): Record<string, unknown> | undefined {
  if (hash?.mode !== "exact" || hash.noneHash === undefined) return hash;
  return { ...hash, noneHash: `${hash.noneHash.length} bytes` };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
