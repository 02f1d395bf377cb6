/** Where figures were measured, and of what. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem, type } from "node:os";
import { root } from "./root.js";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  /** Processes that ran or waited for a core in the minute before: an idle machine has nearly none. */
  readonly load: number;
  readonly node: string;
  /** The package's version. */
  readonly kvblock: string;
  /** The hashing kernel's sources, by the first digits of their SHA-256. */
  readonly kernel: string;
  /** `+` at its end: with changes that are not committed. */
  readonly commit: string;
}

export function thisMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()}`,
    load: Number(loadavg()[0]!.toFixed(1)),
    node: process.version,
    kvblock: (JSON.parse(readFileSync(`${root}package.json`, "utf8")) as { version: string }).version,
    kernel:
      /Sources, SHA-256: ([0-9a-f]{12})/.exec(readFileSync(`${root}src/hash/kernel-bytes.ts`, "utf8"))?.[1] ??
      "unknown",
    commit: commit(),
  };
}

function commit(): string {
  const git = (...words: string[]): string =>
    execFileSync("git", words, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  try {
    // Results and what is made of them do not change what was measured.
    const changes = git(
      "status",
      "--porcelain",
      "--",
      "src",
      "benchmarks",
      "examples",
      ":!benchmarks/results",
    );
    return git("rev-parse", "--short", "HEAD") + (changes === "" ? "" : "+");
  } catch {
    return "unknown";
  }
}

export const machineLine = (machine: Machine): string =>
  `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.system}, ` +
  `load ${machine.load} at the start, Node ${machine.node}; ` +
  `kvblock ${machine.kvblock}, kernel ${machine.kernel}, commit ${machine.commit}`;
