/**
 * `npm run soak:sockets -- [--rounds N] [--minutes N] [--mode auto|tokens] [--workers N]`: real sockets and processes on
 * loopback, for as long as wanted. Prints figures; its exit code is 1 if an answer was wrong, a frame lost, or a slice too long.
 */
import { cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { portRun } from "../../test/support/ports.js";
import { fromMemory } from "./from-memory.js";
import { killRounds } from "./kill-rounds.js";
import { MODEL, requestOf } from "./prompts.js";
import { PublisherProcess } from "./publishers.js";
import { sustained } from "./sustained.js";
import { runWorkers } from "./workers.js";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "20" },
    minutes: { type: "string", default: "10" },
    mode: { type: "string", default: "auto" },
    workers: { type: "string", default: "10" },
  },
});
/** What `kvblock` is to the processes: the build, as in every benchmark. */
const tsconfig = "examples/tsconfig.json";
const load = (): string => `load ${loadavg()[0]!.toFixed(1)}`;
console.log(`${cpus()[0]?.model.trim()}, ${cpus().length} cores, Node ${process.version}, ${load()}`);

async function workers(count: number): Promise<boolean> {
  const events = await portRun(2);
  const replay = events + 1;
  const publisher = await PublisherProcess.open({ events, replay, pod: "pod", life: 1 }, tsconfig);
  await publisher.tell({ type: "store", ids: [0] });
  await publisher.tell({ type: "tick", everyMs: 1, from: 10 });
  const at = (port: number): string => `tcp://127.0.0.1:${port}`;
  const task = {
    endpoint: at(events),
    replayEndpoint: at(replay),
    model: MODEL,
    prompt: requestOf(1, 0),
  };
  const { code, signal, ends, output } = await runWorkers(task, count, tsconfig);
  await publisher.kill();
  const clean = ends.filter((end) => end.code === 0 && end.took).length;
  console.log(
    `worker threads: ${clean} of ${count + 2} ended cleanly; their process: ${signal ?? code} ${output}`,
  );
  return code === 0 && clean === count + 2;
}

let ok = true;
const rounds = Number(values.rounds);
if (rounds > 0) ok = (await killRounds(rounds, tsconfig)) && ok;
if (Number(values.workers) > 0) ok = (await workers(Number(values.workers))) && ok;
if (Number(values.minutes) > 0) {
  const mode = values.mode === "tokens" ? "tokens" : "auto";
  ok = (await sustained(Number(values.minutes), mode, tsconfig)) && ok;
  // After it: what this leaves to collect would be in the memory that is watched there.
  ok = (await fromMemory(mode)) && ok;
}
console.log(load());
process.exitCode = ok ? 0 : 1;
// Nothing is open any more, so the process ends by itself; this timer does not keep it.
setTimeout(() => {
  console.log("it did not end by itself:", process.getActiveResourcesInfo());
  process.exit(3);
}, 5000).unref();
