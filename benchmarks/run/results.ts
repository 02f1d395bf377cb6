/** One run's figures as a file and as a table. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { conditionWords, type Figure, show } from "./figures.js";
import type { Machine } from "./machine.js";
import { root } from "./root.js";

export interface Results {
  readonly machine: Machine;
  /** The command line, without the file it was written to. */
  readonly command: string;
  readonly figures: readonly Figure[];
}

export function readResults(path: string): Results {
  const results = JSON.parse(readFileSync(path, "utf8")) as Partial<Results>;
  if (!Array.isArray(results.figures)) throw new Error(`${path} holds no results`);
  return results as Results;
}

/** What is committed: `all.json`, and the figures of what was asked apart. */
export function readCommitted(): Results {
  const [all, apart] = ["all", "apart"].map((name) => readResults(`${root}benchmarks/results/${name}.json`));
  return { ...all!, figures: [...all!.figures, ...apart!.figures] };
}

/** A figure a line, so that a diff shows which changed. */
export function writeResults(path: string, { machine, command, figures }: Results): void {
  mkdirSync(dirname(path), { recursive: true });
  const lines = figures.map((figure) => `    ${JSON.stringify(figure)}`).join(",\n");
  const head = JSON.stringify({ machine, command }, null, 2).slice(0, -2);
  writeFileSync(path, `${head},\n  "figures": [\n${lines}\n  ]\n}\n`);
}

export function figureLine({ name, by, median, p99, spread, samples, unit }: Figure): string {
  const what = [name, ...conditionWords(by)].join(", ");
  return (
    `  ${what.padEnd(64)} ${show(median).padStart(9)} ${unit.padEnd(14)}` +
    (samples === 1 ? "" : ` p99 ${show(p99).padStart(8)}  ±${(50 * spread).toFixed(0)}%  (${samples})`)
  );
}
