/**
 * Reads the traces that vLLM's own code wrote (test/vectors/vllm-traces; the format is described in its traffic.py).
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { HashAlgorithm } from "kvblock/hash";

type Segment = readonly [stream: number, from: number, count: number];

/** What the scheduler did, in order. */
export type Operation =
  | readonly ["start", request: number, most: number, hit: number | null]
  | readonly ["compute", request: number, most: number, ok: boolean]
  | readonly ["preempt" | "append" | "finish", request: number]
  | readonly ["reset", ok: boolean];

/** A prompt as it arrived, and the tokens that vLLM would have reused at that instant. */
export interface Ask {
  readonly id: number;
  readonly tokens: readonly number[];
  readonly loraName?: string | undefined;
  readonly cacheSalt?: string | undefined;
  readonly multimodal?: readonly { id: string; offset: number; length: number }[] | undefined;
  readonly hit: number;
}

/** One step of the engine: `ask` before it, `operations` in it, `payload` published at its end. */
export interface Step {
  readonly ask: readonly Ask[];
  readonly operations: readonly Operation[];
  readonly payload: Uint8Array | undefined;
}

export interface Trace {
  readonly name: string;
  readonly vllm: string;
  readonly algorithm: HashAlgorithm;
  /** Null: the environment had none. */
  readonly pythonHashSeed: string | null;
  readonly noneHash: Uint8Array;
  readonly intHashes: boolean;
  readonly blockSize: number;
  readonly numBlocks: number;
  readonly drafting: boolean;
  readonly loras: Readonly<Record<string, { readonly id: number; readonly path: string }>>;
  readonly steps: readonly Step[];
}

const DIRECTORY = join(import.meta.dirname, "../vectors/vllm-traces");
const VOCABULARIES = [250, 32_000, 151_936];
const OUTPUT = 1_000_000;

/** Names of all traces, oldest release first. */
export function traceNames(): string[] {
  return readdirSync(DIRECTORY)
    .filter((file) => file.endsWith(".jsonl.gz"))
    .map((file) => file.slice(0, -".jsonl.gz".length))
    .sort();
}

export function readTrace(name: string): Trace {
  const [header, ...lines] = gunzipSync(readFileSync(join(DIRECTORY, `${name}.jsonl.gz`)))
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  let asked = 0;
  return {
    ...header,
    name,
    noneHash: Uint8Array.from(Buffer.from(header.noneHash, "hex")),
    steps: lines.map((line) => ({
      ask: (line.ask ?? []).map((ask: RawAsk) => ({
        id: asked++,
        tokens: ask.prompt.flatMap(([stream, from, count]) =>
          Array.from({ length: count }, (_, i) => token(stream, from + i)),
        ),
        loraName: ask.lora,
        cacheSalt: ask.salt,
        multimodal: ask.images?.map(([id, offset, length]) => ({ id, offset, length })),
        hit: ask.hit,
      })),
      operations: line.do ?? [],
      payload: line.payload === undefined ? undefined : Uint8Array.from(Buffer.from(line.payload, "base64")),
    })),
  };
}

interface RawAsk {
  prompt: Segment[];
  lora?: string;
  salt?: string;
  images?: [string, number, number][];
  hit: number;
}

/** The n-th token that the request sampled. */
export function outputToken(request: number, n: number): number {
  return token(OUTPUT + request, n);
}

/** The same mix as `token` in traffic.py. */
function token(stream: number, index: number): number {
  let x = (Math.imul(stream, 0x9e3779b1) + Math.imul(index, 0x85ebca6b) + 1) >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d) >>> 0;
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b) >>> 0;
  return ((x ^ (x >>> 16)) >>> 0) % VOCABULARIES[stream % VOCABULARIES.length]!;
}
