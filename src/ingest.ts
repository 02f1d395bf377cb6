/**
 * Frames from elsewhere, applied without holding the event loop.
 * @module
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { typeMistake } from "./errors.js";
import type { KvFrame } from "./types.js";

/** A slice of ingest ends after this long; one frame more may be under way then, unless it is a large one. */
const SLICE_MS = 4;

/**
 * Hand every frame to `apply`, giving the event loop a turn between slices. A promise of `apply`'s is waited for.
 *
 * @param stopwatch - monotonic milliseconds
 * @param signal - when aborted, ends after the frame under way, or at once while waiting for one
 * @throws what the source throws, and the signal's reason; TypeError if `frames` is no iterable
 */
export async function ingest(
  frames: Iterable<KvFrame> | AsyncIterable<KvFrame>,
  apply: (frame: KvFrame) => unknown,
  stopwatch: () => number,
  signal?: AbortSignal,
): Promise<void> {
  signal?.throwIfAborted();
  let sliceEnds = stopwatch() + SLICE_MS;
  /** Apply one; a promise if the slice is over. */
  const take = (frame: KvFrame): Promise<void> | undefined => {
    const applied = apply(frame);
    if (applied instanceof Promise) return applied.then(turn);
    return stopwatch() < sliceEnds ? undefined : turn();
  };
  const turn = async (): Promise<void> => {
    await nextTurn();
    signal?.throwIfAborted();
    sliceEnds = stopwatch() + SLICE_MS;
  };
  if (isAsync(frames)) return ingestAsync(frames[Symbol.asyncIterator](), take, signal);
  if (typeof (frames as Partial<Iterable<KvFrame>> | null)?.[Symbol.iterator] !== "function")
    throw typeMistake("frames", "an iterable of frames", frames);
  for (const frame of frames) await take(frame);
}

async function ingestAsync(
  iterator: AsyncIterator<KvFrame>,
  take: (frame: KvFrame) => Promise<void> | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  let ended = false;
  try {
    for (;;) {
      const result = await nextOf(iterator, signal);
      if (result.done === true) {
        ended = true;
        return;
      }
      await take(result.value);
    }
  } finally {
    // A source that waits for its next frame answers only after that, or never: told, and not waited for.
    if (!ended) Promise.resolve(iterator.return?.()).catch(() => {});
  }
}

function nextOf(
  iterator: AsyncIterator<KvFrame>,
  signal: AbortSignal | undefined,
): Promise<IteratorResult<KvFrame>> {
  if (signal === undefined) return Promise.resolve(iterator.next());
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    const settle = (answer: () => void): void => {
      signal.removeEventListener("abort", onAbort);
      answer();
    };
    Promise.resolve(iterator.next()).then(
      (result) => settle(() => resolve(result)),
      (error: unknown) => settle(() => reject(error)),
    );
  });
}

function isAsync(frames: Iterable<KvFrame> | AsyncIterable<KvFrame>): frames is AsyncIterable<KvFrame> {
  return typeof (frames as Partial<AsyncIterable<KvFrame>> | null)?.[Symbol.asyncIterator] === "function";
}
