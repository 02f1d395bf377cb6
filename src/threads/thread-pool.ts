/**
 * A fixed number of worker threads and the tasks that wait for one.
 *
 * A thread is at one task at a time, so that ending a thread that is late costs nobody else's task. A task whose thread
 * died is given to another once: a second death is its own doing.
 * @module
 */
import type { Worker } from "node:worker_threads";
import { KvBlockError } from "../errors.js";
import { type Pending, pend, type Task } from "./pending.js";
import { Thread } from "./thread.js";

export interface ThreadPoolOptions {
  readonly size: number;
  /** Tasks that may wait for a thread. */
  readonly maxQueued: number;
  /** @throws whatever keeps a thread from being made */
  readonly spawn: () => Worker;
  /** A thread ended by itself. */
  readonly onDied: (why: Error) => void;
  /** There is no thread left, and none can be started. */
  readonly onUnavailable: (why: Error) => void;
}

export interface ThreadPoolStats {
  readonly threads: number;
  readonly busy: number;
  readonly queued: number;
  /** Threads that ended by themselves. */
  readonly died: number;
  /** Tasks given to a second thread. */
  readonly retried: number;
  /** Tasks that ran for longer than they may; their threads were ended. */
  readonly timedOut: number;
}

/** Waiting tasks among which a thread looks for its own: the first of them is passed over no more often. */
const LOOKED_AT = 8;
/** Starts that may fail in a row. */
const MAX_FAILED_STARTS = 3;
/** Threads that may die of one task, or while they are at it: with the last, it is given up. */
const LIVES = 2;

export class ThreadPool {
  readonly #options: ThreadPoolOptions;
  readonly #threads = new Set<Thread>();
  #queue = new Set<Pending>();
  /** What every thread does first, also those to come. */
  readonly #setups = new Set<unknown>();
  /** Threads that were not heard of yet. */
  readonly #starting = new Set<Thread>();
  /** Those that are not up. */
  readonly #starts = new Map<Thread, (error: Error | undefined) => void>();
  #failedStarts = 0;
  #unavailable: Error | undefined;
  #closed = false;
  readonly #counts = { died: 0, retried: 0, timedOut: 0 };

  constructor(options: ThreadPoolOptions) {
    this.#options = options;
  }

  /** Resolves when the threads are up, or it is known that none can be started. */
  async start(): Promise<void> {
    const { size } = this.#options;
    const errors = await Promise.all(Array.from({ length: size }, () => this.#startOne()));
    const failed = errors.filter((error) => error !== undefined);
    if (failed.length > 0 && failed.length === size) this.#giveUp(failed[0]!);
    else for (const _ of failed) this.#replace();
  }

  /** Whether tasks can be run, or could be if it were not closed. */
  get isAvailable(): boolean {
    return this.#options.size > 0 && this.#unavailable === undefined;
  }

  get stats(): ThreadPoolStats {
    const threads = [...this.#threads];
    const busy = threads.filter(({ up, isFree }) => up && !isFree).length;
    return { threads: threads.length, busy, queued: this.#queue.size, ...this.#counts };
  }

  /**
   * Run a task on a thread that is free, or queue it.
   * @throws KvBlockError `ERR_KVBLOCK_BUSY` if too many wait, `ERR_KVBLOCK_TIMEOUT` if it ran for too long,
   *   `ERR_KVBLOCK_WORKER` if threads died of it or none can be started, `ERR_KVBLOCK_CLOSED`; the signal's reason; what
   *   the thread throws
   */
  async run<T>(task: Task): Promise<T> {
    task.signal?.throwIfAborted();
    this.#checkUsable();
    const { maxQueued } = this.#options;
    const isFree = this.#queue.size === 0 && this.#freeThreads().length > 0;
    if (!isFree && this.#queue.size >= maxQueued)
      throw new KvBlockError("ERR_KVBLOCK_BUSY", `${maxQueued} tasks wait for a worker thread already`);
    const place = (pending: Pending): void => {
      this.#queue.add(pending);
      this.#dispatch();
    };
    return pend<T>(task, LIVES, place, (pending) => this.#queue.delete(pending));
  }

  /**
   * Run something on every thread, and on those to come before anything else.
   * @returns what the first thread answers
   * @throws what the first thread throws; then no thread to come does it
   */
  async setUp<T>(message: unknown): Promise<T> {
    this.#setups.add(message);
    try {
      return (await this.#runOnAll(message, LIVES)) as T;
    } catch (error) {
      this.#setups.delete(message);
      throw error;
    }
  }

  /** End every thread; what was under way is rejected. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const pending of this.#queue) pending.reject(closedError());
    await Promise.all(Array.from(this.#threads, (thread) => thread.end()));
  }

  #checkUsable(): void {
    if (this.#closed) throw closedError();
    if (this.#unavailable !== undefined) throw dead(this.#unavailable);
  }

  /** Where all are lost before they did it, those that replace them are asked: it need not have been its doing. */
  async #runOnAll(message: unknown, lives: number): Promise<unknown> {
    this.#checkUsable();
    const threads = [...this.#threads];
    const ends = await Promise.allSettled(threads.map((thread) => this.#runOn(thread, message)));
    const done = ends.find((end) => end.status === "fulfilled");
    if (done !== undefined) return done.value;
    const why = (ends[0] as PromiseRejectedResult | undefined)?.reason ?? dead(undefined);
    if (why.code === "ERR_KVBLOCK_WORKER" && lives > 1) return this.#runOnAll(message, lives - 1);
    throw why;
  }

  #runOn(thread: Thread, message: unknown): Promise<unknown> {
    // Not given to another thread: each does it anyway.
    return pend({ message, deadlineMs: Number.POSITIVE_INFINITY }, 1, (pending) => {
      thread.own.push(pending);
      this.#feed(thread);
    });
  }

  #startOne(): Promise<Error | undefined> {
    return new Promise((resolve) => {
      let thread: Thread;
      try {
        thread = new Thread(this.#options.spawn(), this.#freeSlot(), {
          free: (free) => this.#feed(free),
          gone: (gone, at, error) => this.#lost(gone, at, error),
          late: (pending) => this.#late(pending),
        });
      } catch (error) {
        this.#failedStarts++;
        resolve(error as Error);
        return;
      }
      this.#threads.add(thread);
      this.#starting.add(thread);
      this.#starts.set(thread, resolve);
    });
  }

  /** Give a thread its next call. */
  #feed(thread: Thread): void {
    if (!thread.isFree) return;
    if (this.#starting.has(thread)) {
      this.#begin(thread);
      return;
    }
    const own = thread.own.shift();
    if (own !== undefined) this.#call(thread, own);
    else if (thread.up) this.#dispatch();
  }

  /** It is there: let it do what all do first, and then take tasks. */
  #begin(thread: Thread): void {
    this.#starting.delete(thread);
    const asked = thread.own.map(({ message }) => message);
    const setups = [...this.#setups].filter((message) => !asked.includes(message));
    Promise.all(setups.map((message) => this.#runOn(thread, message))).then(
      () => {
        thread.up = true;
        this.#failedStarts = 0;
        this.#started(thread, undefined);
        this.#feed(thread);
      },
      (error: Error) => void thread.end(error),
    );
  }

  #started(thread: Thread, error: Error | undefined): void {
    this.#starts.get(thread)?.(error);
    this.#starts.delete(thread);
  }

  #freeSlot(): number {
    const taken = new Set(Array.from(this.#threads, ({ slot }) => slot));
    let slot = 0;
    while (taken.has(slot)) slot++;
    return slot;
  }

  #freeThreads(): Thread[] {
    return [...this.#threads].filter(({ up, isFree, own }) => up && isFree && own.length === 0);
  }

  /** A free thread gets the task that is its own among the next few, or else the next. */
  #dispatch(): void {
    for (let free = this.#freeThreads(); free.length > 0; free = free.filter(({ isFree }) => isFree)) {
      const pending = this.#nextFor(free[0]!);
      if (pending === undefined) return;
      this.#queue.delete(pending);
      this.#call(free.find((thread) => this.#isOwn(pending, thread)) ?? free[0]!, pending);
    }
  }

  #nextFor(thread: Thread): Pending | undefined {
    let seen = 0;
    for (const pending of this.#queue) {
      if (this.#isOwn(pending, thread)) return pending;
      if (++seen === LOOKED_AT) break;
    }
    return this.#queue.values().next().value;
  }

  #isOwn({ affinity }: Pending, { slot }: Thread): boolean {
    return affinity === undefined || Math.abs(affinity) % this.#options.size === slot;
  }

  #call(thread: Thread, pending: Pending): void {
    try {
      thread.call(pending);
    } catch (cause) {
      const message = "this cannot be sent to a worker thread: it is no plain data";
      pending.reject(new KvBlockError("ERR_KVBLOCK_INPUT", message, { cause }));
    }
  }

  #late(pending: Pending): void {
    this.#counts.timedOut++;
    const message = `a worker thread took more than ${pending.deadlineMs} ms for this`;
    pending.reject(new KvBlockError("ERR_KVBLOCK_TIMEOUT", message));
  }

  #lost(thread: Thread, at: Pending | undefined, error: Error): void {
    this.#threads.delete(thread);
    this.#starting.delete(thread);
    const why = this.#closed ? closedError() : dead(error);
    for (const pending of thread.own) pending.reject(why);
    if (at !== undefined && !at.settled) {
      if (this.#closed || --at.lives <= 0) at.reject(why);
      else {
        this.#counts.retried++;
        this.#queue = new Set([at, ...this.#queue]);
      }
    }
    if (thread.up && !thread.isEnded) {
      this.#counts.died++;
      this.#options.onDied(error);
    }
    if (thread.up) this.#replace();
    else {
      this.#failedStarts++;
      this.#started(thread, error);
    }
  }

  #replace(): void {
    if (this.#closed) return;
    void this.#startOne().then((error) => {
      if (error === undefined || this.#closed) return;
      if (this.#failedStarts < MAX_FAILED_STARTS) this.#replace();
      else if (this.#threads.size === 0) this.#giveUp(error);
    });
  }

  #giveUp(error: Error): void {
    if (this.#closed || this.#unavailable !== undefined) return;
    this.#unavailable = error;
    for (const pending of this.#queue) pending.reject(dead(error));
    this.#options.onUnavailable(error);
  }
}

function dead(cause: Error | undefined): KvBlockError {
  const message = "the worker threads that should do this died or cannot start";
  return new KvBlockError("ERR_KVBLOCK_WORKER", message, { cause });
}

function closedError(): KvBlockError {
  return new KvBlockError("ERR_KVBLOCK_CLOSED", "the worker threads are closed");
}
