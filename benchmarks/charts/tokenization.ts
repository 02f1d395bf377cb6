/** Tables and series of what tokenizing costs the host: the event loop, and the gateway under load. */
import type { Conditions, Figure } from "../run/figures.js";
import { show } from "../run/figures.js";
import { type Picker, table, valuesOf } from "./figures.js";
import { tick } from "./svg.js";

const LOOP = "event-loop";
const LOAD = "gateway-load";

export function eventLoop({ all, cell, p99 }: Picker): string {
  const many = all(LOOP, "event loop, 100 prompts");
  const one = all(LOOP, "event loop, one prompt");
  const lengths = valuesOf<number>(one, "tokens").filter((tokens) => tokens > 0);
  const most = lengths.at(-1)!;
  const both = (name: string, by: Conditions): string => `${cell(LOOP, name, by)} / ${p99(LOOP, name, by)}`;
  const told = (how: string, tokens: number, as: string): string => {
    const by = { how, tokens, as };
    const own = "event loop, processor time";
    const isKnown = all(LOOP, own, by).length > 0;
    return `${both("event loop, one prompt", by)}${isKnown ? ` (${both(own, by)})` : ""}`;
  };
  const isHeld = one.some(({ by }) => by["as"] === "held");
  return table(
    [
      "held, ms",
      "100 prompts of 8K: p50 / p99",
      ...lengths.map((tokens) => `one of ${tick(tokens / 1024)}K: longest, median / worst`),
      `chat of ${tick(most / 1024)}K`,
      ...(isHeld ? [`${tick(most / 1024)}K that 64 pods hold`] : []),
    ],
    [
      ...valuesOf<string>(many, "how").map((how) => [
        how,
        both("event loop, 100 prompts", { how }),
        ...lengths.map((tokens) => told(how, tokens, "text")),
        told(how, most, "chat"),
        ...(isHeld ? [told(how, most, "held")] : []),
      ]),
      [
        "nothing (the timer alone)",
        "–",
        told("no prompt", 0, "text"),
        ...lengths.map(() => "–"),
        ...(isHeld ? ["–"] : []),
      ],
    ],
  );
}

export function promptToScores({ all, cell }: Picker): string {
  const found = all(LOOP, "prompt to scores");
  const lengths = valuesOf<number>(found, "tokens");
  return table(
    ["prompt to scores, ms", ...lengths.map((tokens) => `${tick(tokens / 1024)}K tokens`)],
    valuesOf<string>(found, "how").map((how) => [
      how,
      ...lengths.map((tokens) => cell(LOOP, "prompt to scores", { how, tokens })),
    ]),
  );
}

export function gatewayLoad({ all, cell, p99 }: Picker): string {
  const found = all(LOAD, "latency");
  const hows = valuesOf<string>(found, "how");
  return table(
    ["requests/s offered", ...hows.flatMap((how) => [`${how}: p50, ms`, "p99", "served/s"])],
    valuesOf<number>(found, "rate").map((rate) => [
      String(rate),
      ...hows.flatMap((how) => [
        cell(LOAD, "latency", { how, rate }),
        p99(LOAD, "latency", { how, rate }),
        cell(LOAD, "served", { how, rate }),
      ]),
    ]),
  );
}

export function gatewayAdded({ all, cell, p99 }: Picker): string {
  const found = all(LOAD, "added latency");
  const hows = valuesOf<string>(found, "how");
  const right = (how: string): string => {
    const shares = all(LOAD, "to the right engine", { how }).map(({ median }) => median);
    return shares.length === 0 ? "–" : show(Math.min(...shares));
  };
  const rates = valuesOf<number>(found, "rate");
  return table(
    ["added latency, ms", ...rates.map((rate) => `${rate}/s: p50 / p99`), "to the right engine, % at least"],
    hows.map((how) => [
      how,
      ...rates.map((rate) => {
        const by = { how, rate };
        const cells = [cell(LOAD, "added latency", by), p99(LOAD, "added latency", by)];
        return cells[0] === "–" ? "–" : cells.join(" / ");
      }),
      right(how),
    ]),
  );
}

/** Latency by rate, a line for each way. */
export function gatewayLines(
  { all }: Picker,
  which: "median" | "p99",
): { name: string; figures: Figure[] }[] {
  const found = all(LOAD, "latency");
  return valuesOf<string>(found, "how").map((how) => ({
    name: how,
    figures: found
      .filter(({ by }) => by["how"] === how)
      .map((figure) => ({ ...figure, median: figure[which] })),
  }));
}
