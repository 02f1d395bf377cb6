/**
 * How does ingest depend on the pods and on the blocks of an event? Frames in memory, each with one event that stores new
 * blocks, pods in turn; applied one by one.
 *
 *     npm run bench -- ingest-shapes --pods 8,1024
 */
import type { KvFrame } from "kvblock";
import { createIndexer, expectNoDoubts, MODES, type Mode } from "./run/modes.js";
import { numbers, type Run } from "./run/question.js";
import { Fleet } from "./workload/fleet.js";

const REPETITIONS = 5;

export async function run({ full, options, report, progress }: Run): Promise<void> {
  const blocks = full ? 1_000_000 : 128 * 1024;
  const fleets = numbers(options["pods"], [8, 64, 256, 1024]);
  const shapes = [
    ...[1, 4, 16, 64, 256].map((blocksPerEvent) => ({ pods: 64, blocksPerEvent })),
    ...fleets.filter((pods) => pods !== 64).map((pods) => ({ pods, blocksPerEvent: 16 })),
  ];
  for (const { pods, blocksPerEvent } of shapes) {
    progress(`${pods} pods, ${blocksPerEvent} blocks an event`);
    const fleet = await Fleet.create(pods);
    let pod = 0;
    const frames = Array.from(fleet.strangers(42, blocksPerEvent, blocks), (payload) =>
      fleet.frame(pod++ % pods, payload),
    );
    for (const mode of MODES) {
      await fill(frames, mode);
      const rates: number[] = [];
      while (rates.length < REPETITIONS) rates.push(blocks / (await fill(frames, mode)) / 1000);
      report(
        "ingest from memory, stores",
        { mode, pods, "blocks an event": blocksPerEvent },
        ["M blocks/s", "higher"],
        rates,
      );
    }
  }
}

/** @returns milliseconds */
async function fill(frames: readonly KvFrame[], mode: Mode): Promise<number> {
  await using indexer = await createIndexer(mode);
  const started = performance.now();
  for (const frame of frames) indexer.apply(frame);
  await indexer.settled();
  const took = performance.now() - started;
  expectNoDoubts(indexer);
  return took;
}
