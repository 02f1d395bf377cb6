/** Two runs side by side: what became slower, by how much. */
import { type Figure, figureKey, show } from "./figures.js";
import type { Results } from "./results.js";

export interface Change {
  readonly key: string;
  readonly before: Figure;
  readonly now: Figure;
  /** What it costs now in units of what it did cost: 2 is twice as slow (or large), whichever way the unit counts. */
  readonly ratio: number;
}

export interface Comparison {
  readonly changes: readonly Change[];
  /** Figures that one of the two has alone. */
  readonly unmatched: readonly string[];
}

/** Medians against medians; figures that are neither better nor worse are passed over. */
export function compare(before: Pick<Results, "figures">, now: Pick<Results, "figures">): Comparison {
  const old = new Map(before.figures.map((figure) => [figureKey(figure), figure]));
  const changes: Change[] = [];
  const unmatched: string[] = [];
  for (const figure of now.figures) {
    const key = figureKey(figure);
    const other = old.get(key);
    old.delete(key);
    if (figure.better === "none") continue;
    if (other === undefined) unmatched.push(key);
    else changes.push({ key, before: other, now: figure, ratio: costRatio(other, figure) });
  }
  for (const [key, figure] of old) if (figure.better !== "none") unmatched.push(key);
  return { changes, unmatched };
}

function costRatio(before: Figure, now: Figure): number {
  return now.better === "higher" ? before.median / now.median : now.median / before.median;
}

/** A median of nothing, or of less than nothing, is no figure: it is past every threshold. */
export const isWorse = ({ ratio }: Change, threshold: number): boolean => !(ratio <= threshold);

export function comparisonLines({ changes, unmatched }: Comparison, threshold: number): string[] {
  const lines = changes.map((change) => {
    const { key, before, now, ratio } = change;
    const mark = isWorse(change, threshold) ? "SLOWER" : ratio < 1 / threshold ? "faster" : "";
    return `${ratio.toFixed(2).padStart(7)}x ${mark.padEnd(6)}  ${key}: ${show(before.median)} → ${show(now.median)} ${now.unit}`;
  });
  if (unmatched.length > 0) lines.push(`${unmatched.length} figures are in one of the two alone`);
  return lines;
}
