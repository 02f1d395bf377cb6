/** A worker thread that subscribes, tells what it hears, and closes nothing. */
import { parentPort, workerData } from "node:worker_threads";
import { openEventSocket } from "kvblock/events";

await openEventSocket({ endpoint: workerData as string, onFrame: () => parentPort!.postMessage("heard") });
