/** Streams as the benchmarks use them: made once, kept as recordings, whole in memory. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import type { KvFrame } from "kvblock";
import { createRecording, decodeEventBatch, readRecording } from "kvblock/events";
import { root } from "../run/root.js";
import { type StreamDescription, streamFrames } from "./stream.js";

const CACHE = `${root}node_modules/.cache/kvblock-streams/`;
/** What a stream's bytes come from. */
const SOURCES = ["benchmarks/workload", "benchmarks/run/random.ts", "examples/engine"];

export interface Stream {
  readonly path: string;
  readonly frames: readonly KvFrame[];
  /** Blocks that the events store or remove, by frame. */
  readonly operations: Uint32Array;
  /** The same, added up. */
  readonly totalOperations: number;
  readonly events: number;
  readonly bytes: number;
}

/** @returns frames written */
export async function record(
  description: StreamDescription,
  path: string,
  progress: (what: string) => void,
): Promise<number> {
  const recording = await createRecording(path);
  let frames = 0;
  for await (const frame of streamFrames(description)) {
    await recording.write(frame);
    if (++frames % 1000 === 0) progress(`recording: ${frames} frames`);
  }
  await recording.close();
  return frames;
}

/** The stream that a description stands for: recorded once for each state of the code that makes it. */
export async function streamOf(
  description: StreamDescription,
  progress: (what: string) => void,
): Promise<Stream> {
  const path = `${CACHE}${fingerprint(description)}.kvrec`;
  if (!existsSync(path)) {
    mkdirSync(CACHE, { recursive: true });
    const unfinished = `${path}.${process.pid}`;
    await record(description, unfinished, progress);
    renameSync(unfinished, path);
  }
  return loadStream(path, progress);
}

export async function loadStream(path: string, progress: (what: string) => void): Promise<Stream> {
  progress(`reading ${path}`);
  const frames: KvFrame[] = [];
  const operations: number[] = [];
  let events = 0;
  let bytes = 0;
  for await (const frame of readRecording(path)) {
    const batch = decodeEventBatch(frame.payload);
    let blocks = 0;
    for (const event of batch.events)
      if (event.type !== "AllBlocksCleared") blocks += event.blockKeys.length / 2;
    frames.push(frame);
    operations.push(blocks);
    events += batch.events.length;
    bytes += frame.payload.length;
  }
  if (frames.length === 0) throw new Error(`${path} holds no frames`);
  return {
    path,
    frames,
    operations: Uint32Array.from(operations),
    totalOperations: operations.reduce((sum, blocks) => sum + blocks, 0),
    events,
    bytes,
  };
}

function fingerprint(description: StreamDescription): string {
  const hash = createHash("sha256").update(JSON.stringify(description));
  if (typeof description.workload === "object") hash.update(readFileSync(description.workload.trace));
  for (const source of SOURCES) {
    const files = source.endsWith(".ts")
      ? [source]
      : readdirSync(root + source)
          .filter((name) => name.endsWith(".ts"))
          .map((name) => `${source}/${name}`);
    for (const file of files.sort()) hash.update(readFileSync(root + file));
  }
  return hash.digest("hex").slice(0, 16);
}
