/**
 * `npm run bench:peers`: kvblock and its peers on the same work, in one run.
 *
 *     npm run bench:peers -- [--json FILE] [--note TEXT] [--rounds 3] [--only NAME,…]
 *     npm run bench:peers -- --docs benchmarks/results/peers.json
 *
 * README.md says what is measured and what each figure includes.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { compare } from "./compare.js";
import { writeDocs } from "./docs.js";
import { availablePeers } from "./peers.js";
import { type Results, resultLines } from "./results.js";

const { values } = parseArgs({
  options: {
    json: { type: "string" },
    rounds: { type: "string", default: "3" },
    only: { type: "string" },
    docs: { type: "string" },
    note: { type: "string" },
  },
});
const started = performance.now();
const progress = (what: string): void =>
  console.error(`${((performance.now() - started) / 1000).toFixed(0).padStart(5)} s: ${what}`);

if (values.docs !== undefined) writeDocs(JSON.parse(readFileSync(values.docs, "utf8")) as Results);
else {
  const { peers, skipped } = availablePeers(progress);
  for (const { name, reason } of skipped) progress(`${name} is left out: ${reason}`);
  const wanted = values.only?.split(",");
  const folder = mkdtempSync(join(tmpdir(), "kvblock-peers-"));
  try {
    const compared = await compare({
      peers: peers.filter(({ id }) => wanted === undefined || wanted.some((name) => id.startsWith(name))),
      rounds: Number(values.rounds),
      folder,
      progress,
    });
    const machine = `${cpus()[0]?.model.trim() ?? "unknown CPU"}, ${cpus().length} cores, Node ${process.version}`;
    const results: Results = { machine, note: values.note, ...compared, skipped };
    console.log([machine, "", ...resultLines(results)].join("\n"));
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
