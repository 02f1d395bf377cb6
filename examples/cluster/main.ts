/**
 * Several router processes on one port, one subscription for all of them:
 * `tsx --tsconfig examples/tsconfig.json examples/cluster/main.ts --help`.
 * @module
 */

import { request } from "node:http";
import { text } from "node:stream/consumers";
import { setTimeout as wait } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Engine, startEngine } from "../engine/engine.js";
import { qwen3Directory } from "../engine/qwen3.js";
import { loadTokenizer } from "../engine/tokenizer.js";
import { integer, runCommand } from "../mini-gateway/command-line.js";
import type { WorkerAnswer } from "./worker.js";
import { Workers } from "./workers.js";

const HELP = `Several worker processes share a port; one subscription feeds the index of each.

Starts two fake engines and the workers, lets each engine compute a prompt, asks every worker for both prompts'
scores, replaces a worker, asks again, and ends: with 0 if all workers always said the same.

  --workers N   processes (3)
  --port PORT   that the workers share (any free one)
`;

const MODEL = "Qwen/Qwen3-0.6B";
const PROMPTS = ["A worker is asked. ".repeat(40), "Another one answers the same. ".repeat(60)] as const;
const PATIENCE_MS = 30_000;

await runCommand(async () => {
  const { values } = parseArgs({
    options: {
      help: { type: "boolean", short: "h" },
      workers: { type: "string", default: "3" },
      port: { type: "string", default: "0" },
    },
  });
  if (!values.help)
    return main(integer("workers", values.workers, 1, 64), integer("port", values.port, 0, 65_535));
  process.stdout.write(HELP);
  return true;
});

async function main(count: number, port: number): Promise<boolean> {
  const tokenizer = await loadTokenizer(qwen3Directory());
  const engines: Engine[] = [];
  let workers: Workers | undefined;
  try {
    for (const topicPod of ["pod-a", "pod-b"])
      engines.push(await startEngine({ model: MODEL, tokenizer, seed: "0", topicPod, replayPort: null }));
    const endpoints = engines.map(({ eventsEndpoint }) => eventsEndpoint);
    workers = await Workers.start({ endpoints, model: MODEL, count, port });
    const { url } = workers;
    console.log(
      `workers ${workers.ids.join(", ")} on ${url}, one subscription to ${endpoints.join(" and ")}`,
    );
    await until(() => workers!.connected === engines.length, "the engines' events to be connected");

    for (const [i, prompt] of PROMPTS.entries()) {
      const body = JSON.stringify({ model: MODEL, prompt, max_tokens: 4 });
      const response = await fetch(`${engines[i]!.url}/v1/completions`, { method: "POST", body });
      const { usage } = (await response.json()) as { usage: { prompt_tokens: number } };
      console.log(`${engines[i]!.pod} computes prompt ${i + 1} of ${usage.prompt_tokens} tokens`);
    }
    const before = await askAll(workers);
    const killed = workers.ids[0]!;
    console.log(`worker ${killed} is killed; its successor is given the history`);
    workers.kill(killed);
    await until(
      () => workers!.ids.length === count && !workers!.ids.includes(killed),
      "a worker in its place",
    );
    return (await askAll(workers)) && before;
  } finally {
    await workers?.close();
    for (const engine of engines) await engine.close();
  }
}

/** Ask for both prompts until every worker has answered, and print what each said. Returns whether all agree. */
async function askAll(workers: Workers): Promise<boolean> {
  let agree = true;
  for (const [i, prompt] of PROMPTS.entries()) {
    const answers = new Map<number, string>();
    const deadline = Date.now() + PATIENCE_MS;
    while (workers.ids.some((id) => !answers.has(id))) {
      if (Date.now() > deadline) throw new Error(`workers ${workers.ids} did not all answer`);
      const { worker, frames, scores } = await ask(workers.url, prompt);
      // A worker's frames are on their way to it for a moment.
      if (workers.frames >= PROMPTS.length && frames === workers.frames)
        answers.set(worker, JSON.stringify(scores));
      else await wait(5);
    }
    console.log(`prompt ${i + 1}`);
    for (const [worker, scores] of [...answers].sort(([a], [b]) => a - b))
      console.log(`  worker ${worker} scores ${scores}`);
    const [first] = answers.values();
    if (first === "null" || new Set(answers.values()).size !== 1) agree = false;
  }
  console.log(agree ? "all the same" : "NOT all the same");
  return agree;
}

/** On a connection of its own: the cluster deals connections, not requests, to its workers in turn. */
function ask(url: string, prompt: string): Promise<WorkerAnswer> {
  return new Promise((resolve, reject) => {
    request(`${url}/score`, { method: "POST", agent: false }, (response) =>
      text(response).then((json) => resolve(JSON.parse(json) as WorkerAnswer), reject),
    )
      .on("error", reject)
      .end(JSON.stringify({ prompt }));
  });
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited ${PATIENCE_MS / 1000} s for ${what}`);
    await wait(5);
  }
}
