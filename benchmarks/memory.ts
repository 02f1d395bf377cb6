/**
 * How many bytes does a block take, and a further pod that holds it? Each figure is of a process of its own, after a full
 * collection of garbage, less what the same process had before it was filled.
 *
 * Blocks that are stored together by the same pods share their holder set, as the blocks of a request do (64 here);
 * `stored one by one` is the worst there can be: every block has holders of its own, by chance. `resident` is what the
 * process got from the system, `heap and arrays` what V8 says it uses of that, `counted` what the indexer counts towards
 * `memoryLimitBytes`.
 *
 *     npm run bench -- memory --blocks 10M
 */
import { once } from "node:events";
import type { FillArguments, Filled } from "./memory/fill-process.js";
import type { Garbage, GarbageArguments } from "./memory/garbage-process.js";
import { MODES } from "./run/modes.js";
import { forkScript } from "./run/processes.js";
import { numbers, type Run, type Unit } from "./run/question.js";
import { streamOf } from "./workload/load.js";
import { DEFAULT_STREAM } from "./workload/stream.js";

const PODS = 64;
const TOGETHER = 64;
const MOST_ONE_BY_ONE = 200_000;
const PER_BLOCK: Unit = ["bytes/block", "lower"];
const PER_PAIR: Unit = ["bytes/holder", "lower"];

export async function run({ full, options, report, progress }: Run): Promise<void> {
  const sizes = numbers(options["blocks"], full ? [1e6, 4e6, 10e6] : [500_000]);
  const holderCounts = full ? [1, 2, 4, 8, 16] : [1, 4, 8];
  for (const mode of MODES) {
    for (const size of sizes)
      for (const [stored, together, blocks] of [
        ["together", TOGETHER, size],
        // An event each: it takes long, and is linear.
        ["one by one", 1, Math.min(size, MOST_ONE_BY_ONE)],
      ] as const) {
        if (together === 1 && size > sizes[0]!) continue;
        const by = { mode, blocks, stored };
        const resident: [number, number][] = [];
        for (const holders of holderCounts) {
          progress(`${mode} mode, ${blocks} blocks, ${holders} holders, stored ${stored}`);
          const filled = await ask<Filled>("fill", {
            mode,
            blocks,
            holders,
            pods: PODS,
            together,
          } satisfies FillArguments);
          if (filled.blocks !== blocks)
            throw new Error(`${blocks} blocks were stored, ${filled.blocks} are held`);
          report("memory, resident", { ...by, holders }, PER_BLOCK, [filled.rss / blocks]);
          report("memory, heap and arrays", { ...by, holders }, PER_BLOCK, [filled.heapAndArrays / blocks]);
          report("memory, counted", { ...by, holders }, PER_BLOCK, [filled.counted / blocks]);
          resident.push([holders, filled.heapAndArrays / blocks]);
        }
        const [[low, few], [high, many]] = [resident[0]!, resident.at(-1)!];
        if (high > low)
          report("memory, each further holder of a block", by, PER_PAIR, [(many - few) / (high - low)]);
      }
  }
  const { path, events, frames } = await streamOf(DEFAULT_STREAM, progress);
  for (const mode of MODES) {
    progress(`${mode} mode, garbage`);
    const garbage = await ask<Garbage>("garbage", { mode, recording: path } satisfies GarbageArguments, [
      "--max-semi-space-size=512",
      "--min-semi-space-size=512",
    ]);
    const perEvent = garbage.bytes / garbage.frames / (events / frames.length);
    report("garbage of ingest", { mode, events: "chats" }, ["bytes/event", "lower"], [perEvent]);
  }
}

async function ask<T>(
  what: "fill" | "garbage",
  argument: unknown,
  nodeOptions: readonly string[] = [],
): Promise<T> {
  const child = forkScript(`benchmarks/memory/${what}-process.ts`, argument, {
    nodeOptions: ["--expose-gc", ...nodeOptions],
  });
  let answer: T | undefined;
  child.on("message", (message) => {
    answer = message as T;
  });
  await once(child, "close");
  if (answer === undefined) throw new Error(`${what}-process.ts ended without an answer`);
  return answer;
}
