/**
 * A process that runs worker threads on an event socket, one after another and then two at once, and prints how they
 * ended. A process of its own, since zeromq would end it whole if a thread died with an open socket.
 *
 *     worker-host.ts <task as JSON> <workers one after another>
 */
import { Worker } from "node:worker_threads";

export interface WorkerEnd {
  readonly code: number;
  /** Whether it had frames before it closed. */
  readonly took: boolean;
}

const [task, rounds] = process.argv.slice(2) as [string, string];
const script = new URL("./worker.ts", import.meta.url).href;
// tsx has to be called for in each thread anew.
const bootstrap = `import("tsx/esm/api").then(({ register }) => (register(), import("${script}")));`;

const run = (): Promise<WorkerEnd> =>
  new Promise((resolve, reject) => {
    const worker = new Worker(bootstrap, { eval: true, workerData: JSON.parse(task) });
    let frames = 0;
    worker.on("message", (message: { frames: number }) => (frames = message.frames));
    worker.on("error", reject);
    worker.on("exit", (code) => resolve({ code, took: frames > 0 }));
  });

const ends: WorkerEnd[] = [];
for (let i = 0; i < Number(rounds); i++) ends.push(await run());
ends.push(...(await Promise.all([run(), run()])));
console.log(JSON.stringify(ends));
