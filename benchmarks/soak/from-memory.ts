/**
 * Frames that are in memory already, as many as come in a burst: what a slice takes where no socket, no other process and
 * no message's buffers are part of it.
 */
import { Indexer, type KvFrame } from "kvblock";
import { collectGarbage, MIB } from "./figures.js";
import { isTooLong, SliceWatch, sliceLine } from "./slices.js";
import { CHAIN_BLOCKS, PROBE_EVERY, streamFrames } from "./stream.js";

const POD = "10.0.0.7";
/** Frames made at once: about 30 MB. */
const BATCH = 50_000;
const BATCHES = 8;
const FIRST = 500;

/** Returns false if a slice was too long. */
export async function fromMemory(mode: "auto" | "tokens"): Promise<boolean> {
  const steady = await apply(mode, "stored and removed in turns", (seq) => seq);
  // Every other frame of the stream stores, save the probes.
  const growing = await apply(
    mode,
    "stored alone",
    (seq) => PROBE_EVERY * 1000 + 2 * seq + 2 * Math.floor(seq / 499),
  );
  return steady && growing;
}

async function apply(
  mode: "auto" | "tokens",
  what: string,
  number: (seq: number) => number,
): Promise<boolean> {
  const indexer = await Indexer.create({ onDiagnostic: null, hash: { mode } });
  const make = streamFrames(POD);
  const frame = (seq: number): KvFrame => ({
    ...make(seq === 0 ? 0 : number(seq)),
    seq: BigInt(seq),
    receivedAt: Date.now(),
  });
  // A process's first frames run code that is not compiled yet: told apart.
  await indexer.applyAll(Array.from({ length: FIRST }, (_, seq) => frame(seq)));
  const first = indexer.stats().longestSliceMs;
  const slices = new SliceWatch();
  for (let batch = 0; batch < BATCHES; batch++) {
    const frames = Array.from({ length: BATCH }, (_, i) => frame(FIRST + batch * BATCH + i));
    // What was made here is not to be looked at by a collection amid a slice.
    collectGarbage();
    await indexer.applyAll(frames);
  }
  await indexer.settled();
  const figures = await slices.stop();
  const { blocks, memory } = indexer.stats();
  console.log(
    `from memory, ${mode} mode: ${BATCHES * BATCH} frames of ${CHAIN_BLOCKS} blocks, ${what}: ${blocks} blocks, ` +
      `${(memory.usedBytes / MIB).toFixed(0)} MiB\n  ${sliceLine(figures)}; of the first ${FIRST} frames ${first.toFixed(1)} by the clock`,
  );
  await indexer.close();
  return !isTooLong(figures);
}
