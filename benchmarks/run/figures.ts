/** What a benchmark reports, and how samples become it. */

export type Better = "lower" | "higher";

/** What was varied: the same in two runs means the same work. */
export type Conditions = Readonly<Record<string, string | number>>;

export interface Figure {
  /** The benchmark it is of. */
  readonly question: string;
  readonly name: string;
  readonly by: Conditions;
  readonly unit: string;
  /** `none`: a fact that is told, and that `--compare` passes over. */
  readonly better: Better | "none";
  readonly median: number;
  /** What 99 % of the samples are at least as good as; of fewer than a hundred, the worst. */
  readonly p99: number;
  /** Half of the samples lie within this share of the median: the interquartile range over the median. */
  readonly spread: number;
  readonly samples: number;
}

export type Measured = Pick<Figure, "median" | "p99" | "spread" | "samples">;

/** Sorts a copy. @param samples - at least one */
export function summary(samples: ArrayLike<number>, better: Better | "none" = "lower"): Measured {
  const sorted = Float64Array.from(samples).sort();
  if (better === "higher") sorted.reverse();
  const at = (share: number): number => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
  const median = at(0.5);
  const spread = median === 0 ? 0 : Math.abs(at(0.75) - at(0.25)) / Math.abs(median);
  return {
    median: rounded(median),
    p99: rounded(at(0.99)),
    spread: rounded(spread),
    samples: sorted.length,
  };
}

/** Four digits say all that a measurement knows, and keep the files small. */
const rounded = (value: number): number => Number(value.toPrecision(4));

/** Names a figure across runs. */
export function figureKey({ question, name, by }: Pick<Figure, "question" | "name" | "by">): string {
  return [question, name, ...conditionWords(by)].join(" · ");
}

/** `16 pods`, but `era M3` and `block size 16`. */
export const conditionWords = (by: Conditions): string[] =>
  Object.entries(by).map(([what, value]) => {
    if (typeof value === "string") return `${what} ${value}`;
    return what.includes(" ") ? `${what} ${count(value)}` : `${count(value)} ${what}`;
  });

/** 1000000 as `1M`, 16384 as `16,384`. */
export function count(value: number): string {
  if (value >= 1e9 && value % 1e8 === 0) return `${value / 1e9}G`;
  if (value >= 1e6 && value % 1e5 === 0) return `${value / 1e6}M`;
  return value.toLocaleString("en-US");
}

/** Three digits, and thousands apart. */
export function show(value: number): string {
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en-US");
  return size >= 10
    ? value.toFixed(1)
    : size >= 1
      ? value.toFixed(2)
      : Number(value.toPrecision(2)).toString();
}
