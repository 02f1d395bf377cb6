/** What the measured figures come to for fleets that no benchmark can fill. */
import { show } from "../run/figures.js";
import { type Picker, table } from "./figures.js";
import { tick } from "./svg.js";

/** Pods, cached blocks of each, and pods that hold a block on average. */
const FLEETS = [
  { pods: 8, blocksPerPod: 16_384, holders: 2 },
  { pods: 64, blocksPerPod: 65_536, holders: 4 },
  { pods: 256, blocksPerPod: 262_144, holders: 4 },
  { pods: 1000, blocksPerPod: 262_144, holders: 4 },
  { pods: 1000, blocksPerPod: 1_000_000, holders: 1 },
] as const;
/** Blocks that a pod stores and removes a second, each: 8,000 prompt and output tokens of 16 to a block. */
const OPERATIONS_PER_POD = 2 * 500;

/**
 * Memory is (first holder's bytes × blocks) + (further holders' bytes × the rest of the pairs). Of "one by one" the figures
 * are the worst case, of "together" what blocks of requests take; a fleet is in between.
 */
export function fleetArithmetic(figures: Picker): string {
  const bytes = (mode: string, stored: string): { first: number; further: number } | undefined => {
    const [first] = figures.all("memory", "memory, heap and arrays", { mode, stored, holders: 1 }).slice(-1);
    const [further] = figures
      .all("memory", "memory, each further holder of a block", { mode, stored })
      .slice(-1);
    return first && further ? { first: first.median, further: Math.max(0, further.median) } : undefined;
  };
  const size = (pairs: number, blocks: number, mode: string): string => {
    const costs = ["together", "one by one"].flatMap((stored) => bytes(mode, stored) ?? []);
    const gib = costs.map(({ first, further }) => (blocks * first + (pairs - blocks) * further) / 2 ** 30);
    return gib.length === 0 ? "–" : gib.map(show).join(" … ");
  };
  const rate = (mode: string): number | undefined =>
    figures.one("ingest", "ingest through sockets", { mode, events: "chats" })?.median;
  return table(
    [
      "fleet",
      "(block, pod) pairs",
      "distinct blocks",
      "GiB, `exact`",
      "GiB, `tokens`",
      "block operations a second",
      "of one thread, `exact` / `tokens`",
    ],
    FLEETS.map(({ pods, blocksPerPod, holders }) => {
      const pairs = pods * blocksPerPod;
      const operations = pods * OPERATIONS_PER_POD;
      const shares = ["exact", "tokens"].map((mode) => {
        const most = rate(mode);
        return most === undefined ? "–" : `${show(operations / most / 1e4)} %`;
      });
      return [
        `${tick(pods)} pods × ${tick(blocksPerPod)} blocks, ${holders} ${holders === 1 ? "holder" : "holders"}`,
        approximately(pairs),
        approximately(pairs / holders),
        size(pairs, pairs / holders, "exact"),
        size(pairs, pairs / holders, "tokens"),
        tick(operations),
        shares.join(" / "),
      ];
    }),
  );
}

const approximately = (value: number): string => {
  const [size, unit] = value >= 1e9 ? [value / 1e9, "G"] : [value / 1e6, "M"];
  return `${Number(size.toPrecision(3))}${unit}`;
};
