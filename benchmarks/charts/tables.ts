/** The tables of docs/performance.md, each from a run's figures. */
import { machineLine } from "../run/machine.js";
import type { Results } from "../run/results.js";
import { fleetArithmetic } from "./arithmetic.js";
import { MODES, type Picker, picker, type Table, table, valuesOf } from "./figures.js";
import { garbage, memory, popular, score, shapes } from "./growth-tables.js";
import { tick } from "./svg.js";
import { eventLoop, gatewayAdded, gatewayLoad, promptToScores } from "./tokenization.js";
import { chatTurns, tokenizerLoading, tokenizing } from "./tokenize-tables.js";

const blocksOf = (figures: Picker): number[] =>
  valuesOf(figures.all("block-index", "add", { pods: 64, holders: "1-4" }), "blocks");

const hash: Table = ({ all, cell }) => {
  const ours = all("hash-chain", "hash", { by: "kvblock" });
  const size = valuesOf<number>(ours, "block size")[0]!;
  const sizes = valuesOf<number>(ours, "block size");
  return table(
    [
      "ns per block of … tokens",
      ...sizes.map(String),
      `plain Node, ${size}`,
      `hash-wasm, ${size}`,
      `native SHA256(), ${size}`,
    ],
    valuesOf<string>(ours, "algorithm").map((algorithm) => [
      algorithm.includes(" ") ? algorithm : `\`${algorithm}\``,
      ...sizes.map((tokens) =>
        cell("hash-chain", "hash", { algorithm, by: "kvblock", "block size": tokens }),
      ),
      ...["plain Node, latin1", "hash-wasm", "native SHA256()"].map((by) =>
        cell("hash-chain", "hash", { algorithm, by, "block size": size }),
      ),
    ]),
  );
};

const decode: Table = ({ all, cell }) => {
  const eras = valuesOf<string>(all("decode", "decode, kvblock"), "era");
  const row = (name: string, by: Record<string, string | number>): string[] => [
    name,
    ...["kvblock", "@msgpack/msgpack", "theirs / ours"].map((who) => cell("decode", `decode, ${who}`, by)),
  ];
  const integers = { hashes: "integers" };
  return table(
    ["batch", "kvblock, ns per block", "@msgpack/msgpack", "times"],
    [
      ...eras.map((era) =>
        row(`${era}, 16 blocks stored`, { era, events: "stored", blocks: 16, ...integers }),
      ),
      ...[1, 256].map((blocks) =>
        row(`M3, ${blocks} stored`, { era: "M3", events: "stored", blocks, ...integers }),
      ),
      row("M3, 16 stored and 16 removed one by one", { era: "M3", events: "mixed", blocks: 16, ...integers }),
      row("M3, 16 stored, whole digests", { era: "M3", events: "stored", blocks: 16, hashes: "digests" }),
    ],
  );
};

const ingest: Table = ({ all, cell }) =>
  table(
    [
      "million block operations a second",
      "memory",
      "recording",
      "sockets",
      "frames a second through sockets",
    ],
    valuesOf<string>(all("ingest", "ingest from memory"), "events").flatMap((events) =>
      MODES.map((mode) => [
        `${events}, \`${mode}\``,
        ...["from memory", "from a recording", "through sockets"].map((how) =>
          cell("ingest", `ingest ${how}`, { events, mode }),
        ),
        cell("ingest", "frames through sockets", { events, mode }),
      ]),
    ),
  );

const transport: Table = ({ cell }) => {
  const costs = (by: string, load: string): string[] =>
    ["thread", "process"].map((whose) => cell("transport", `receiving, ${whose}`, { by, load }));
  return table(
    [
      "received and dropped",
      "frames a second",
      "us of the thread for each",
      "of the process",
      "one by one: of the thread",
      "of the process",
    ],
    ["kvblock", "libzmq"].map((by) => [
      by,
      cell("transport", "frames received", { by }),
      ...costs(by, "highest"),
      ...costs(by, "singly"),
    ]),
  );
};

const latency: Table = ({ cell, p99 }) =>
  table(
    [
      "load",
      "event to visible, ms: median",
      "p99",
      "received and dropped: median",
      "p99",
      "between two 1 ms timers, ms: median",
      "p99",
      "sent late, p99",
    ],
    [
      ...MODES.flatMap((mode) =>
        ["10 %", "50 %", "90 %", "highest"].map((load) => [
          `${load}, \`${mode}\``,
          cell("latency", "event to visible", { mode, load }),
          p99("latency", "event to visible", { mode, load }),
          cell("latency", "received and dropped", { mode, load }),
          p99("latency", "received and dropped", { mode, load }),
          cell("latency", "event loop", { mode, load }),
          p99("latency", "event loop", { mode, load }),
          cell("latency", "sent late, p99", { mode, load }),
        ]),
      ),
      [
        "none",
        "–",
        "–",
        "–",
        "–",
        cell("latency", "event loop", { load: "none" }),
        p99("latency", "event loop", { load: "none" }),
        "–",
      ],
    ],
  );

const underLoad: Table = ({ cell, p99 }) =>
  table(
    ["8,192 tokens, 4 holders, us", "idle: median", "p99", "ingesting: median", "p99", "p99, times"],
    MODES.flatMap((mode) =>
      ["call", "due to answer"].map((what) => {
        const name = `score while ingesting, ${what}`;
        const of = (events: string): string[] => [
          cell("score-under-load", name, { mode, events }),
          p99("score-under-load", name, { mode, events }),
        ];
        return [
          `\`${mode}\`, ${what}`,
          ...of("none"),
          ...of("at full rate"),
          what === "call"
            ? cell("score-under-load", "score while ingesting / idle, p99 of a call", { mode })
            : "",
        ];
      }),
    ),
  );

const tokensToScores: Table = ({ cell, p99 }) =>
  table(
    ["10,000 tokens, 64 pods, us", "nobody holds it: median", "p99", "held: median", "p99"],
    MODES.flatMap((mode) =>
      ["complete", "incomplete"].map((histories) => [
        `\`${mode}\`, ${histories} histories`,
        ...["nobody holds it", "held"].flatMap((what) => {
          const name = `tokens to scores, ${what}`;
          return [
            cell("tokens-to-scores", name, { mode, histories }),
            p99("tokens-to-scores", name, { mode, histories }),
          ];
        }),
      ]),
    ),
  );

const blockIndex: Table = (figures) => {
  const row = (words: string, by: Record<string, string | number>): string[] => [
    words,
    ...["add", "evict", "add while what was cleared is swept"].map((verb) =>
      figures.cell("block-index", verb, by),
    ),
    `${figures.cell("block-index", "add, longest call of 64 blocks", by)} (${figures.cell("block-index", "add, longest call, processor time", by)})`,
    figures.cell("block-index", "clear one pod", by),
    figures.cell("block-index", "lookup and score, 1,000 blocks", by),
    figures.p99("block-index", "lookup and score, 1,000 blocks", by),
    figures.cell("block-index", "memory that the index counts", by),
  ];
  const base = { blocks: 1e6, pods: 64, holders: "1-4" };
  const pods = valuesOf<number>(figures.all("block-index", "add", { blocks: 1e6, holders: "1-4" }), "pods");
  const holders = valuesOf<string>(figures.all("block-index", "add", { blocks: 1e6, pods: 64 }), "holders");
  return table(
    [
      "blocks, pods, holders of each",
      "add, M/s",
      "evict, M/s",
      "add while swept, M/s",
      "longest add of 64, ms (of processor time)",
      "clear a pod, us",
      "1,000-block lookup, us",
      "p99",
      "bytes per block",
    ],
    [
      ...blocksOf(figures).map((blocks) => row(`**${tick(blocks)}**, 64, 1-4`, { ...base, blocks })),
      ...pods.filter((n) => n !== 64).map((n) => row(`1M, **${tick(n)}**, 1-4`, { ...base, pods: n })),
      ...holders.filter((h) => h !== "1-4").map((h) => row(`1M, 64, **${h}**`, { ...base, holders: h })),
    ],
  );
};

const machine: Table = (_, results) =>
  `Measured by \`${results.command}\` on: ${machineLine(results.machine)}.`;

const tables: Readonly<Record<string, Table>> = {
  machine,
  hash,
  decode,
  ingest,
  transport,
  latency,
  "under-load": underLoad,
  "tokens-to-scores": tokensToScores,
  "block-index": blockIndex,
  popular,
  score,
  shapes,
  memory,
  garbage,
  tokenizing,
  "tokenizer-loading": tokenizerLoading,
  "chat-turns": chatTurns,
  "event-loop": eventLoop,
  "prompt-to-scores": promptToScores,
  "gateway-load": gatewayLoad,
  "gateway-added": gatewayAdded,
  arithmetic: fleetArithmetic,
};

export const tableNames: readonly string[] = Object.keys(tables);

export function tableOf(name: string, results: Results): string {
  const make = tables[name];
  if (make === undefined) throw new Error(`there is no table "${name}": ${tableNames.join(", ")}`);
  return make(picker(results), results);
}
