/**
 * What every benchmark here shares: a seeded generator, repetition with median and spread, and how results are printed.
 */
import { cpus } from "node:os";

/** Numbers in [0, 1) from a seed (mulberry32), so that runs compare. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Result {
  readonly name: string;
  /** Of the repetitions, in `unit`. */
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly unit: string;
}

/** Run `body` once to warm up and `repetitions` times to measure; `figure` turns milliseconds into the unit. */
export function measure(
  name: string,
  unit: string,
  figure: (ms: number) => number,
  body: () => void,
  repetitions = 7,
): Result {
  body();
  const figures: number[] = [];
  for (let i = 0; i < repetitions; i++) {
    const started = performance.now();
    body();
    figures.push(figure(performance.now() - started));
  }
  figures.sort((a, b) => a - b);
  return { name, unit, median: figures[figures.length >> 1]!, min: figures[0]!, max: figures.at(-1)! };
}

/** Print results as a table, or as JSON with `--json`. */
export function report(results: readonly Result[]): void {
  const machine = `${cpus()[0]?.model.trim() ?? "unknown CPU"}, ${cpus().length} cores, Node ${process.version}`;
  if (process.argv.includes("--json")) {
    console.log(JSON.stringify({ machine, results }, null, 2));
    return;
  }
  console.log(`${machine}\n`);
  const width = Math.max(...results.map(({ name }) => name.length));
  for (const { name, median, min, max, unit } of results)
    console.log(`${name.padEnd(width)}  ${show(median).padStart(9)} ${unit}  (${show(min)} … ${show(max)})`);
}

function show(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
