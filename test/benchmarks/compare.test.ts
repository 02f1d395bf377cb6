import { describe, expect, it } from "vitest";
import { compare, comparisonLines, isWorse } from "../../benchmarks/run/compare.js";
import { type Figure, summary } from "../../benchmarks/run/figures.js";
import { scoreInTurns } from "../../benchmarks/score.js";
import { filledIndexer } from "../../benchmarks/workload/prompts.js";

const figure = (name: string, median: number, better: Figure["better"] = "lower"): Figure => ({
  question: "q",
  name,
  by: { pods: 8 },
  unit: "us",
  better,
  median,
  p99: median,
  spread: 0,
  samples: 1,
});

const worse = (before: Figure[], now: Figure[], threshold: number): string[] =>
  compare({ figures: before }, { figures: now })
    .changes.filter((change) => isWorse(change, threshold))
    .map(({ now }) => now.name);

describe("comparing two runs", () => {
  it("tells what costs more, whichever way the unit counts", () => {
    const before = [figure("time", 10), figure("rate", 10, "higher")];
    expect(worse(before, [figure("time", 20), figure("rate", 5, "higher")], 1.9)).toEqual(["time", "rate"]);
    expect(worse(before, [figure("time", 20), figure("rate", 5, "higher")], 2)).toEqual([]);
    expect(worse(before, [figure("time", 5), figure("rate", 20, "higher")], 1)).toEqual([]);
  });

  it("takes what is no number for worse than every threshold", () => {
    expect(worse([figure("rate", 10, "higher")], [figure("rate", 0, "higher")], 1000)).toEqual(["rate"]);
    expect(worse([figure("time", Number.NaN)], [figure("time", 1)], 1000)).toEqual(["time"]);
  });

  it("passes over what is neither better nor worse, and counts what one run has alone", () => {
    const comparison = compare(
      { figures: [figure("gone", 1), figure("fact", 1, "none")] },
      { figures: [figure("new", 1), figure("fact", 100, "none")] },
    );
    expect(comparison).toEqual({ changes: [], unmatched: ["q · new · 8 pods", "q · gone · 8 pods"] });
    expect(comparisonLines(comparison, 1.5)).toEqual(["2 figures are in one of the two alone"]);
  });

  it("compares the same work only", () => {
    const other = { ...figure("time", 20), by: { pods: 64 } };
    expect(compare({ figures: [figure("time", 10)] }, { figures: [other] }).changes).toEqual([]);
  });
});

describe("samples", () => {
  it("become a median, the worst of a hundred, and half of them around the median", () => {
    const samples = Array.from({ length: 100 }, (_, i) => i + 1);
    expect(summary(samples)).toEqual({ median: 50, p99: 99, spread: 1, samples: 100 });
    expect(summary(samples, "higher")).toEqual({ median: 51, p99: 2, spread: 0.9804, samples: 100 });
    expect(summary([7])).toEqual({ median: 7, p99: 7, spread: 0, samples: 1 });
  });
});

describe("a read path that became twice as slow", () => {
  // All are measured in turns in one run, and of each the best quarter counts, which no other process took the core from.
  it("is told, and the same read path is not", async () => {
    const tokens = 8192;
    const { indexer, prompts } = await filledIndexer("exact", false, new Map([[tokens, 4]]), 64);
    const slow = {
      scoreTokens: (...call: Parameters<typeof indexer.scoreTokens>) => {
        indexer.scoreTokens(...call);
        return indexer.scoreTokens(...call);
      },
    };
    const [usual, again, slowed] = scoreInTurns([indexer, indexer, slow], prompts.get(tokens)!, 240);
    const run = (samples: number[]): Figure[] => {
      const best = samples.toSorted((a, b) => a - b).slice(0, samples.length / 4);
      return [{ ...figure("score", 0), ...summary(best) }];
    };
    expect(worse(run(usual!), run(slowed!), 1.4)).toEqual(["score"]);
    expect(worse(run(usual!), run(again!), 1.4)).toEqual([]);
    await indexer.close();
  });
});
