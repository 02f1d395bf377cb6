/** `npm run charts [-- results.json]`: writes the tables and charts of docs/performance.md from a run's figures. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { readCommitted, readResults } from "../run/results.js";
import { root } from "../run/root.js";
import { charts } from "./charts.js";
import { fillTables } from "./document.js";

const [, , given] = process.argv;
const results = given === undefined ? readCommitted() : readResults(given);
const page = `${root}docs/performance.md`;
writeFileSync(page, fillTables(readFileSync(page, "utf8"), results));
mkdirSync(`${root}docs/charts`, { recursive: true });
for (const [name, svg] of Object.entries(charts(results))) writeFileSync(`${root}docs/charts/${name}`, svg);
console.log(`docs/performance.md and docs/charts are of commit ${results.machine.commit}`);
