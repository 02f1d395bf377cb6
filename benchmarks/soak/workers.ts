/** Running worker-host.ts, and how that ended. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { root } from "./publishers.js";
import type { WorkerTask } from "./worker.js";
import type { WorkerEnd } from "./worker-host.js";

const script = fileURLToPath(new URL("./worker-host.ts", import.meta.url));
/** A process that hangs is a failure too. */
const ENDED_WITHIN_MS = 20_000;

export interface HostEnd {
  /** 134, or a signal of SIGABRT, is libzmq's assertion. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly ends: readonly WorkerEnd[];
  /** What it printed besides. */
  readonly output: string;
}

export async function runWorkers(
  task: WorkerTask,
  rounds: number,
  tsconfig = "tsconfig.json",
): Promise<HostEnd> {
  const host = spawn(process.execPath, ["--import", "tsx", script, JSON.stringify(task), String(rounds)], {
    cwd: root,
    env: { ...process.env, TSX_TSCONFIG_PATH: `${root}${tsconfig}` },
  });
  let output = "";
  for (const stream of [host.stdout, host.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  const timer = setTimeout(() => host.kill("SIGKILL"), ENDED_WITHIN_MS + 1000 * rounds);
  const [code, signal] = (await once(host, "close")) as [number | null, NodeJS.Signals | null];
  clearTimeout(timer);
  const line = output.split("\n").find((text) => text.startsWith("[{"));
  const ends = line === undefined ? [] : (JSON.parse(line) as WorkerEnd[]);
  return { code, signal, ends, output: output.replace(line ?? "", "").trim() };
}
