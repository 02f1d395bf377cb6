/** Charts as SVG text: readable on light and dark pages, nothing but shapes and words. */

export interface Series {
  readonly name: string;
  /** In the order of x. */
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface LineChart {
  readonly title: string;
  readonly x: string;
  /** With its unit. */
  readonly y: string;
  /** Evenly instead of by factors. Default false. */
  readonly evenX?: boolean;
  /** By ten instead of evenly from 0. Default false. */
  readonly logY?: boolean;
  readonly series: readonly Series[];
}

export interface BarChart {
  readonly title: string;
  /** What a bar's length is. */
  readonly unit: string;
  readonly groups: readonly {
    readonly name: string;
    /** Names repeat from group to group: each has its colour. */
    readonly bars: readonly { readonly name: string; readonly value: number }[];
  }[];
}

const WIDTH = 760;
/** Okabe and Ito's colours, which the colour-blind tell apart; lighter ones on dark. */
const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#a0528a", "#8a6d00"];
const DARK = ["#56b4e9", "#f09060", "#3fcfa0", "#dc9fc4", "#f0d050"];

const rules = (background: string, text: string, faint: string, grid: string, colours: string[]): string =>
  [
    `.back{fill:${background}}`,
    `text{fill:${text}}`,
    `.faint{fill:${faint}}`,
    `.grid{stroke:${grid}}`,
    ...colours.map((colour, i) => `.s${i}{stroke:${colour}}.f${i}{fill:${colour}}`),
  ].join("");
const STYLE = [
  "text{font:13px system-ui,-apple-system,'Segoe UI',sans-serif}.title{font-size:15px;font-weight:600}",
  ".line{fill:none;stroke-width:2.5}.grid{stroke-width:1}.end{text-anchor:end}.mid{text-anchor:middle}",
  rules("#ffffff", "#1f2328", "#59636e", "#d1d9e0", LIGHT),
  `@media (prefers-color-scheme:dark){${rules("#0d1117", "#f0f6fc", "#9198a1", "#3d444d", DARK)}}`,
].join("");

function document(height: number, title: string, parts: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escaped(title)}">`,
    `<style>${STYLE}</style>`,
    `<rect class="back" width="${WIDTH}" height="${height}" rx="6"/>`,
    text(20, 28, title, "title"),
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

const escaped = (words: string): string =>
  words.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
const px = (value: number): string => Number(value.toFixed(1)).toString();
const text = (x: number, y: number, words: string, kind = ""): string =>
  `<text x="${px(x)}" y="${px(y)}"${kind === "" ? "" : ` class="${kind}"`}>${escaped(words)}</text>`;

/** 0.5, 20, 1,500, 10M. */
export function tick(value: number): string {
  if (value >= 1e9) return `${value / 1e9}G`;
  if (value >= 1e6) return `${value / 1e6}M`;
  return value >= 1 ? value.toLocaleString("en-US") : String(Number(value.toPrecision(2)));
}

/** Round steps, about five of them, from 0 to what covers `most`. */
export function evenTicks(most: number): number[] {
  const raw = most / 5;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw)! * power;
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, i) => Number((i * step).toPrecision(6)));
}

function powersOfTen(least: number, most: number): number[] {
  const from = Math.floor(Math.log10(least));
  return Array.from({ length: Math.ceil(Math.log10(most)) - from + 1 }, (_, i) => 10 ** (from + i));
}

export function lineChart({ title, x, y, evenX = false, logY = false, series }: LineChart): string {
  const height = 340;
  const [left, right, top, bottom] = [70, 560, 66, 284];
  const all = series.flatMap(({ points }) => points);
  const xs = [...new Set(all.map(([value]) => value))].sort((a, b) => a - b);
  const values = all.map(([, value]) => value);
  const yTicks = logY
    ? powersOfTen(Math.min(...values), Math.max(...values))
    : evenTicks(Math.max(...values));
  const scale = (value: number, low: number, high: number, log: boolean): number =>
    log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  const atX = (value: number): number =>
    xs.length === 1
      ? (left + right) / 2
      : left + 12 + scale(value, xs[0]!, xs.at(-1)!, !evenX) * (right - left - 24);
  const atY = (value: number): number =>
    bottom - scale(value, yTicks[0]!, yTicks.at(-1)!, logY) * (bottom - top);
  const parts = [text(20, 50, y, "faint"), text((left + right) / 2, height - 12, x, "faint mid")];
  for (const value of yTicks)
    parts.push(
      `<line class="grid" x1="${left}" x2="${right}" y1="${px(atY(value))}" y2="${px(atY(value))}"/>`,
      text(left - 8, atY(value) + 4, tick(value), "faint end"),
    );
  for (const value of xs) parts.push(text(atX(value), bottom + 20, tick(value), "faint mid"));
  // Names stand at the lines' ends, apart from each other.
  const labels = series.map(({ points }, i) => ({ i, y: atY(points.at(-1)![1]) })).sort((a, b) => a.y - b.y);
  for (let i = 1; i < labels.length; i++) labels[i]!.y = Math.max(labels[i]!.y, labels[i - 1]!.y + 17);
  for (let i = labels.length - 1, most = bottom + 4; i >= 0; i--, most -= 17)
    labels[i]!.y = Math.min(labels[i]!.y, most);
  for (const [i, { points }] of series.entries()) {
    const path = points.map(([px_, py]) => `${px(atX(px_))},${px(atY(py))}`).join(" ");
    parts.push(`<polyline class="line s${i}" points="${path}"/>`);
    for (const [vx, vy] of points)
      parts.push(`<circle class="f${i}" cx="${px(atX(vx))}" cy="${px(atY(vy))}" r="4"/>`);
  }
  for (const { i, y: labelY } of labels)
    parts.push(
      `<rect class="f${i}" x="${right + 12}" y="${px(labelY - 5)}" width="10" height="10" rx="2"/>`,
      text(right + 28, labelY + 4, series[i]!.name),
    );
  return document(height, title, parts);
}

export function barChart({ title, unit, groups }: BarChart): string {
  const names = [...new Set(groups.flatMap(({ bars }) => bars.map(({ name }) => name)))];
  const [left, right, top, barHeight] = [170, 690, 86, 18];
  const bars = groups.reduce((sum, group) => sum + group.bars.length, 0);
  const height = top + bars * barHeight + groups.length * 12 + 40;
  const ticks = evenTicks(Math.max(...groups.flatMap((group) => group.bars.map(({ value }) => value))));
  const atX = (value: number): number => left + (value / ticks.at(-1)!) * (right - left);
  const parts = [text(20, 50, unit, "faint")];
  for (const value of ticks)
    parts.push(
      `<line class="grid" x1="${px(atX(value))}" x2="${px(atX(value))}" y1="${top - 6}" y2="${height - 34}"/>`,
      text(atX(value), height - 16, tick(value), "faint mid"),
    );
  let legend = 20;
  for (const [i, name] of names.entries()) {
    parts.push(
      `<rect class="f${i}" x="${px(legend)}" y="60" width="10" height="10" rx="2"/>`,
      text(legend + 16, 69, name),
    );
    legend += 36 + 7 * name.length;
  }
  let y = top;
  for (const group of groups) {
    parts.push(text(left - 10, y + (group.bars.length * barHeight) / 2 + 4, group.name, "end"));
    for (const { name, value } of group.bars) {
      const i = names.indexOf(name);
      parts.push(
        `<rect class="f${i}" x="${left}" y="${px(y + 1)}" width="${px(atX(value) - left)}" height="${barHeight - 3}" rx="2"/>`,
        text(atX(value) + 6, y + 13, tick(Number(value.toPrecision(3))), "faint"),
      );
      y += barHeight;
    }
    y += 12;
  }
  return document(height, title, parts);
}
