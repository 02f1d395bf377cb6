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
import { entriesOf, exportedNames, extractReport, type Report } from "./extract.js";

const root = join(import.meta.dirname, "..", "..");
const committed = join(root, "docs", "api");
const update = process.argv.includes("--update");
const work = mkdtempSync(join(tmpdir(), "kvblock-api-"));

/** What a report must not contain, and why: users compile from TypeScript 5.4 on, with any version of @types/node. */
const refused: readonly (readonly [RegExp, string])[] = [
  [/\bBuffer\b/, "Buffer in a public type: declare Uint8Array"],
  [/Array<ArrayBuffer(Like)?>/, "a generic typed array in a public type: TypeScript 5.4 has none"],
];

try {
  const entries = entriesOf(root);
  const missing = entries.filter((entry) => !existsSync(entry.types));
  const reports = missing.length > 0 ? [] : entries.map((entry) => extractReport(root, entry, work));
  if (update && missing.length === 0) write(reports);
  const problems = [
    ...missing.map((entry) => `${entry.types} is missing: run npm run build first`),
    ...reports.flatMap((report) => [...compare(report), ...refusals(report)]),
    ...nameless(reports),
    ...strays(entries.map((entry) => `${entry.name}.api.md`)),
  ];
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exitCode = 1;
  else console.log(`public API: ${entries.length} reports ${update ? "written" : "match"}`);
} finally {
  rmSync(work, { recursive: true, force: true });
}

function write(reports: readonly Report[]): void {
  rmSync(committed, { recursive: true, force: true });
  mkdirSync(committed, { recursive: true });
  for (const { entry, text } of reports) writeFileSync(join(committed, `${entry.name}.api.md`), text);
}

function compare({ entry, text }: Report): string[] {
  const name = `${entry.name}.api.md`;
  const file = join(committed, name);
  if (!existsSync(file)) return [`docs/api/${name} is missing: run npm run api:update`];
  if (readFileSync(file, "utf8") === text) return [];
  const diff = spawnSync("diff", ["-u", "--label", "committed", "--label", "built", file, join(work, name)], {
    encoding: "utf8",
  });
  return [
    `${diff.stdout ?? ""}\ndocs/api/${name} differs from the build. If the change is meant: npm run api:update`,
  ];
}

function refusals({ entry, text }: Report): string[] {
  return refused.flatMap(([pattern, why]) =>
    text
      .split("\n")
      .filter((line) => pattern.test(line))
      .map((line) => `${entry.name}: ${why}: ${line.trim()}`),
  );
}

/** Types that a signature uses and that users cannot name, because no subpath exports them. */
function nameless(reports: readonly Report[]): string[] {
  const nameable = new Set(reports.flatMap(exportedNames));
  return reports.flatMap(({ entry, borrowed }) =>
    borrowed
      .filter((name) => !nameable.has(name))
      .map((name) => `${entry.name}: a signature uses ${name}, which no subpath exports`),
  );
}

/** Reports of subpaths that are gone. */
function strays(known: readonly string[]): string[] {
  if (!existsSync(committed)) return [];
  return readdirSync(committed)
    .filter((name) => !known.includes(name))
    .map((name) => `docs/api/${name} belongs to no subpath: run npm run api:update`);
}
