/** The results as a section of docs/performance.md, between its markers. */
import { readFileSync, writeFileSync } from "node:fs";
import { type Results, resultLines } from "./results.js";

const BEGIN = "<!-- peers -->";
const END = "<!-- /peers -->";

export function writeDocs(results: Results): void {
  const page = new URL("../../docs/performance.md", import.meta.url);
  writeFileSync(page, withSection(readFileSync(page, "utf8"), results));
}

/** @throws Error if the page has no such markers */
export function withSection(page: string, results: Results): string {
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`the page has no ${BEGIN} … ${END}`);
  const note = results.note === undefined ? "" : ` ${results.note}`;
  const lines = [`Measured on ${results.machine}.${note}`, "", ...resultLines(results)];
  return `${page.slice(0, from)}${BEGIN}\n\n${lines.join("\n")}\n\n${page.slice(to)}`;
}
