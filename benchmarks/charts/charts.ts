/** The charts of docs/performance.md, each from a run's figures: file name → SVG. */
import type { Figure } from "../run/figures.js";
import type { Results } from "../run/results.js";
import { MODES, picker, valuesOf } from "./figures.js";
import { barChart, lineChart, type Series } from "./svg.js";
import { gatewayLines } from "./tokenization.js";

const MANY = "lookup and score, 1,000 blocks";

/** A line by what varies; none if nothing was measured. */
function line(name: string, figures: readonly Figure[], along: string): Series[] {
  const points = figures
    .filter(({ by }) => typeof by[along] === "number")
    .map((figure): [number, number] => [Number(figure.by[along]), figure.median])
    .sort((a, b) => a[0] - b[0]);
  return points.length === 0 ? [] : [{ name, points }];
}

export function charts(results: Results): Readonly<Record<string, string>> {
  const figures = picker(results);
  const { all } = figures;
  const hashes = all("hash-chain", "hash", { "block size": 16 });
  const lookups = all("block-index", MANY);
  const having = (conditions: Record<string, string | number>): Figure[] =>
    lookups.filter(({ by }) => Object.entries(conditions).every(([what, value]) => by[what] === value));
  const holdersOf = (figure: Figure): Figure => {
    const { holders, pods } = figure.by;
    return { ...figure, by: { ...figure.by, holders: holders === "all" ? Number(pods) : Number(holders) } };
  };
  const byHolders = having({ blocks: 1e6, pods: 64 })
    .map(holdersOf)
    .filter(({ by }) => Number.isFinite(by["holders"]));
  const stores = all("ingest-shapes", "ingest from memory, stores");
  const memory = all("memory", "memory, heap and arrays");
  const smallest = (stored: string): number =>
    Math.min(...memory.filter(({ by }) => by["stored"] === stored).map(({ by }) => Number(by["blocks"])));
  return {
    "hash.svg": barChart({
      title: "A block hash of 16 tokens",
      unit: "ns per block, less is better",
      groups: valuesOf<string>(hashes, "algorithm").map((algorithm) => ({
        name: algorithm,
        bars: ["kvblock", "native SHA256()", "plain Node, latin1", "hash-wasm"].flatMap((by) =>
          hashes
            .filter((figure) => figure.by["algorithm"] === algorithm && figure.by["by"] === by)
            .map(({ median }) => ({ name: by, value: median })),
        ),
      })),
    }),
    "lookup-by-blocks.svg": lineChart({
      title: "Looking up and scoring 1,000 blocks, by index size",
      x: "blocks in the index (64 pods, 1 to 4 holders of each)",
      y: "us, median",
      series: line("1-4 holders", having({ pods: 64, holders: "1-4" }), "blocks"),
    }),
    "lookup-by-pods.svg": lineChart({
      title: "Looking up and scoring, by pods",
      x: "pods",
      y: "us, median",
      series: [
        ...line("1,000 blocks, 1-4 holders", having({ blocks: 1e6, holders: "1-4" }), "pods"),
        ...line(
          "400 blocks, all hold",
          all("block-index", "lookup and score, 400 blocks that all pods hold"),
          "pods",
        ),
      ],
    }),
    "lookup-by-holders.svg": lineChart({
      title: "Looking up and scoring 1,000 blocks, by holders",
      x: "pods of 64 that hold each block (1M blocks)",
      y: "us, median",
      series: line("64 pods", byHolders, "holders"),
    }),
    "score-by-tokens.svg": lineChart({
      title: "scoreTokens, by prompt length",
      x: "tokens (64 pods with 16,384 blocks each)",
      y: "us, median",
      logY: true,
      series: MODES.flatMap((mode) =>
        ["deep", "cold"].flatMap((what) =>
          line(`${mode}, ${what}`, all("score", `score, ${what}`, { mode }), "tokens"),
        ),
      ),
    }),
    "ingest-by-batch.svg": lineChart({
      title: "Ingest from memory, by blocks of an event",
      x: "blocks an event stores (64 pods)",
      y: "million blocks a second, median",
      series: MODES.flatMap((mode) =>
        line(
          mode,
          stores.filter(({ by }) => by["mode"] === mode && by["pods"] === 64),
          "blocks an event",
        ),
      ),
    }),
    "ingest-by-pods.svg": lineChart({
      title: "Ingest from memory, by pods",
      x: "pods (16 blocks an event)",
      y: "million blocks a second, median",
      series: MODES.flatMap((mode) =>
        line(
          mode,
          stores.filter(({ by }) => by["mode"] === mode && by["blocks an event"] === 16),
          "pods",
        ),
      ),
    }),
    "memory-by-holders.svg": lineChart({
      title: "Memory of a block, by holders",
      x: "pods that hold the block",
      evenX: true,
      y: "bytes per block",
      series: MODES.flatMap((mode) =>
        ["one by one", "together"].flatMap((stored) =>
          line(
            `${mode}, stored ${stored}`,
            memory.filter(
              ({ by }) => by["mode"] === mode && by["stored"] === stored && by["blocks"] === smallest(stored),
            ),
            "holders",
          ),
        ),
      ),
    }),
    ...Object.fromEntries(
      (["median", "p99"] as const).map((which) => [
        `gateway-${which}.svg`,
        lineChart({
          title: `The mini-gateway with chats of 220 KB: ${which} of the latency`,
          x: "requests a second",
          y: `ms, ${which}`,
          logY: true,
          series: gatewayLines(figures, which).flatMap(({ name, figures: own }) => line(name, own, "rate")),
        }),
      ]),
    ),
    "memory-by-blocks.svg": lineChart({
      title: "Memory of a block, by index size",
      x: "blocks in the index (64 pods, 1 to 4 holders of each)",
      y: "bytes per block, as the index counts them",
      series: line(
        "1-4 holders",
        all("block-index", "memory that the index counts", { pods: 64, holders: "1-4" }),
        "blocks",
      ),
    }),
  };
}
