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
const waiting: (() => void)[] = [];

/** Wait for a turn; to be given back with {@link replayDone}, also when this rejects. @throws the signal's reason */
export async function replayTurn(signal: AbortSignal): Promise<void> {
  if (running >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
  else running++;
  await wait(Math.random() * JITTER_MS, undefined, { signal });
}

export function replayDone(): void {
  const next = waiting.shift();
  if (next === undefined) running--;
  else next();
}
