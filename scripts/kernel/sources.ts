/** The kernel's sources, and the hash by which its compiled bytes name them. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

const folder = join(import.meta.dirname, "..", "..", "src", "hash", "kernel");

export function kernelSources(): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".as"))
    .sort()
    .map((name) => join(folder, name));
}

export function sourceHash(): string {
  const hash = createHash("sha256");
  for (const path of kernelSources())
    hash.update(basename(path)).update("\0").update(readFileSync(path)).update("\0");
  return hash.digest("hex");
}
