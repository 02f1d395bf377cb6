/** Processes of the benchmarks' own, that see the built package as users do. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { Figure } from "./figures.js";
import type { Run } from "./question.js";
import { root } from "./root.js";

/** What `kvblock` means to them: the build. Tests say the root's, the sources. */
export const BUILD = "examples/tsconfig.json";

/** @param script - from the repository's root */
export function forkScript(
  script: string,
  argument: unknown,
  { nodeOptions = [], tsconfig = BUILD }: { nodeOptions?: readonly string[]; tsconfig?: string } = {},
): ChildProcess {
  return fork(`${root}${script}`, [JSON.stringify(argument)], {
    cwd: root,
    execArgv: ["--import", "tsx", ...nodeOptions],
    env: { ...process.env, TSX_TSCONFIG_PATH: `${root}${tsconfig}` },
  });
}

/** Run a question to its end. @throws Error if its process fails */
export async function runQuestion(
  question: string,
  asked: Pick<Run, "full" | "options">,
  onFigure: (figure: Figure) => void,
  onProgress: (what: string) => void,
): Promise<void> {
  const child = forkScript("benchmarks/run/question-process.ts", { question, ...asked });
  child.on("message", (message: { figure: Figure } | { progress: string }) =>
    "figure" in message ? onFigure(message.figure) : onProgress(message.progress),
  );
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  if (code !== 0) throw new Error(`${question} ended with ${signal ?? `exit code ${code}`}`);
}
