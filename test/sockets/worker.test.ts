/** A subscription inside a worker thread: libzmq ends the whole process if a thread dies with an open socket of its. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { MODEL, requestOf } from "../../benchmarks/soak/prompts.js";
import { runWorkers } from "../../benchmarks/soak/workers.js";
import { engine } from "./support.js";

test("that closes its indexer ends cleanly, while frames come", async () => {
  const { publisher, endpoint, replayEndpoint } = await engine();
  await publisher.tell({ type: "store", ids: [0] });
  await publisher.tell({ type: "tick", everyMs: 1, from: 10 });
  const ended = await runWorkers({ endpoint, replayEndpoint, model: MODEL, prompt: requestOf(1, 0) }, 3);
  expect(ended).toEqual({ code: 0, signal: null, output: "", ends: Array(5).fill({ code: 0, took: true }) });
});

/** A process whose thread is ended amid a subscription to a plain TCP endpoint, three times. */
const TERMINATOR = (endpoint: string): string => `
  import { once } from "node:events";
  import { Worker } from "node:worker_threads";
  // tsx has to be called for in each thread anew.
  const script = 'import("tsx/esm/api").then(({ register }) => (register(), import("${new URL("heard-worker.ts", import.meta.url)}")))';
  for (let i = 0; i < 3; i++) {
    const worker = new Worker(script, { eval: true, workerData: "${endpoint}" });
    await once(worker, "message");
    await worker.terminate();
  }
  console.log("lives");`;

test("that is terminated with a plain TCP subscription open leaves the process alive", async () => {
  const { publisher, endpoint } = await engine();
  await publisher.tell({ type: "tick", everyMs: 1, from: 10 });
  const root = fileURLToPath(new URL("../../", import.meta.url));
  const script = TERMINATOR(endpoint);
  const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "--eval", script], {
    cwd: root,
  });
  let output = "";
  for (const out of [child.stdout, child.stderr]) out.on("data", (text) => (output += text));
  const ended = await once(child, "exit");
  expect([ended, output]).toEqual([[0, null], "lives\n"]);
});
