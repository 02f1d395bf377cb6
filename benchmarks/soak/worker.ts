/** A worker thread that subscribes, takes frames until its prompt is held, closes and ends. Started by worker-host.ts. */
import { parentPort, workerData } from "node:worker_threads";
import { Indexer } from "kvblock";

export interface WorkerTask {
  readonly endpoint: string;
  readonly replayEndpoint: string;
  readonly model: string;
  /** A prompt of which the engine has announced all blocks. */
  readonly prompt: readonly number[];
}

const { endpoint, replayEndpoint, model, prompt } = workerData as WorkerTask;
const indexer = await Indexer.create({ onDiagnostic: null });
await indexer.subscribe({ endpoint, replayEndpoint });
while (indexer.scoreTokens(prompt, { model }).best === undefined)
  await new Promise((resolve) => setTimeout(resolve, 5));
const frames = indexer.stats().frames;
await indexer.close();
parentPort!.postMessage({ frames });
