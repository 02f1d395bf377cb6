/** `npm run charts [-- results.json]`: writes the tables and charts of docs/performance.md from a run's figures. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { readResults } from "../run/results.js";
import { root } from "../run/root.js";
import { charts } from "./charts.js";
import { fillTables } from "./document.js";

const results = readResults(process.argv[2] ?? `${root}benchmarks/results/all.json`);
const page = `${root}docs/performance.md`;
writeFileSync(page, fillTables(readFileSync(page, "utf8"), results));
mkdirSync(`${root}docs/charts`, { recursive: true });
for (const [name, svg] of Object.entries(charts(results))) writeFileSync(`${root}docs/charts/${name}`, svg);
console.log(`docs/performance.md and docs/charts are of commit ${results.machine.commit}`);
