/** Who is compared, how each is built, and which part of its public API is driven. */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const here = join(root, "benchmarks/peers");
/** Builds are kept here, outside what is committed and published: Dynamo's takes ten minutes on two cores. */
const cache = join(root, "node_modules/.cache/kvblock-peers");

export interface Peer {
  readonly id: string;
  readonly name: string;
  readonly version: string;
  /** What stands before the workload's path. */
  readonly command: readonly string[];
  /** Whether it uses more than one thread when it may. */
  readonly parallel: boolean;
}

export interface Skipped {
  readonly name: string;
  readonly reason: string;
}

/** @param progress - told what is being built */
export function availablePeers(progress: (what: string) => void): { peers: Peer[]; skipped: Skipped[] } {
  const peers = [...nodePeers()];
  const skipped: Skipped[] = [];
  for (const [name, build] of [
    ["llm-d", llmD],
    ["Dynamo", dynamo],
  ] as const) {
    progress(`building ${name}`);
    try {
      peers.push(...build());
    } catch (error) {
      skipped.push({ name, reason: reasonOf(error) });
    }
  }
  return { peers, skipped };
}

function nodePeers(): Peer[] {
  const versionOf = (name: string): string =>
    (
      JSON.parse(readFileSync(join(root, "node_modules", name, "package.json"), "utf8")) as {
        version: string;
      }
    ).version;
  const own = (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string }).version;
  const command = (id: string): string[] => [
    process.execPath,
    "--import",
    import.meta.resolve("tsx"),
    join(here, "node-peers/main.ts"),
    id,
  ];
  const msgpack = `@msgpack/msgpack ${versionOf("@msgpack/msgpack")}`;
  const peer = (id: string, name: string, version: string): Peer => ({
    id,
    name,
    version,
    command: command(id),
    parallel: false,
  });
  return [
    peer("kvblock-exact", "kvblock, exact", own),
    peer("kvblock-tokens", "kvblock, tokens", own),
    peer("plain-map", "Map of Sets", msgpack),
    peer("plain-lru", "lru-cache of Sets", `lru-cache ${versionOf("lru-cache")}, ${msgpack}`),
  ];
}

function llmD(): Peer[] {
  const source = join(here, "llm-d");
  const binary = join(cache, "llm-d");
  run("go", ["build", "-p", "1", "-o", binary, "."], source);
  const version = pinned(join(source, "go.mod"), /llm-d-kv-cache (v\S+)/);
  return [{ id: "llm-d", name: "llm-d", version, command: [binary], parallel: true }];
}

function dynamo(): Peer[] {
  const copy = join(cache, "dynamo");
  mkdirSync(copy, { recursive: true });
  // Cargo writes a lock file beside the manifest, so it is given a copy.
  for (const part of ["Cargo.toml", "src"])
    cpSync(join(here, "dynamo", part), join(copy, part), { recursive: true, preserveTimestamps: true });
  run("cargo", ["build", "--release", "-j1", "--quiet"], copy);
  const binary = join(copy, "target/release/dynamo-peer");
  if (!existsSync(binary)) throw new Error("cargo built no binary");
  const version = pinned(join(copy, "Cargo.toml"), /dynamo-kv-router = "=(\S+)"/);
  const tree = (id: string, name: string, parallel: boolean): Peer => ({
    id: `dynamo-${id}`,
    name,
    version,
    command: [binary, id],
    parallel,
  });
  return [
    tree("concurrent", "Dynamo, concurrent tree", true),
    tree("single", "Dynamo, single-threaded tree", false),
  ];
}

function run(command: string, words: readonly string[], cwd: string): void {
  mkdirSync(cache, { recursive: true });
  execFileSync(command, words, { cwd, stdio: ["ignore", "ignore", "pipe"], encoding: "utf8" });
}

function pinned(path: string, pattern: RegExp): string {
  const found = pattern.exec(readFileSync(path, "utf8"))?.[1];
  if (found === undefined) throw new Error(`${path} pins no version`);
  return found;
}

/** The last line that a failed build printed, or that there is no such command. */
function reasonOf(error: unknown): string {
  const { code, path, stderr, message } = error as NodeJS.ErrnoException & { stderr?: string };
  if (code === "ENOENT") return `no ${path} on this machine`;
  return stderr?.trim().split("\n").at(-1) ?? message;
}
