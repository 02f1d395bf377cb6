/** A subscription inside a worker thread: zeromq ends the whole process if a thread dies with an open socket. */
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
