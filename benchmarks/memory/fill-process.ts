/**
 * What an indexer holds, in a process that holds nothing else. Started by memory.ts with `--expose-gc`; its argument is a
 * piece of JSON, its answer goes over the IPC channel.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { createIndexer, expectNoDoubts, type Mode } from "../run/modes.js";
import { between, seeded } from "../run/random.js";
import { Fleet } from "../workload/fleet.js";

export interface FillArguments {
  readonly mode: Mode;
  readonly blocks: number;
  /** Of each block. */
  readonly holders: number;
  readonly pods: number;
  /** Blocks that are stored together, by the same holders: 1 is the worst there can be. */
  readonly together: number;
}

export interface Filled {
  /** Heap, typed arrays and whatever else the process got from the system. */
  readonly rss: number;
  readonly heapAndArrays: number;
  /** What the indexer itself counts towards its limit. */
  readonly counted: number;
  readonly blocks: number;
}

const { mode, blocks, holders, pods, together } = JSON.parse(process.argv[2]!) as FillArguments;

async function settledMemory(): Promise<{ rss: number; heapAndArrays: number }> {
  for (let i = 0; i < 4; i++) {
    gc!();
    await sleep(50);
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rss, heapAndArrays: heapUsed + external };
}

/** Each event goes to as many pods, by chance. */
async function fill(blocks: number): Promise<ReturnType<typeof createIndexer>> {
  const indexer = await createIndexer(mode);
  const fleet = await Fleet.create(pods);
  const random = seeded(9);
  for (const payload of fleet.strangers(8, together, blocks)) {
    const chosen = new Set<number>();
    while (chosen.size < holders) chosen.add(between(random, 0, pods - 1));
    for (const pod of chosen) indexer.apply(fleet.frame(pod, payload));
  }
  await indexer.settled();
  expectNoDoubts(indexer);
  return indexer;
}

// Code is compiled and buffers are grown before the first look.
await (await fill(20_000)).close();
const before = await settledMemory();
const indexer = await fill(blocks);
const after = await settledMemory();
const { blocks: held, memory } = indexer.stats();
process.send!({
  rss: after.rss - before.rss,
  heapAndArrays: after.heapAndArrays - before.heapAndArrays,
  counted: memory.usedBytes,
  blocks: held,
} satisfies Filled);
await indexer.close();
process.disconnect();
