/**
 * The package as npm would publish it: packed once, looked at, and linted.
 * @module
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CheckFailed, run } from "./run.js";

/** A packed package and what npm says of it. */
export interface Tarball {
  /** Absolute path of the `.tgz`. */
  readonly path: string;
  /** Paths inside, from the package's root. */
  readonly files: readonly string[];
  readonly packedBytes: number;
  readonly unpackedBytes: number;
}

interface PackReport {
  readonly filename: string;
  readonly size: number;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string }[];
}

/** Pack what is built, without building again. */
export function pack(root: string, folder: string): Tarball {
  const report = JSON.parse(
    run(root, "npm", "pack", "--ignore-scripts", "--json", "--pack-destination", folder),
  ) as PackReport[];
  const [packed] = report;
  if (packed === undefined) throw new CheckFailed("npm pack reported no package");
  return {
    path: join(folder, packed.filename),
    files: packed.files.map((file) => file.path),
    packedBytes: packed.size,
    unpackedBytes: packed.unpackedSize,
  };
}

const required = [
  "package.json",
  "README.md",
  "LICENSE",
  "CHANGELOG.md",
  "SECURITY.md",
  "dist/index.js",
  "dist/index.d.ts",
];
const folders = ["dist/", "src/", "docs/"];

/** @throws CheckFailed if a file is missing or one is packed that has no business there */
export function checkFiles(tarball: Tarball): string {
  const missing = required.filter((path) => !tarball.files.includes(path));
  if (missing.length > 0) throw new CheckFailed(`the tarball lacks ${missing.join(", ")}`);
  const strays = tarball.files.filter(
    (path) =>
      !required.includes(path) &&
      (!folders.some((folder) => path.startsWith(folder)) || path.startsWith("docs/api/")),
  );
  if (strays.length > 0) throw new CheckFailed(`the tarball should not hold ${strays.join(", ")}`);
  const kilobytes = (bytes: number): string => `${(bytes / 1024).toFixed(1)} KiB`;
  return `${tarball.files.length} files, ${kilobytes(tarball.packedBytes)} packed, ${kilobytes(tarball.unpackedBytes)} unpacked`;
}

/** @throws CheckFailed if the build took in a package instead of importing it: its source maps tell */
export function checkBundles(root: string, tarball: Tarball): void {
  for (const path of tarball.files.filter((file) => file.endsWith(".js.map"))) {
    const { sources } = JSON.parse(readFileSync(join(root, path), "utf8")) as { sources: string[] };
    const foreign = sources.filter((source) => !/^(\.\.\/)+src\//.test(source));
    if (foreign.length > 0) throw new CheckFailed(`${path} bundles ${foreign.join(", ")}`);
  }
}

/**
 * publint and attw on the packed file. attw's profile is `esm-only`: `require` reaches the same ES modules (Node's
 * `require(esm)`), which attw, knowing older Nodes, would report; that `require` works is run, not linted.
 */
export function lintTarball(root: string, tarball: Tarball): void {
  run(root, "npx", "--no-install", "publint", "run", tarball.path, "--strict");
  run(root, "npx", "--no-install", "attw", tarball.path, "--profile", "esm-only", "--no-emoji");
}
