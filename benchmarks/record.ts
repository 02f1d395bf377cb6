/**
 * `npm run record -- <file> [options]`: a cluster's KV events under a workload, as a recording of kvblock's.
 * The engines are model engines (examples/engine) with vLLM's cache rules; the same options give the same bytes.
 */
import { statSync } from "node:fs";
import { parseArgs } from "node:util";
import { HASH_ALGORITHMS } from "kvblock/hash";
import { WIRE_ERAS } from "../examples/engine/wire.js";
import { Progress } from "./run/progress.js";
import { numbers } from "./run/question.js";
import { record } from "./workload/load.js";
import { DEFAULT_STREAM, type StreamDescription } from "./workload/stream.js";

const USAGE = `npm run record -- <file> [options]

  --workload chats|fresh   multi-turn chats under shared system prompts (default); or nothing but new 16-block prompts
  --trace FILE             requests of a trace in Mooncake's format instead
  --pods 8                 engines
  --pool 16384             blocks of each
  --block-size 16          tokens
  --stored 262144          stop when so many blocks were stored, by all engines together
  --algorithm sha256_cbor  ${HASH_ALGORITHMS.filter((name) => name !== "sglang").join(", ")}; the seed is "0"
  --era M3                 wire layout: ${WIRE_ERAS.join(", ")}
  --digests                whole digests on the wire instead of 64-bit integers
  --seed 42`;

/** @throws RangeError, or parseArgs' TypeError, for a mistake in the words */
export function descriptionOf(words: readonly string[]): { path: string; description: StreamDescription } {
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      workload: { type: "string", default: "chats" },
      trace: { type: "string" },
      pods: { type: "string" },
      pool: { type: "string" },
      "block-size": { type: "string" },
      stored: { type: "string" },
      algorithm: { type: "string", default: DEFAULT_STREAM.algorithm },
      era: { type: "string", default: DEFAULT_STREAM.era },
      digests: { type: "boolean", default: false },
      seed: { type: "string" },
    },
  });
  const whole = (text: string | undefined, otherwise: number): number => numbers(text, [otherwise])[0]!;
  const oneOf = <T extends string>(what: string, word: string, words: readonly T[]): T => {
    if (!(words as readonly string[]).includes(word))
      throw new RangeError(`--${what} expected one of ${words.join(", ")}; got ${word}`);
    return word as T;
  };
  const [path, ...more] = positionals;
  if (path === undefined || more.length > 0) throw new RangeError("expected one file to write");
  const pods = whole(values.pods, DEFAULT_STREAM.pods);
  const blocksPerPod = whole(values.pool, DEFAULT_STREAM.blocksPerPod);
  const algorithms = HASH_ALGORITHMS.filter((name) => name !== "sglang");
  return {
    path,
    description: {
      workload:
        values.trace === undefined
          ? oneOf("workload", values.workload, ["chats", "fresh"] as const)
          : { trace: values.trace },
      seed: whole(values.seed, DEFAULT_STREAM.seed),
      pods,
      blocksPerPod,
      blockSize: whole(values["block-size"], DEFAULT_STREAM.blockSize),
      algorithm: oneOf("algorithm", values.algorithm, algorithms),
      era: oneOf("era", values.era, WIRE_ERAS),
      intHashes: !values.digests,
      storedBlocks: whole(values.stored, 2 * pods * blocksPerPod),
    },
  };
}

async function main(): Promise<void> {
  let asked: ReturnType<typeof descriptionOf>;
  try {
    asked = descriptionOf(process.argv.slice(2));
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    process.exitCode = 2;
    return;
  }
  const progress = new Progress();
  const frames = await record(asked.description, asked.path, (what) => progress.at(what));
  progress.clear();
  console.log(`${asked.path}: ${frames} frames, ${statSync(asked.path).size.toLocaleString("en-US")} bytes`);
}

if (process.argv[1] === import.meta.filename) await main();
