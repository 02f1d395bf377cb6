/**
 * The committed public API, `docs/api/<subpath>.api.md`, against what the build declares.
 *
 *     npm run check:api     compare; fails with a diff
 *     npm run api:update    write
 *
 * Reads `dist/`, so build first. A change of these files in a review is a change of the public API.
 */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { entriesOf, extractReport } from "./extract.js";

const root = join(import.meta.dirname, "..", "..");
const committed = join(root, "docs", "api");
const update = process.argv.includes("--update");
const work = mkdtempSync(join(tmpdir(), "kvblock-api-"));

/** What a report must not contain, and why: users compile from TypeScript 5.4 on, with any version of @types/node. */
const refused: readonly (readonly [RegExp, string])[] = [
  [/\bBuffer\b/, "Buffer in a public type: declare Uint8Array"],
  [/Array<ArrayBuffer(Like)?>/, "a generic typed array in a public type: TypeScript 5.4 has none"],
  [/ae-forgotten-export/, "a type that a signature needs is not exported from this subpath"],
];

try {
  const problems = entriesOf(root).flatMap((entry) => {
    if (!existsSync(entry.types)) return [`${entry.types} is missing: run npm run build first`];
    const report = extractReport(root, entry, work);
    const file = join(committed, `${entry.name}.api.md`);
    if (update) {
      mkdirSync(committed, { recursive: true });
      writeFileSync(file, report);
    }
    return [...compare(file, join(work, `${entry.name}.api.md`)), ...refusals(entry.name, report)];
  });
  problems.push(...strays());
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exitCode = 1;
  else console.log(`public API: ${entriesOf(root).length} reports ${update ? "written" : "match"}`);
} finally {
  rmSync(work, { recursive: true, force: true });
}

function compare(file: string, fresh: string): string[] {
  if (!existsSync(file)) return [`docs/api lacks ${file}: run npm run api:update`];
  if (readFileSync(file, "utf8") === readFileSync(fresh, "utf8")) return [];
  const diff = spawnSync("diff", ["-u", "--label", "committed", "--label", "built", file, fresh], {
    encoding: "utf8",
  });
  return [`${diff.stdout ?? ""}\n${file} differs from the build. If the change is meant: npm run api:update`];
}

function refusals(name: string, report: string): string[] {
  return refused.flatMap(([pattern, why]) =>
    report
      .split("\n")
      .filter((line) => pattern.test(line))
      .map((line) => `${name}: ${why}: ${line.trim()}`),
  );
}

/** Reports of subpaths that are gone. */
function strays(): string[] {
  if (!existsSync(committed)) return [];
  const known = entriesOf(root).map((entry) => `${entry.name}.api.md`);
  const gone = readdirSync(committed).filter((name) => !known.includes(name));
  if (update) for (const name of gone) rmSync(join(committed, name));
  return update ? [] : gone.map((name) => `docs/api/${name} belongs to no subpath: run npm run api:update`);
}
