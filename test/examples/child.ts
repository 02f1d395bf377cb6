/**
 * An example as a process of its own, on the sources: tsx reads the package's name as the root tsconfig's paths say.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const tsx = fileURLToPath(import.meta.resolve("tsx/cli"));

export interface Ended {
  readonly code: number | null;
  readonly output: string;
}

export interface Child {
  readonly process: ChildProcess;
  /** All that it has written so far. */
  readonly output: string;
  readonly ended: Promise<Ended>;
}

/** @param script - from examples/ */
export function runExample(script: string, ...args: readonly string[]): Child {
  const child = spawn(
    process.execPath,
    [tsx, "--tsconfig", `${root}tsconfig.json`, `${root}examples/${script}`, ...args],
    { cwd: root, stdio: ["ignore", "pipe", "pipe"] },
  );
  // A test that fails while it runs must not leave it behind.
  process.once("exit", () => child.kill());
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject).on("close", (code) => resolve({ code, output }));
  });
  return {
    process: child,
    get output() {
      return output;
    },
    ended,
  };
}
