/**
 * What ingest allocates per event once it is warm. Started by memory.ts with a new space so large that nothing is collected
 * while it is measured.
 */
import { createIndexer, type Mode } from "../run/modes.js";
import { loadStream } from "../workload/load.js";

export interface GarbageArguments {
  readonly mode: Mode;
  readonly recording: string;
}

export interface Garbage {
  readonly bytes: number;
  readonly frames: number;
}

const { mode, recording } = JSON.parse(process.argv[2]!) as GarbageArguments;
const { frames } = await loadStream(recording, () => {});
const indexer = await createIndexer(mode);
// The last tenth is of full caches.
const warm = Math.floor(0.9 * frames.length);
for (let i = 0; i < warm; i++) indexer.apply(frames[i]!);
gc!();
const before = process.memoryUsage().heapUsed;
for (let i = warm; i < frames.length; i++) indexer.apply(frames[i]!);
const bytes = process.memoryUsage().heapUsed - before;
process.send!({ bytes, frames: frames.length - warm } satisfies Garbage);
await indexer.close();
process.disconnect();
