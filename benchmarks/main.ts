/**
 * `npm run bench -- <question>|all`: runs one benchmark or every one, each in a process of its own; alone it lists them.
 * See benchmarks/README.md.
 */
import { parseArgs } from "node:util";
import { askedApart, questions } from "./questions.js";
import { compare, comparisonLines, isWorse } from "./run/compare.js";
import type { Figure } from "./run/figures.js";
import { machineLine, thisMachine } from "./run/machine.js";
import { runQuestion } from "./run/processes.js";
import { Progress } from "./run/progress.js";
import type { Run } from "./run/question.js";
import { figureLine, readResults, writeResults } from "./run/results.js";

try {
  await main();
} catch (error) {
  // 1 says that something became slower.
  console.error((error as Error).message);
  process.exitCode = 2;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      full: { type: "boolean", default: false },
      json: { type: "string" },
      compare: { type: "string" },
      threshold: { type: "string", default: "1.5" },
      // The questions' own.
      blocks: { type: "string" },
      pods: { type: "string" },
      holders: { type: "string" },
      stream: { type: "string" },
      trace: { type: "string" },
    },
  });
  const { full, json, compare: baseline, threshold: limit, ...own } = values;
  const all = Object.keys(questions).filter((question) => !askedApart.includes(question));
  const asked = positionals.includes("all") ? all : positionals;
  const unknown = asked.filter((question) => !(question in questions));
  const threshold = Number(limit);
  if (unknown.length > 0) throw new Error(`no such benchmark: ${unknown.join(", ")}`);
  if (!(threshold >= 1)) throw new Error(`--threshold expected a number >= 1, got ${limit}`);
  if (asked.length === 0) return list();
  // Read first: a wrong path is told before minutes of work.
  const before = baseline === undefined ? undefined : readResults(baseline);
  const options = Object.fromEntries(
    Object.entries(own).filter(([, value]) => value !== undefined),
  ) as Record<string, string>;
  const machine = thisMachine();
  console.log(machineLine(machine));
  const { figures, failed } = await measure(asked, { full, options });
  const flags = Object.entries(options).map(([name, value]) => `--${name} ${value}`);
  const command = ["npm run bench --", ...positionals, ...(full ? ["--full"] : []), ...flags].join(" ");
  // What is incomplete must not stand where complete results stood.
  const file = failed.length === 0 ? json : `${json}.partial`;
  if (json !== undefined) writeResults(file!, { machine, command, figures });
  if (before !== undefined) {
    const comparison = compare(before, { figures });
    console.log(`\nbeside ${baseline} (${machineLine(before.machine)}):`);
    for (const line of comparisonLines(comparison, threshold)) console.log(line);
    const worse = comparison.changes.filter((change) => isWorse(change, threshold)).length;
    console.log(`${worse} of ${comparison.changes.length} figures are past ${threshold}x`);
    if (worse > 0) process.exitCode = 1;
  }
  if (failed.length > 0)
    throw new Error(`failed: ${failed.join(", ")}${json === undefined ? "" : `; the rest is in ${file}`}`);
}

function list(): void {
  console.log(
    "npm run bench -- <question …>|all [--full] [--json FILE] [--compare FILE [--threshold 1.5]]\n",
  );
  for (const [name, what] of Object.entries(questions)) console.log(`  ${name.padEnd(18)}  ${what}`);
}

/** One after the other; what fails does not stop the rest. */
async function measure(
  asked: readonly string[],
  given: Pick<Run, "full" | "options">,
): Promise<{ figures: Figure[]; failed: string[] }> {
  const figures: Figure[] = [];
  const failed: string[] = [];
  const progress = new Progress();
  for (const question of asked) {
    const started = performance.now();
    console.log(`\n${question}: ${questions[question]}`);
    const onFigure = (figure: Figure): void => {
      figures.push(figure);
      progress.clear();
      console.log(figureLine(figure));
    };
    try {
      await runQuestion(question, given, onFigure, (what) => progress.at(`${question}, ${what}`));
    } catch (error) {
      failed.push(question);
      console.error((error as Error).message);
    }
    progress.clear();
    console.log(`  (${((performance.now() - started) / 1000).toFixed(0)} s)`);
  }
  return { figures, failed };
}
