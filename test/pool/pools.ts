/** Pools of real threads over the sources, closed when the test ends. */
import { createWorkerPool, type WorkerPool, type WorkerPoolOptions } from "kvblock/pool";
import { onTestFinished } from "vitest";

export const WORKER: URL = new URL("./worker.mjs", import.meta.url);

export async function poolOf(options: Partial<WorkerPoolOptions> = {}): Promise<WorkerPool> {
  const pool = await createWorkerPool({ workers: 2, workerUrl: WORKER, onDiagnostic: null, ...options });
  onTestFinished(() => pool.close());
  return pool;
}
