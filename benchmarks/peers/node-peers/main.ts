/**
 * The harness of the peers that run in Node: `main.ts <peer> <workload> <measurement> <threads> <argument>`.
 * Prints one JSON object; README.md has the measurements, which are the same in every language.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { decodeWorkload, framesOf, queriesOf, type Workload } from "../workload-file.js";
import { kvblock } from "./kvblock.js";
import type { NodeIndex, NodePeer } from "./node-peer.js";
import { plain } from "./plain.js";

const PEERS: Readonly<Record<string, (workload: Workload) => NodePeer<unknown, unknown>>> = {
  "kvblock-exact": (workload) => kvblock("exact", workload) as NodePeer<unknown, unknown>,
  "kvblock-tokens": (workload) => kvblock("tokens", workload) as NodePeer<unknown, unknown>,
  "plain-map": (workload) => plain("map", workload) as NodePeer<unknown, unknown>,
  "plain-lru": (workload) => plain("lru-cache", workload) as NodePeer<unknown, unknown>,
};

/** Queries asked before any is timed: the compiler has to have seen them. */
const WARM_UP_QUERIES = 5000;
/** Of a replay: a query's time is the least of them, so that what else the machine does is left out. */
const PASSES = 3;
/** How long frames are offered at a steady rate. */
const VISIBLE_MS = 8000;

const [name = "", path = "", measurement = "", , argument = ""] = process.argv.slice(2);
const workload = decodeWorkload(readFileSync(path));
const peer = PEERS[name]!(workload);
const frames = framesOf(workload);
const seqs = new Array<number>(workload.pods).fill(0);
const inputs = frames.map((frame) => peer.input(frame, seqs[frame.pod]!++));

switch (measurement) {
  case "ingest":
    print(await repeat(Number(argument), fill));
    break;
  case "decode":
    print(await repeat(Number(argument), decodeAll));
    break;
  case "replay":
    await replay(argument);
    break;
  case "visible":
    await visible(Number(argument));
    break;
  case "memory":
    await memory();
    break;
  default:
    throw new Error(`no such measurement: ${measurement}`);
}

function fill(index: NodeIndex<unknown, unknown>): void {
  for (const input of inputs) index.apply(input);
}

function decodeAll(): void {
  for (const input of inputs) peer.decode(input);
}

/** Each time on an index of its own, the first time to warm up. */
async function repeat(
  times: number,
  body: (index: NodeIndex<unknown, unknown>) => void,
): Promise<{ seconds: number[]; cpuSeconds: number[] }> {
  const seconds: number[] = [];
  const cpuSeconds: number[] = [];
  for (let i = 0; i <= times; i++) {
    const index = await peer.create();
    const started = performance.now();
    const cpuBefore = process.cpuUsage();
    body(index);
    const { user, system } = process.cpuUsage(cpuBefore);
    if (i > 0) {
      seconds.push((performance.now() - started) / 1000);
      cpuSeconds.push((user + system) / 1e6);
    }
    await index.close();
  }
  return { seconds, cpuSeconds };
}

/** Each pass has an index of its own; the first is the warm-up. */
async function replay(matchesPath: string): Promise<void> {
  const queries = queriesOf(workload).length;
  const all = new Uint32Array(queries * workload.pods);
  const nanoseconds = new Array<number>(queries).fill(Number.POSITIVE_INFINITY);
  for (let pass = 0; pass <= PASSES; pass++) {
    const index = await peer.create();
    const asked = pass === 0 ? Math.ceil(WARM_UP_QUERIES / queries) : 1;
    let frame = 0;
    let query = 0;
    for (const record of workload.records) {
      if (record.kind === "frame") {
        index.apply(inputs[frame++]);
        continue;
      }
      for (let i = 0; i < asked; i++) {
        const started = process.hrtime.bigint();
        const scores = index.score(record.tokens);
        const took = Number(process.hrtime.bigint() - started);
        if (pass > 0) nanoseconds[query] = Math.min(nanoseconds[query]!, took);
        index.matches(scores, all.subarray(query * workload.pods, (query + 1) * workload.pods));
      }
      query++;
    }
    await index.close();
  }
  writeFileSync(matchesPath, all);
  print({ nanoseconds });
}

/** Frames come at a steady rate of block operations; a frame's time runs from when it was due. */
async function visible(operationsPerSecond: number): Promise<void> {
  await repeat(0, fill);
  const index = await peer.create();
  const microseconds: number[] = [];
  const started = performance.now();
  let due = 0;
  for (const [i, { storedBlocks, removedBlocks }] of frames.entries()) {
    while (performance.now() - started < due);
    index.apply(inputs[i]);
    microseconds.push((performance.now() - started - due) * 1000);
    due += ((storedBlocks + removedBlocks) / operationsPerSecond) * 1000;
    if (due > VISIBLE_MS) break;
  }
  print({ microseconds });
}

/** Live bytes that the filled index adds, buffers included. */
async function memory(): Promise<void> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const live = (): number => {
    collect();
    collect();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  // What the first index compiles and loads is not the second's.
  await repeat(0, fill);
  const before = live();
  const index = await peer.create();
  fill(index);
  const bytes = live() - before;
  index.score(new Uint32Array(1));
  print({ bytes });
}

function print(result: object): void {
  console.log(JSON.stringify(result));
}
