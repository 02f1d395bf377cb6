/**
 * One worker thread and the call that it is at.
 * @module
 */
import type { Worker } from "node:worker_threads";
import type { Pending } from "./pending.js";
import { fromPlain, type Reply } from "./wire.js";

/** A thread that has not answered by then serves nothing: its script is another. */
const START_MS = 30_000;

export interface ThreadEvents {
  /** It can take the next call. */
  readonly free: (thread: Thread) => void;
  /** It is gone, and with it the call that it was at. Told once. */
  readonly gone: (thread: Thread, at: Pending | undefined, error: Error) => void;
  /** A call ran for longer than it may; the thread will be gone. */
  readonly late: (pending: Pending) => void;
}

export class Thread {
  /** Calls for this thread alone, before any others. */
  readonly own: Pending[] = [];
  /** Its place among the threads: a replacement takes its forerunner's. */
  readonly slot: number;
  /** It has answered. */
  begun = false;
  /** It has done what every thread does first, too. */
  up = false;
  /** It was ended on purpose. */
  isEnded = false;
  readonly #worker: Worker;
  readonly #events: ThreadEvents;
  #at: Pending | undefined;
  #timer: NodeJS.Timeout | undefined;
  #calls = 0;
  #error: Error | undefined;
  readonly #exited: Promise<void>;

  constructor(worker: Worker, slot: number, events: ThreadEvents) {
    this.slot = slot;
    this.#worker = worker;
    this.#events = events;
    this.#timer = setTimeout(() => void this.end(new Error(`no answer in ${START_MS} ms`)), START_MS);
    worker.on("message", (reply: Reply) => this.#take(reply));
    // What cannot be read leaves the call without an answer: as good as dead.
    worker.on("messageerror", (error) => void this.end(error));
    worker.on("error", (error) => {
      this.#error ??= error instanceof Error ? error : new Error(String(error));
    });
    this.#exited = new Promise((resolve) =>
      worker.on("exit", (code) => {
        clearTimeout(this.#timer);
        events.gone(this, this.#at, this.#error ?? new Error(`the thread ended with code ${code}`));
        resolve();
      }),
    );
  }

  get isFree(): boolean {
    return this.begun && this.#at === undefined;
  }

  /** Only while it is free. @throws DataCloneError for a message that cannot be sent */
  call(pending: Pending): void {
    this.#worker.postMessage({ id: ++this.#calls, message: pending.message });
    this.#at = pending;
    this.#worker.ref();
    if (pending.deadlineMs === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => {
      this.#events.late(pending);
      void this.end();
    }, pending.deadlineMs);
  }

  /** End it, in the middle of whatever it is at. Resolves when it is gone. */
  end(why?: Error): Promise<void> {
    this.isEnded = true;
    this.#error ??= why;
    void this.#worker.terminate();
    return this.#exited;
  }

  #take(reply: Reply): void {
    clearTimeout(this.#timer);
    if (reply.id === 0) this.begun = true;
    else {
      const pending = this.#at!;
      this.#at = undefined;
      if ("error" in reply) pending.reject(fromPlain(reply.error));
      else pending.resolve(reply.value);
    }
    this.#events.free(this);
    // An idle thread keeps no process alive.
    if (this.#at === undefined) this.#worker.unref();
  }
}
