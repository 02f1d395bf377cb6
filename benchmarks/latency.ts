/**
 * How long after an engine has sent an event is it visible to a lookup, and how long is the host's event loop held? The
 * chats' events of 8 engines through real sockets: at the highest rate that is taken, then at nine tenths, half and a tenth
 * of that load. Frames differ in what they cost, so load is evened out: each 64th of the stream has ten ninths, twice or ten
 * times the time that it took at the highest rate. Both clocks are the machine's one monotonic clock. `sent late` is the
 * publishers' own lateness.
 *
 * - `received and dropped`: the same frames at the same rate, received and dropped: what the transport and the machine take,
 *   whatever is made of the events.
 * - `processor`, `waiting for a core`: shares of the time in which the receiving thread ran, and was ready to and had no core,
 *   since the publishers' process and the sockets' threads have it. Half of the rate taken in batches is more than half of
 *   the work: frames that come one by one cost a wake-up each.
 *
 * The event loop's figure is the time between two timers of 1 ms, so 1 is idle; other processes and threads that take the
 * core from this one are in it.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { createIndexer, MODES } from "./run/modes.js";
import type { Run, Unit } from "./run/question.js";
import { threadTime } from "./run/thread-time.js";
import { ageMs, Cluster } from "./wire/cluster.js";
import { dropper } from "./wire/dropper.js";
import { loadStream, streamOf } from "./workload/load.js";
import { DEFAULT_STREAM } from "./workload/stream.js";

const MS: Unit = ["ms", "lower"];
const SHARE: Unit = ["% of the time", "none"];
const SHARES = [0.9, 0.5, 0.1];

export async function run({ full, options, report, progress }: Run): Promise<void> {
  const seconds = full ? 20 : 5;
  const stream = await (options["stream"] === undefined
    ? streamOf(DEFAULT_STREAM, progress)
    : loadStream(options["stream"], progress));
  report("event loop", { load: "none" }, MS, await idleLoop());
  for (const mode of MODES) {
    await using indexer = await createIndexer(mode);
    const loads = SHARES.map((share) => ({ share, by: { mode, load: `${100 * share} %` } }));
    let profile: number[];
    {
      await using cluster = await Cluster.follow(indexer, stream.path);
      progress(`${mode} mode, highest rate`);
      cluster.saturate(() => {});
      await sleep(2000); // warms up
      const loop = watchLoop();
      await sleep(1000 * seconds);
      report("event loop", { mode, load: "highest" }, MS, loop());
      await cluster.stop();
      profile = await cluster.profile(seconds);
      const passSeconds = profile.reduce((sum, part) => sum + part);
      report("highest rate", { mode }, ["frames/s", "higher"], [cluster.framesPerPass / passSeconds]);
      for (const { share, by } of loads) {
        progress(`${mode} mode, ${by.load}`);
        const { ages, loop, ran, waited, lateP99 } = await paced(cluster, profile, share, seconds);
        report("event loop", by, MS, loop);
        report("event to visible", by, MS, ages);
        report("processor", by, SHARE, [ran]);
        report("waiting for a core", by, SHARE, [waited]);
        report("sent late, p99", by, ["ms", "none"], [1000 * lateP99]);
      }
      const lost = indexer.pods().reduce((sum, { lostFrames }) => sum + lostFrames, 0);
      if (lost > 0) throw new Error(`${lost} frames were lost on the way`);
    }
    await using dropping = await Cluster.follow(dropper, stream.path);
    for (const { share, by } of loads) {
      progress(`${mode} mode's ${by.load}, received and dropped`);
      const { ages, ran, waited } = await paced(dropping, profile, share, seconds);
      report("received and dropped", by, MS, ages);
      report("received and dropped, processor", by, SHARE, [ran]);
      report("received and dropped, waiting for a core", by, SHARE, [waited]);
    }
  }
}

/** After a second to warm up. */
async function paced(
  cluster: Cluster,
  profile: readonly number[],
  share: number,
  seconds: number,
): Promise<{ ages: number[]; loop: number[]; ran: number; waited: number; lateP99: number }> {
  const parts = profile.map((part) => part / share);
  await cluster.pace(parts, 1, () => {});
  const ages: number[] = [];
  const loop = watchLoop();
  const from = { at: performance.now(), ...threadTime() };
  const lateP99 = await cluster.pace(parts, seconds, (frame) => ages.push(ageMs(frame)));
  const { ran, waited } = threadTime();
  const percent = (ms: number): number => (100 * ms) / (performance.now() - from.at);
  return { ages, loop: loop(), ran: percent(ran - from.ran), waited: percent(waited - from.waited), lateP99 };
}

async function idleLoop(): Promise<number[]> {
  const loop = watchLoop();
  await sleep(1000);
  return loop();
}

/** @returns ends the watch: a thousand values, as many of each as there were samples alike */
function watchLoop(): () => number[] {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  return () => {
    histogram.disable();
    return Array.from({ length: 1000 }, (_, i) => histogram.percentile((i + 1) / 10) / 1e6);
  };
}
