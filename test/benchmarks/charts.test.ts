import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { charts } from "../../benchmarks/charts/charts.js";
import { fillTables } from "../../benchmarks/charts/document.js";
import { evenTicks, lineChart } from "../../benchmarks/charts/svg.js";
import { tableNames } from "../../benchmarks/charts/tables.js";
import { questions } from "../../benchmarks/questions.js";
import { readCommitted } from "../../benchmarks/run/results.js";
import { root } from "../../benchmarks/run/root.js";

const results = readCommitted();
const page = readFileSync(`${root}docs/performance.md`, "utf8");

describe("docs/performance.md", () => {
  it("has the tables that npm run charts makes of the committed results", () => {
    expect(page).toBe(fillTables(page, results));
  });

  it("has every table and shows every chart", () => {
    const marked = [...page.matchAll(/<!-- results: (\S+) -->/g)].map(([, name]) => name!);
    expect(marked.sort()).toEqual([...tableNames].sort());
    for (const name of Object.keys(charts(results))) expect(page).toContain(`](charts/${name})`);
  });

  it("has the charts that npm run charts makes of the committed results", () => {
    const made = charts(results);
    expect(readdirSync(`${root}docs/charts`).sort()).toEqual(Object.keys(made).sort());
    for (const [name, svg] of Object.entries(made))
      expect(readFileSync(`${root}docs/charts/${name}`, "utf8")).toBe(svg);
  });

  it("rests on figures of every question, asked with all or apart", () => {
    const measured = new Set(results.figures.map(({ question }) => question));
    expect([...measured].sort()).toEqual(Object.keys(questions).sort());
  });

  it("refuses a marker that names no table", () => {
    expect(() => fillTables("<!-- results: nonsense -->\n<!-- end -->", results)).toThrow(
      'no table "nonsense"',
    );
  });
});

describe("charts", () => {
  it("begin at zero and end in a round step that covers everything", () => {
    expect(evenTicks(98)).toEqual([0, 20, 40, 60, 80, 100]);
    expect(evenTicks(0.7)).toEqual([0, 0.2, 0.4, 0.6, 0.8]);
  });

  it("draw a larger value higher, and escape words", () => {
    const points = [
      [1, 10],
      [10, 40],
    ] as const;
    const svg = lineChart({ title: "a < b", x: "x", y: "y", series: [{ name: "&", points }] });
    const [low, high] = [...svg.matchAll(/cy="([\d.]+)"/g)].map(([, y]) => Number(y));
    expect(high).toBeLessThan(low!);
    expect(svg).toContain("a &lt; b");
    expect(svg).toContain(">&amp;<");
    expect(svg).toContain("prefers-color-scheme:dark");
  });
});

describe("npm run bench", () => {
  it("names questions that have a file", () => {
    for (const name of Object.keys(questions))
      expect(existsSync(`${root}benchmarks/${name}.ts`), name).toBe(true);
  });
});
