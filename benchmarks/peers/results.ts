/** What a comparison found, and its tables. */

/** By peer; absent where it was not measured. */
export interface PeerFigures {
  /** Median block operations a second, stored and removed, until all are visible: of CPU time, and by the clock. */
  readonly oneCore: number;
  readonly allCores: number;
  /** Of CPU time, its decoder by itself. */
  readonly decode: number;
  /** The same from event structs made beforehand, where the public API takes such. */
  readonly structs?: number;
  /** Tokens to scores, microseconds, of prompts about to be routed. */
  readonly lookupP50: number;
  readonly lookupP99: number;
  /** Medians for 10,000 tokens with 64 pods: nothing held, the system prompt held, all held by four pods. */
  readonly longNew: number;
  readonly longSystem: number;
  readonly longHeld: number;
  /** Microseconds from when a frame was due to its last change. */
  readonly visibleP50: number;
  readonly visibleP99: number;
  /** Live bytes of the filled index by resident (block, pod). */
  readonly bytesPerPair: number;
}

export interface PeerResult {
  readonly id: string;
  readonly name: string;
  readonly version: string;
  readonly figures: PeerFigures;
  readonly agreement: Agreement;
}

/** How a peer's matches compare with what the engines would reuse. */
export interface Agreement {
  readonly queries: number;
  /** All pods alike. */
  readonly equal: number;
  /** Alike but for a block with the prompt's last token, which the engine computes itself. */
  readonly lastTokenOnly: number;
  readonly different: number;
}

export interface Results {
  readonly machine: string;
  /** What else a reader has to know of this run. */
  readonly note?: string | undefined;
  readonly pinned: boolean;
  readonly workload: Readonly<Record<string, number>>;
  /** Block operations a second at which `visible` was measured. */
  readonly visibleRate: number;
  readonly peers: readonly PeerResult[];
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
  /** llm-d with its default of 10 pods to a block: of the long queries, how many matched less for some pod. */
  readonly llmDForgets?: { readonly queries: number; readonly forgotten: number } | undefined;
}

interface Column {
  readonly title: string;
  readonly value: (figures: PeerFigures) => number;
  readonly better: "higher" | "lower";
}

const COLUMNS: readonly Column[] = [
  { title: "ingest, one core (M ops/s)", value: (f) => f.oneCore / 1e6, better: "higher" },
  { title: "all cores", value: (f) => f.allCores / 1e6, better: "higher" },
  { title: "decode alone", value: (f) => f.decode / 1e6, better: "higher" },
  { title: "routed prompt, p50 (µs)", value: (f) => f.lookupP50, better: "lower" },
  { title: "p99", value: (f) => f.lookupP99, better: "lower" },
  { title: "10,000 tokens: new (µs)", value: (f) => f.longNew, better: "lower" },
  { title: "system held", value: (f) => f.longSystem, better: "lower" },
  { title: "all held", value: (f) => f.longHeld, better: "lower" },
  { title: "event to visible, p99 (µs)", value: (f) => f.visibleP99, better: "lower" },
  { title: "bytes per (block, pod)", value: (f) => f.bytesPerPair, better: "lower" },
];

export function agreementOf(
  expected: readonly Uint32Array[],
  promptTokens: readonly number[],
  blockSize: number,
  matches: Uint32Array,
): Agreement {
  const count = { queries: expected.length, equal: 0, lastTokenOnly: 0, different: 0 };
  let at = 0;
  for (const [query, wanted] of expected.entries()) {
    const usable = Math.floor((promptTokens[query]! - 1) / blockSize);
    let exact = true;
    let capped = true;
    for (const blocks of wanted) {
      const found = matches[at++] ?? Number.NaN;
      exact &&= found === blocks;
      capped &&= Math.min(found, usable) === blocks;
    }
    count[exact ? "equal" : capped ? "lastTokenOnly" : "different"]++;
  }
  return count;
}

/** The tables in Markdown: figures, then how many times better each kvblock mode is. */
export function resultLines(results: Results): string[] {
  const header = ["", ...COLUMNS.map(({ title }) => title)];
  const rows = results.peers.map((peer) => [
    `${peer.name} (${peer.version})`,
    ...COLUMNS.map(({ value }) => show(value(peer.figures))),
  ]);
  const own = results.peers.filter(({ id }) => id.startsWith("kvblock"));
  const others = results.peers.filter((peer) => !own.includes(peer));
  const ratios = own.flatMap((ours) =>
    others.map((theirs) => [
      `${ours.name} / ${theirs.name}`,
      ...COLUMNS.map((column) => `${show(ratio(column, ours.figures, theirs.figures))}x`),
    ]),
  );
  return [
    ...table(header, rows),
    "",
    "How many times better kvblock is (below 1: worse):",
    "",
    ...table(header, ratios),
    "",
    ...results.peers.map(({ name, agreement }) => agreementLine(name, agreement)),
    ...results.peers.flatMap(({ name, figures }) =>
      figures.structs === undefined
        ? []
        : [`- ${name} from its own event structs, made beforehand: ${show(figures.structs / 1e6)} M ops/s.`],
    ),
    ...(results.llmDForgets === undefined
      ? []
      : [
          `- llm-d with its default of 10 pods to a block, 64 pods: ${results.llmDForgets.forgotten} of ` +
            `${results.llmDForgets.queries} long queries match less for some pod.`,
        ]),
    ...results.skipped.map(({ name, reason }) => `- Not compared: ${name} (${reason}).`),
  ];
}

function agreementLine(name: string, { queries, equal, lastTokenOnly, different }: Agreement): string {
  const parts = [`${equal} of ${queries} queries answered as the engines would reuse`];
  if (lastTokenOnly > 0) parts.push(`${lastTokenOnly} with the last token's block on top`);
  if (different > 0) parts.push(`${different} otherwise`);
  return `- ${name}: ${parts.join(", ")}.`;
}

function ratio({ value, better }: Column, ours: PeerFigures, theirs: PeerFigures): number {
  return better === "higher" ? value(ours) / value(theirs) : value(theirs) / value(ours);
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(header), `|${header.map((_, i) => (i === 0 ? "---" : "--:")).join("|")}|`, ...rows.map(line)];
}

/** Three digits. */
function show(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (value >= 100) return Math.round(value).toLocaleString("en-US");
  return value >= 10 ? value.toFixed(1) : value.toPrecision(value >= 1 ? 3 : 2);
}
