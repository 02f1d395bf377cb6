/**
 * Frames from elsewhere, applied without holding the event loop.
 * @module
 */
import { typeMistake } from "./errors.js";
import type { Turns } from "./turns.js";
import type { KvFrame } from "./types.js";

/**
 * Hand every frame to `apply` when there is time for it. A promise of `apply`'s is waited for.
 *
 * @param signal - when aborted, ends after the frame under way, or at once while waiting for one
 * @throws what the source throws, and the signal's reason; TypeError if `frames` is no iterable
 */
export async function ingest(
  frames: Iterable<KvFrame> | AsyncIterable<KvFrame>,
  apply: (frame: KvFrame) => unknown,
  turns: Turns,
  signal?: AbortSignal,
): Promise<void> {
  signal?.throwIfAborted();
  const take = inSlices(apply, turns, signal);
  if (isAsync(frames)) return ingestAsync(frames[Symbol.asyncIterator](), take, signal);
  if (typeof (frames as Partial<Iterable<KvFrame>> | null)?.[Symbol.iterator] !== "function")
    throw typeMistake("frames", "an iterable of frames", frames);
  for (const frame of frames) {
    const taken = take(frame);
    if (taken instanceof Promise) await taken;
    signal?.throwIfAborted();
  }
}

/**
 * What applies a frame when there is time for it: at once, or in a later turn. It returns what is to be waited for before
 * the next frame, if it is a promise. That rejects with what `apply` throws, or the signal's reason.
 */
export function inSlices(
  apply: (frame: KvFrame) => unknown,
  turns: Turns,
  signal?: AbortSignal,
): (frame: KvFrame) => unknown {
  const takeNow = (frame: KvFrame): unknown => {
    const taken = apply(frame);
    turns.worked();
    return taken;
  };
  const takeLater = async (frame: KvFrame): Promise<void> => {
    await turns.next();
    signal?.throwIfAborted();
    await takeNow(frame);
  };
  return (frame) => (turns.hasTime ? takeNow(frame) : takeLater(frame));
}

async function ingestAsync(
  iterator: AsyncIterator<KvFrame>,
  take: (frame: KvFrame) => unknown,
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
      const taken = take(result.value);
      if (taken instanceof Promise) await taken;
      signal?.throwIfAborted();
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
