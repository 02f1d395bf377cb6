/** Numbers from samples, and what a process holds. */
import { readdirSync } from "node:fs";
import { type IntervalHistogram, monitorEventLoopDelay, PerformanceObserver } from "node:perf_hooks";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { threadTime } from "../run/thread-time.js";

/** The value that a share of the samples does not exceed; of few samples, p99 is the highest. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export const spread = (samples: readonly number[]): string =>
  `p50 ${percentile(samples, 0.5).toFixed(0)}, p99 ${percentile(samples, 0.99).toFixed(0)} (${samples.length} samples)`;

/** Least squares: what y gains with each x, and that figure's standard error. */
export function slope(points: readonly (readonly [x: number, y: number])[]): {
  slope: number;
  error: number;
} {
  const n = points.length;
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / n;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / n;
  const sumXX = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const gain = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / sumXX;
  const rest = points.reduce((sum, [x, y]) => sum + (y - meanY - gain * (x - meanX)) ** 2, 0);
  return { slope: gain, error: Math.sqrt(rest / (n - 2) / sumXX) };
}

/** Collect what can be, without the process having been started for it. */
export function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
}

/** What keeps the process alive, by kind, and its open files (Linux; else unknown). */
export function holdings(): { resources: Record<string, number>; files: number | null } {
  const resources: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) resources[kind] = (resources[kind] ?? 0) + 1;
  let files: number | null = null;
  try {
    files = readdirSync("/proc/self/fd").length;
  } catch {
    // not on this system
  }
  return { resources, files };
}

/**
 * How long the event loop was held: by the clock, as a host notices it, and without the time in which other processes had
 * the core (Linux), which is nobody's doing here. Garbage collection is part of both.
 */
export class LoopWatch {
  readonly #delay: IntervalHistogram = monitorEventLoopDelay({ resolution: 1 });
  #longestCollection = 0;
  #longestOwn = 0;
  #last = { at: performance.now(), waited: coreWaitMs() };
  readonly #from = this.#last;
  readonly #timer: NodeJS.Timeout;
  readonly #observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries())
      this.#longestCollection = Math.max(this.#longestCollection, duration);
  });

  constructor() {
    this.#delay.enable();
    this.#observer.observe({ entryTypes: ["gc"] });
    this.#timer = setInterval(() => {
      const now = { at: performance.now(), waited: coreWaitMs() };
      const own = now.at - this.#last.at - (now.waited - this.#last.waited);
      this.#longestOwn = Math.max(this.#longestOwn, own);
      this.#last = now;
    }, 1);
  }

  stop(): string {
    this.#delay.disable();
    this.#observer.disconnect();
    clearInterval(this.#timer);
    const waited = (this.#last.waited - this.#from.waited) / (this.#last.at - this.#from.at);
    const ms = (ns: number): string => (ns / 1e6).toFixed(1);
    return (
      `ms between two timers of 1 ms: p50 ${ms(this.#delay.percentile(50))}, ` +
      `p99 ${ms(this.#delay.percentile(99))}, max ${ms(this.#delay.max)} ` +
      `(${this.#longestOwn.toFixed(1)} without waiting for a core, which was ${(100 * waited).toFixed(0)}% of the time); ` +
      `longest collection of garbage ${this.#longestCollection.toFixed(1)}`
    );
  }
}

/** How long the main thread was ready to run and had no core so far, in milliseconds; 0 where that is not told. */
const coreWaitMs = (): number => threadTime().waited || 0;

export const MIB = 2 ** 20;
export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
