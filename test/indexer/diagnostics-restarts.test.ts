/** Restarts are told once and counted; so many of them that no engine lives are a diagnostic of their own. */
import type { Indexer } from "kvblock";
import { describe, expect, it } from "vitest";
import { chain, exact, frame, indexerOf, stored } from "./frames.js";

const one = chain();
const hash = exact(one);
/** Seconds since the epoch. */
const START = 1_700_000_000;

/** `n` restarts, each `life` seconds after the one before; returns when the last was. */
function restart(indexer: Indexer, n: number, life: number, from = START): number {
  for (let i = 1; i <= n; i++) indexer.apply(frame([stored(one, 0, 1)], { seq: 0, ts: from + i * life }));
  return from + n * life;
}

const standing = (indexer: Indexer): string[] => indexer.diagnose().map(({ code }) => code);

describe("engine-restarted", () => {
  it("is told once, and counted after that", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)], { ts: START }));
    restart(indexer, 500, 100);
    expect(codes()).toEqual(["engine-restarted"]);
    expect(indexer.diagnose()).toMatchObject([{ count: 500, evidence: { generation: 500 } }]);
  });

  it("what is wrong with a new process is told again", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)], { ts: START }));
    indexer.apply(frame([], { seq: 2, ts: START + 1 }));
    restart(indexer, 1, 100);
    expect(standing(indexer)).toEqual(["engine-restarted"]);
    indexer.apply(frame([], { seq: 2, ts: START + 101 }));
    expect(codes()).toEqual(["sequence-gap", "engine-restarted", "sequence-gap"]);
  });
});

describe("pod-published-twice", () => {
  it("is told at the eighth restart in a row that comes within a minute", async () => {
    const { indexer, told } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)], { ts: START }));
    const at = restart(indexer, 7, 59);
    expect(standing(indexer)).toEqual(["engine-restarted"]);
    restart(indexer, 20, 59, at);
    expect(told.slice(1)).toMatchObject([
      {
        code: "pod-published-twice",
        severity: "warning",
        pod: "pod-a",
        model: "base",
        dataParallelRank: 0,
        evidence: { restartsInARow: 8, restarts: 8 },
      },
    ]);
    expect(told[1]!.message).toContain("two engines publish as this pod");
  });

  it("is not told of restarts that are further apart, however many", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)], { ts: START }));
    let at = START;
    for (let i = 0; i < 20; i++) {
      at = restart(indexer, 6, 30, at);
      at = restart(indexer, 1, 3600, at);
    }
    expect(codes()).toEqual(["engine-restarted"]);
  });

  it("two engines under one name: nothing is told over and over", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    for (let i = 0; i < 300; i++) {
      indexer.apply(frame([stored(one)], { seq: 1000 + i, ts: START + 2 * i }));
      indexer.apply(frame([stored(one)], { seq: i, ts: START + 2 * i + 1 }));
    }
    const often = (code: string): number => codes().filter((told) => told === code).length;
    expect(often("engine-restarted")).toBe(1);
    expect(often("pod-published-twice")).toBe(1);
    expect(often("sequence-gap")).toBeLessThanOrEqual(8);
    expect(standing(indexer)).toContain("sequence-gap");
  });

  it("ends when a minute has passed without a restart", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)], { ts: START }));
    const at = restart(indexer, 30, 1);
    indexer.apply(frame([], { seq: 1, ts: at + 59 }));
    expect(standing(indexer)).toEqual(["engine-restarted", "pod-published-twice"]);
    indexer.apply(frame([], { seq: 2, ts: at + 60 }));
    expect(standing(indexer)).toEqual(["engine-restarted"]);
  });

  it("ends with a restart after a longer life, and with the pod", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)], { ts: START }));
    const at = restart(indexer, 30, 1);
    restart(indexer, 1, 100, at);
    expect(standing(indexer)).toEqual(["engine-restarted"]);
    restart(indexer, 8, 1, at + 100);
    expect(standing(indexer)).toEqual(["engine-restarted", "pod-published-twice"]);
    indexer.removePod("pod-a");
    expect(standing(indexer)).toEqual([]);
  });
});
