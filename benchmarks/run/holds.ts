/**
 * How long the event loop is held, and by what: our own work, the collector, or the wait for a core that others have.
 *
 * A timer is due every millisecond; between two of its turns the thread's own processor time is read beside the clock. The
 * collector's pauses are part of both: what the thread waits for its helpers takes no processor time of its own.
 */
import { PerformanceObserver } from "node:perf_hooks";
import { threadTime } from "./thread-time.js";

/** Milliseconds between two turns of the timer. */
export interface Gap {
  /** By the clock; an idle loop's are 1. */
  readonly wall: number;
  /** Processor time of this thread, collections included; NaN where the system does not tell it (only Linux does). */
  readonly processor: number;
  /** Collections on this thread, by the clock. */
  readonly collecting: number;
}

export async function gapsWhile(work: () => Promise<unknown>): Promise<Gap[]> {
  const gaps: { from: number; to: number; processor: number }[] = [];
  const collections: { startTime: number; duration: number }[] = [];
  const observer = new PerformanceObserver((list) => collections.push(...list.getEntries()));
  observer.observe({ entryTypes: ["gc"] });
  await sleep(5);
  let last = performance.now();
  let used = threadTime().ran;
  const timer = setInterval(() => {
    const now = performance.now();
    const usedNow = threadTime().ran;
    gaps.push({ from: last, to: now, processor: usedNow - used });
    last = now;
    used = usedNow;
  }, 1);
  await work();
  await sleep(3);
  clearInterval(timer);
  // Entries are handed over in a later turn.
  await sleep(5);
  observer.disconnect();
  return gaps.map(({ from, to, processor }) => ({
    wall: to - from,
    processor,
    collecting: collections.reduce(
      (sum, { startTime, duration }) =>
        sum + Math.max(0, Math.min(to, startTime + duration) - Math.max(from, startTime)),
      0,
    ),
  }));
}

/** The longest of each, not of one gap. */
export function longest(gaps: readonly Gap[]): Gap {
  const most = (what: keyof Gap): number => gaps.reduce((max, gap) => Math.max(max, gap[what]), 0);
  return { wall: most("wall"), processor: most("processor"), collecting: most("collecting") };
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
