/** Picking figures out of a run. */
import { type Conditions, type Figure, show } from "../run/figures.js";
import type { Results } from "../run/results.js";

type Find = (question: string, name: string, by?: Conditions) => Figure | undefined;

export interface Picker {
  /** The figure under exactly these conditions, or the only one that has them among others. */
  one: Find;
  /** All that have these conditions. */
  all(question: string, name: string, by?: Conditions): Figure[];
  /** A median for a table's cell; `–` where it was not measured. */
  cell(question: string, name: string, by?: Conditions): string;
  p99(question: string, name: string, by?: Conditions): string;
}

export function picker({ figures }: Pick<Results, "figures">): Picker {
  const all: Picker["all"] = (question, name, by = {}) =>
    figures.filter(
      (figure) =>
        figure.question === question &&
        figure.name === name &&
        Object.entries(by).every(([what, value]) => figure.by[what] === value),
    );
  const one: Find = (question, name, by) => {
    const found = all(question, name, by);
    if (found.length > 1)
      throw new Error(`${found.length} figures are ${question}, ${name}, ${JSON.stringify(by)}`);
    return found[0];
  };
  const told = (figure: Figure | undefined, which: "median" | "p99"): string =>
    figure === undefined ? "–" : show(figure[which]);
  return {
    one,
    all,
    cell: (question, name, by) => told(one(question, name, by), "median"),
    p99: (question, name, by) => told(one(question, name, by), "p99"),
  };
}

/** run/modes.ts has them too, and needs the package built. */
export const MODES = ["exact", "tokens"] as const;

/** Markdown, from a run's figures. */
export type Table = (figures: Picker, results: Results) => string;

/** The values that a condition took, in order of first sight, or of size if they are numbers. */
export function valuesOf<T extends string | number>(figures: readonly Figure[], what: string): T[] {
  const values = [...new Set(figures.map(({ by }) => by[what] as T))];
  return values.every((value) => typeof value === "number")
    ? values.sort((a, b) => Number(a) - Number(b))
    : values;
}

/** A Markdown table; the first column left, the others right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? "---" : "--:"))), ...rows.map(line)].join("\n");
}
