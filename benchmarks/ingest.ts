/**
 * How many blocks a second become visible, decoding included? Recorded events of 8 engines with 16,384 blocks each:
 *
 * - `chats`: multi-turn chats, half of the time with full caches; small events and large ones, as engines make them.
 * - `16-block events`: nothing but events that store 16 new blocks.
 *
 * From memory (`apply`, frame by frame), from a recording (`applyAll` of the file, to the last event), and through real
 * sockets from another process, which sends as fast as is received.
 *
 *     npm run bench -- ingest --stream FILE      # any recording
 *     npm run bench -- ingest --trace FILE       # the engines under a Mooncake trace
 */
import { readRecording } from "kvblock/events";
import { createIndexer, expectNoDoubts, MODES, type Mode } from "./run/modes.js";
import type { Run, Unit } from "./run/question.js";
import { Cluster } from "./wire/cluster.js";
import { loadStream, type Stream, streamOf } from "./workload/load.js";
import { DEFAULT_STREAM, type StreamDescription } from "./workload/stream.js";

const RATE: Unit = ["M block ops/s", "higher"];
const SECONDS = 4;

export async function run({ full, options, report, progress }: Run): Promise<void> {
  for (const [events, stream] of await streams(options, progress)) {
    const facts = { events };
    report(
      "stream, block operations per event",
      facts,
      ["operations", "none"],
      [stream.totalOperations / stream.events],
    );
    report("stream, events per frame", facts, ["events", "none"], [stream.events / stream.frames.length]);
    for (const mode of MODES) {
      const by = { events, mode };
      progress(`${events}, ${mode} mode, from memory`);
      const rates = await repeat(full ? 9 : 5, () => fromMemory(stream, mode));
      report("ingest from memory", by, RATE, rates);
      progress(`${events}, ${mode} mode, from a recording`);
      report(
        "ingest from a recording",
        by,
        RATE,
        await repeat(full ? 9 : 5, () => fromRecording(stream, mode)),
      );
      progress(`${events}, ${mode} mode, through sockets`);
      const wire = await throughSockets(stream, mode, full ? 3 * SECONDS : SECONDS);
      report("ingest through sockets", by, RATE, wire);
      const frames = wire.map((rate) => (rate * 1e6 * stream.frames.length) / stream.totalOperations);
      report("frames through sockets", by, ["frames/s", "higher"], frames);
    }
  }
}

async function streams(options: Run["options"], progress: Run["progress"]): Promise<[string, Stream][]> {
  const { stream, trace } = options;
  const name = (path: string): string => path.split(/[\\/]/).at(-1)!;
  if (stream !== undefined) return [[name(stream), await loadStream(stream, progress)]];
  if (trace !== undefined)
    return [[name(trace), await streamOf({ ...DEFAULT_STREAM, workload: { trace } }, progress)]];
  const fresh: StreamDescription = { ...DEFAULT_STREAM, workload: "fresh", blocksPerPod: 2 ** 18 };
  return [
    ["chats", await streamOf(DEFAULT_STREAM, progress)],
    ["16-block events", await streamOf(fresh, progress)],
  ];
}

/** Warms up for a second. */
async function repeat(times: number, body: () => Promise<number>): Promise<number[]> {
  for (const until = performance.now() + 1000; performance.now() < until; ) await body();
  const rates: number[] = [];
  while (rates.length < times) rates.push(await body());
  return rates;
}

async function fromMemory(stream: Stream, mode: Mode): Promise<number> {
  await using indexer = await createIndexer(mode);
  const started = performance.now();
  for (const frame of stream.frames) indexer.apply(frame);
  await indexer.settled();
  const took = performance.now() - started;
  expectNoDoubts(indexer);
  return stream.totalOperations / took / 1000;
}

async function fromRecording(stream: Stream, mode: Mode): Promise<number> {
  await using indexer = await createIndexer(mode);
  const started = performance.now();
  await indexer.applyAll(readRecording(stream.path));
  await indexer.settled();
  return stream.totalOperations / (performance.now() - started) / 1000;
}

/** A sample is a pass over the stream; the first warms up. */
async function throughSockets(stream: Stream, mode: Mode, seconds: number): Promise<number[]> {
  await using indexer = await createIndexer(mode);
  await using cluster = await Cluster.follow(indexer, stream.path);
  const rates: number[] = [];
  await new Promise<void>((resolve) => {
    let passFrom = 0;
    let until = Number.POSITIVE_INFINITY;
    cluster.saturate((_, received) => {
      if (received % cluster.framesPerPass !== 0) return;
      const now = performance.now();
      if (passFrom > 0) rates.push(stream.totalOperations / (now - passFrom) / 1000);
      else until = now + 1000 * seconds;
      passFrom = now;
      if (now > until && rates.length >= 3) resolve();
    });
  });
  await cluster.stop();
  const lost = indexer.pods().reduce((sum, { lostFrames }) => sum + lostFrames, 0);
  if (lost > 0) throw new Error(`${lost} frames were lost on the way`);
  return rates;
}
