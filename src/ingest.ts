/**
 * Frames from elsewhere, applied without holding the event loop.
 * @module
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { KvFrame } from "./types.js";

/** A slice of ingest ends after this long; one frame more may be under way then. */
const SLICE_MS = 4;

/**
 * Hand every frame to `apply`, giving the event loop a turn between slices.
 *
 * @param stopwatch - monotonic milliseconds
 * @param signal - when aborted, ends after the frame under way
 * @throws what the source throws, and the signal's reason
 */
export async function ingest(
  frames: Iterable<KvFrame> | AsyncIterable<KvFrame>,
  apply: (frame: KvFrame) => void,
  stopwatch: () => number,
  signal?: AbortSignal,
): Promise<void> {
  let sliceEnds = stopwatch() + SLICE_MS;
  for await (const frame of frames) {
    signal?.throwIfAborted();
    apply(frame);
    if (stopwatch() < sliceEnds) continue;
    await nextTurn();
    sliceEnds = stopwatch() + SLICE_MS;
  }
}
