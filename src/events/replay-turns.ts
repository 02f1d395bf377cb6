/**
 * How many replays this process asks for at once: an engine serves them on its publishing thread, and a router that
 * starts with hundreds of engines would ask them all at the same moment, as would its peers.
 * @module
 */
import { setTimeout as wait } from "node:timers/promises";

const AT_ONCE = 4;
/** A turn begins up to this much later, at random: routers that saw the same gap do not ask in step. */
const JITTER_MS = 50;

let running = 0;
/** Who waits for a turn, first come first. */
const waiting = new Set<() => void>();

/** Replay when it is its turn. @throws the signal's reason, at once if it is aborted before; else what `replay` throws */
export async function inReplayTurn<T>(signal: AbortSignal, replay: () => Promise<T>): Promise<T> {
  await turn(signal);
  try {
    // Nobody's process is to live on for this; an abort ends it early, and is told by its own reason.
    await wait(Math.random() * JITTER_MS, undefined, { signal, ref: false }).catch(() => {});
    signal.throwIfAborted();
    return await replay();
  } finally {
    const [next] = waiting;
    if (next === undefined) running--;
    else next();
  }
}

async function turn(signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (running < AT_ONCE) {
    running++;
    return;
  }
  await new Promise<void>((resolve, reject) => {
    const leave = (): void => {
      waiting.delete(begin);
      signal.removeEventListener("abort", abort);
    };
    // The turn of the one before goes over to this one: `running` stays.
    const begin = (): void => {
      leave();
      resolve();
    };
    const abort = (): void => {
      leave();
      reject(signal.reason);
    };
    waiting.add(begin);
    signal.addEventListener("abort", abort);
  });
}
