/** How long the library's own slices of the event loop are, as it tells them on Node's `diagnostics_channel`. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { PerformanceObserver } from "node:perf_hooks";
import { threadTime } from "../run/thread-time.js";
import { sleep } from "./figures.js";

/** No slice may hold the event loop longer: law 11. */
const LONGEST_SLICE_MS = 5;
/** Share of the time without a core that a quiet machine does not reach. */
const QUIET = 0.2;
/** Shorter ones are counted only. */
const KEPT_MS = 2;
/** So many, and collections, are kept till they are looked at, but not before the collections meanwhile were told of. */
const KEPT = 1000;
const TOLD_AFTER_MS = 500;

interface Slice {
  readonly from: number;
  readonly took: number;
  readonly ran: number;
}

export interface SliceFigures {
  readonly count: number;
  /** By the clock. */
  readonly longest: number;
  /** Of one slice, without collections of garbage and without waiting for a core: the library's own. */
  readonly longestOwn: number;
  /** Why others' doing may be in its processor time; undefined: it is not, and can be judged. */
  readonly excuse: string | undefined;
}

export class SliceWatch {
  #count = 0;
  readonly #began = { at: performance.now(), waited: threadTime().waited };
  #from = { at: 0, ran: 0 };
  #longest = 0;
  #longestOwn = 0;
  #slices: Slice[] = [];
  #collections: { startTime: number; duration: number }[] = [];
  readonly #observer = new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries())
      if (duration > 0.1) this.#collections.push({ startTime, duration });
    if (this.#collections.length >= KEPT) this.#look(performance.now() - TOLD_AFTER_MS);
  });
  readonly #onStart = (): void => {
    this.#from = { at: performance.now(), ran: threadTime().ran };
  };
  readonly #onEnd = (message: unknown): void => {
    this.#count++;
    const { ms } = message as { ms: number };
    const { at, ran } = this.#from;
    this.#longest = Math.max(this.#longest, ms);
    if (ms < KEPT_MS) return;
    this.#slices.push({ from: at, took: ms, ran: threadTime().ran - ran });
    if (this.#slices.length >= KEPT) this.#look(performance.now() - TOLD_AFTER_MS);
  };

  constructor() {
    this.#observer.observe({ entryTypes: ["gc"] });
    subscribe("tracing:kvblock.slice:start", this.#onStart);
    subscribe("tracing:kvblock.slice:end", this.#onEnd);
  }

  async stop(): Promise<SliceFigures> {
    unsubscribe("tracing:kvblock.slice:start", this.#onStart);
    unsubscribe("tracing:kvblock.slice:end", this.#onEnd);
    const waited = (threadTime().waited - this.#began.waited) / (performance.now() - this.#began.at);
    // Collections are told of in a later turn.
    await sleep(5);
    this.#observer.disconnect();
    this.#look(Number.POSITIVE_INFINITY);
    return {
      count: this.#count,
      longest: this.#longest,
      longestOwn: this.#longestOwn,
      excuse: waited > QUIET ? "on a machine too busy to tell" : undefined,
    };
  }

  /** Look at the slices that began before, and forget them: what is watched here is memory too. */
  #look(before: number): void {
    for (const slice of this.#slices)
      if (slice.from < before) this.#longestOwn = Math.max(this.#longestOwn, this.#own(slice));
    this.#slices = this.#slices.filter(({ from }) => from >= before);
    this.#collections = this.#collections.filter(({ startTime }) => startTime >= before - TOLD_AFTER_MS);
  }

  /** What the thread ran, collections taken off: rather too much of them, since they wait for helper threads too. */
  #own({ from, took, ran }: Slice): number {
    const to = from + took;
    let collecting = 0;
    for (const { startTime, duration } of this.#collections)
      collecting += Math.max(0, Math.min(to, startTime + duration) - Math.max(from, startTime));
    return Math.max(0, Math.min(Number.isNaN(ran) ? took : ran, took) - collecting);
  }
}

export function isTooLong({ longestOwn, excuse }: SliceFigures): boolean {
  return longestOwn > LONGEST_SLICE_MS && excuse === undefined;
}

export function sliceLine({ count, longest, longestOwn, excuse }: SliceFigures): string {
  const over =
    longestOwn > LONGEST_SLICE_MS
      ? `: over ${LONGEST_SLICE_MS}${excuse === undefined ? "" : `, ${excuse}`}`
      : "";
  return (
    `${count} slices, the longest ${longestOwn.toFixed(1)} ms without collections and waiting for a core ` +
    `(${longest.toFixed(1)} by the clock)${over}`
  );
}
