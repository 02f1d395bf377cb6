/** The tables of how cost grows. */
import { type Figure, show } from "../run/figures.js";
import { MODES, type Table, table, valuesOf } from "./figures.js";
import { tick } from "./svg.js";

export const popular: Table = ({ all }) => {
  const found = all("block-index", "lookup and score, 400 blocks that all pods hold");
  return table(
    ["400 blocks that all pods hold", ...found.map(({ by }) => `${tick(Number(by["pods"]))} pods`)],
    [
      ["lookup and score, us: median", ...found.map(({ median }) => show(median))],
      ["p99", ...found.map(({ p99 }) => show(p99))],
    ],
  );
};

export const score: Table = ({ all, cell, p99 }) => {
  const lengths = valuesOf<number>(all("score", "score, deep"), "tokens");
  return table(
    ["scoreTokens, us", ...lengths.map((tokens) => `${tick(tokens / 1024)}K tokens`)],
    MODES.flatMap((mode) =>
      ["deep", "cold"].flatMap((what) => [
        [
          `\`${mode}\`, ${what}: median`,
          ...lengths.map((tokens) => cell("score", `score, ${what}`, { mode, tokens })),
        ],
        ["p99", ...lengths.map((tokens) => p99("score", `score, ${what}`, { mode, tokens }))],
      ]),
    ),
  );
};

export const shapes: Table = ({ all }) => {
  const found = all("ingest-shapes", "ingest from memory, stores");
  const rate = (by: (figure: Figure) => boolean): string => {
    const figure = found.find(by);
    return figure === undefined ? "–" : show(figure.median);
  };
  const batches = valuesOf<number>(found, "blocks an event");
  const pods = valuesOf<number>(found, "pods");
  const head = ["million blocks stored a second", ...MODES.map((mode) => `\`${mode}\``)];
  return table(head, [
    ...batches.map((batch) => [
      `64 pods, **${batch}** blocks an event`,
      ...MODES.map((mode) =>
        rate(({ by }) => by["mode"] === mode && by["pods"] === 64 && by["blocks an event"] === batch),
      ),
    ]),
    ...pods
      .filter((n) => n !== 64)
      .map((n) => [
        `**${tick(n)}** pods, 16 blocks an event`,
        ...MODES.map((mode) =>
          rate(({ by }) => by["mode"] === mode && by["pods"] === n && by["blocks an event"] === 16),
        ),
      ]),
  ]);
};

export const memory: Table = ({ all, cell }) => {
  const found = all("memory", "memory, heap and arrays");
  const holders = valuesOf<number>(found, "holders");
  const rows = MODES.flatMap((mode) =>
    valuesOf<string>(found, "stored").flatMap((stored) =>
      valuesOf<number>(
        found.filter(({ by }) => by["mode"] === mode && by["stored"] === stored),
        "blocks",
      ).map((blocks) => ({ mode, stored, blocks })),
    ),
  );
  return table(
    ["bytes per block at … holders", ...holders.map(String), "each further holder", "counted, at most"],
    rows.map((by) => [
      `${tick(by.blocks)} blocks, \`${by.mode}\`, stored ${by.stored}`,
      ...holders.map((n) => cell("memory", "memory, heap and arrays", { ...by, holders: n })),
      cell("memory", "memory, each further holder of a block", by),
      cell("memory", "memory, counted", { ...by, holders: holders.at(-1)! }),
    ]),
  );
};

export const garbage: Table = ({ all }) =>
  table(
    ["bytes of garbage per event", ...MODES.map((mode) => `\`${mode}\``)],
    [
      [
        "chats, in steady state",
        ...MODES.map((mode) => {
          const [figure] = all("memory", "garbage of ingest", { mode });
          return figure === undefined ? "–" : show(figure.median);
        }),
      ],
    ],
  );
