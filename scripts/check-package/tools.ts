/**
 * What users have and this machine may not, as npm packages in a folder of their own: the oldest TypeScript, and what
 * `nodes.ts` needs for other Node versions.
 * @module
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./run.js";

/** Oldest TypeScript that users compile with. */
const oldestTypeScript = "5.4";
/** A program to run checks with. */
export interface Tool {
  /** Its version, for the report. */
  readonly version: string;
  readonly path: string;
}

/** Install a package under a name of its own; returns its folder. */
export function installAlias(folder: string, name: string, spec: string): string {
  run(folder, "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", `${name}@npm:${spec}`);
  return join(folder, "node_modules", name);
}

/** @returns the `tsc.js` of the repository's TypeScript and of the oldest supported one */
export function typeScripts(root: string, folder: string): Tool[] {
  const tsc = (path: string): Tool => {
    const compiler = join(path, "lib", "tsc.js");
    return { version: run(folder, process.execPath, compiler, "--version").trim(), path: compiler };
  };
  return [
    tsc(join(root, "node_modules", "typescript")),
    tsc(installAlias(folder, "typescript-oldest", `typescript@${oldestTypeScript}`)),
  ];
}

/** An npm project with nothing in it. */
export function emptyProject(folder: string): void {
  writeFileSync(join(folder, "package.json"), `${JSON.stringify({ private: true, type: "module" })}\n`);
}
