/** One measurement of one peer, in a process of its own. */
import { execFile, execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Peer } from "./peers.js";

export type Measurement = "ingest" | "decode" | "structs" | "replay" | "visible" | "memory";

export interface RunOptions {
  /** All threads of the process on one core, and no more threads than one where the peer can be told. */
  readonly oneCore?: boolean;
  readonly environment?: Readonly<Record<string, string>>;
}

/** Room for the JSON of a hundred thousand samples. */
const MAX_OUTPUT = 64 * 1024 * 1024;

/** @returns what the harness printed; README.md has its forms */
export async function runPeer(
  peer: Peer,
  workload: string,
  measurement: Measurement,
  argument: string,
  { oneCore = false, environment = {} }: RunOptions = {},
): Promise<{
  seconds: number[];
  cpuSeconds: number[];
  nanoseconds: number[];
  microseconds: number[];
  bytes: number;
}> {
  const threads = oneCore ? 1 : availableParallelism();
  const words = [...peer.command, workload, measurement, String(threads), argument];
  const [command = "", ...rest] = oneCore && canPin() ? ["taskset", "-c", lastCore(), ...words] : words;
  const { stdout } = await promisify(execFile)(command, rest, {
    maxBuffer: MAX_OUTPUT,
    env: {
      ...process.env,
      TSX_TSCONFIG_PATH: fileURLToPath(new URL("../../examples/tsconfig.json", import.meta.url)),
      ...environment,
    },
  });
  return JSON.parse(stdout);
}

let pins: boolean | undefined;

/** Whether `taskset` (util-linux) is there. */
export function canPin(): boolean {
  if (pins === undefined)
    try {
      execFileSync("taskset", ["-V"], { stdio: "ignore" });
      pins = true;
    } catch {
      pins = false;
    }
  return pins;
}

const lastCore = (): string => String(availableParallelism() - 1);

/** u32 by query and pod. */
export function readMatches(path: string): Uint32Array {
  const bytes = readFileSync(path);
  return Uint32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readUInt32LE(4 * i));
}
