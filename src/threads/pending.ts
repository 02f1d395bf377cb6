/**
 * A task from its caller's side: a promise, settled once, whatever the thread still does.
 * @module
 */

export interface Task {
  /** What a structured clone can copy. */
  readonly message: unknown;
  /** Milliseconds that it may run, not counting what it waits; Infinity for no bound. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Tasks of one number are given to one thread where that costs nobody a wait: it may remember. Any integer. */
  readonly affinity?: number | undefined;
}

/** A task that waits for its answer. */
export interface Pending extends Omit<Task, "signal"> {
  /** Threads that may still die of it, or while they are at it. */
  lives: number;
  /** Its caller has an answer, or wants none any more. */
  settled: boolean;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/**
 * @param place - hands the task on
 * @param drop - takes it back, once it is settled
 */
export function pend<T>(
  { message, deadlineMs, signal, affinity }: Task,
  lives: number,
  place: (pending: Pending) => void,
  drop?: (pending: Pending) => void,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const settle = (how: () => void): void => {
      if (pending.settled) return;
      pending.settled = true;
      signal?.removeEventListener("abort", onAbort);
      drop?.(pending);
      how();
    };
    const pending: Pending = {
      message,
      deadlineMs,
      affinity,
      lives,
      settled: false,
      resolve: (value) => settle(() => resolve(value as T)),
      reject: (error) => settle(() => reject(error)),
    };
    // A task that runs goes on: its thread is not worth losing. Its answer is for nobody.
    const onAbort = (): void => pending.reject(signal!.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    place(pending);
  });
}
