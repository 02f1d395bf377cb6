/** What a benchmark is: a module whose `run` reports figures. */
import type { Better, Conditions, Measured } from "./figures.js";
import { summary } from "./figures.js";

export type Unit = readonly [unit: string, better: Better | "none"];

/** What a benchmark is given. */
export interface Run {
  /** All sizes, however long they take. */
  readonly full: boolean;
  /** `--name value` of the command line. */
  readonly options: Readonly<Record<string, string>>;
  report(name: string, by: Conditions, unit: Unit, samples: ArrayLike<number>): void;
  /** What it is at; told while it runs, not kept. */
  progress(what: string): void;
}

export interface Question {
  run(run: Run): void | Promise<void>;
}

/** Figures go to `report`, and so does a question's progress. */
export function runOf(
  question: string,
  { full, options }: Pick<Run, "full" | "options">,
  tell: (
    message:
      | {
          figure: {
            question: string;
            name: string;
            by: Conditions;
            unit: string;
            better: Better | "none";
          } & Measured;
        }
      | { progress: string },
  ) => void,
): Run {
  return {
    full,
    options,
    report: (name, by, [unit, better], samples) =>
      tell({ figure: { question, name, by, unit, better, ...summary(samples, better) } }),
    progress: (progress) => tell({ progress }),
  };
}

/** `8,64` or `1M,10M` as numbers. @throws RangeError if one is none */
export function numbers(text: string | undefined, otherwise: readonly number[]): readonly number[] {
  if (text === undefined) return otherwise;
  return text.split(",").map((word) => {
    const [, digits, scale] = /^(\d+(?:\.\d+)?)([KMG]?)$/i.exec(word.trim()) ?? [];
    if (digits === undefined) throw new RangeError(`expected numbers like 8,64 or 1M,10M; got ${text}`);
    return Number(digits) * { "": 1, K: 1e3, M: 1e6, G: 1e9 }[scale!.toUpperCase()]!;
  });
}
