/**
 * How many replays this process asks for at once: an engine serves them on its publishing thread, and a router that
 * starts with hundreds of engines would ask them all at the same moment, as would its peers.
 * @module
 */
import { setTimeout as wait } from "node:timers/promises";

const AT_ONCE = 4;
/** A turn begins up to this much later, at random: routers that saw the same gap do not ask in step. */
const JITTER_MS = 50;
/** An engine answers between two batches, up to 100 ms late. */
const ANSWER_MS = 250;

let running = 0;
/** Who waits for a turn, first come first. */
const waiting = new Set<() => void>();

/**
 * Replay when it is its turn. The turn goes on to the next when that ends, or when nobody has answered for a while: the
 * replay may be answered still, but many engines that never answer are not to keep those waiting that do.
 *
 * @param replay - calls `answered` at the first answer
 * @throws the signal's reason, at once if it is aborted before; else what `replay` throws
 */
export async function inReplayTurn<T>(
  signal: AbortSignal,
  replay: (answered: () => void) => Promise<T>,
): Promise<T> {
  await turn(signal);
  const unanswered = new AbortController();
  let isHeld = true;
  const giveOn = (): void => {
    if (!isHeld) return;
    isHeld = false;
    const [next] = waiting;
    if (next === undefined) running--;
    else next();
  };
  try {
    // Nobody's process is to live on for this; an abort ends it early, and is told by its own reason.
    await wait(Math.random() * JITTER_MS, undefined, { signal, ref: false }).catch(() => {});
    signal.throwIfAborted();
    wait(ANSWER_MS, undefined, { signal: unanswered.signal, ref: false }).then(giveOn, () => {});
    return await replay(() => unanswered.abort());
  } finally {
    unanswered.abort();
    giveOn();
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
