/**
 * What does it cost to receive a frame, whatever is made of it? The chats' events of 8 engines through real sockets, received
 * and dropped: by kvblock's own transport and by bare ZeroMQ sockets, in turns. First as fast as they are taken, then one
 * by one, 10,000 a second, where each wakes the thread.
 *
 * `thread` is processor time of the receiving thread, `process` of all its process's threads: libzmq has some.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Run, Unit } from "./run/question.js";
import { threadTime } from "./run/thread-time.js";
import { Cluster, type Follower } from "./wire/cluster.js";
import { dropper, libzmqDropper } from "./wire/dropper.js";
import { streamOf } from "./workload/load.js";
import { DEFAULT_STREAM } from "./workload/stream.js";

const TRANSPORTS: Readonly<Record<string, Follower>> = { kvblock: dropper, libzmq: libzmqDropper };
const ROUNDS = 3;
const SINGLY = 10_000;
const COST: Unit = ["us/frame", "lower"];

interface Costs {
  rate: number;
  thread: number;
  process: number;
}

export async function run({ full, report, progress }: Run): Promise<void> {
  const seconds = full ? 8 : 2;
  const stream = await streamOf(DEFAULT_STREAM, progress);
  const found = new Map<string, Costs[]>();
  for (let round = 0; round < ROUNDS; round++)
    for (const [by, follower] of Object.entries(TRANSPORTS)) {
      progress(`received by ${by} and dropped, ${round + 1} of ${ROUNDS}`);
      await using cluster = await Cluster.follow(follower, stream.path);
      let frames = 0;
      cluster.saturate(() => void frames++);
      await sleep(1000);
      const together = await costs(
        () => frames,
        () => sleep(1000 * seconds),
      );
      await cluster.stop();
      frames = 0;
      const singly = await costs(
        () => frames,
        () => cluster.pace([cluster.framesPerPass / SINGLY], seconds, () => void frames++),
      );
      for (const [load, measured] of [
        ["highest", together],
        ["singly", singly],
      ] as const)
        found.set(`${by} ${load}`, [...(found.get(`${by} ${load}`) ?? []), measured]);
    }
  for (const [name, measured] of found) {
    const [by, load] = name.split(" ") as [string, string];
    const all = (what: keyof Costs): number[] => measured.map((costs) => costs[what]);
    if (load === "highest") report("frames received", { by }, ["frames/s", "higher"], all("rate"));
    report("receiving, thread", { by, load }, COST, all("thread"));
    report("receiving, process", { by, load }, COST, all("process"));
  }
}

async function costs(frames: () => number, work: () => Promise<unknown>): Promise<Costs> {
  const from = { at: performance.now(), frames: frames(), cpu: process.cpuUsage(), ...threadTime() };
  await work();
  const count = frames() - from.frames;
  const { user, system } = process.cpuUsage(from.cpu);
  return {
    rate: (count / (performance.now() - from.at)) * 1000,
    thread: ((threadTime().ran - from.ran) / count) * 1000,
    process: (user + system) / count,
  };
}
