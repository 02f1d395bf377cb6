/**
 * Checks the package as its users get it: packed, installed into an empty project without optional packages and
 * install scripts, imported and required, type-checked and run on every Node line in use. It says which Nodes those were,
 * and fails if one was left out that npm would have given.
 *
 *     npm run check:package
 *
 * Reads `dist/`, which the npm script builds first (`precheck:package`). Needs the npm registry, nothing else.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkNodes, type Nodes, nodes, reportNodes } from "./nodes.js";
import { CheckFailed, run, step } from "./run.js";
import { checkBundles, checkFiles, lintTarball, pack } from "./tarball.js";
import { emptyProject, type Tool, typeScripts } from "./tools.js";

const root = join(import.meta.dirname, "..", "..");
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  name: string;
  exports: Record<string, string | object>;
  optionalDependencies: Record<string, string>;
  peerDependencies: Record<string, string>;
};
const subpaths = Object.entries(manifest.exports)
  .filter(([, target]) => typeof target === "object")
  .map(([subpath]) => manifest.name + subpath.slice(1));
const optional = Object.entries({ ...manifest.optionalDependencies, ...manifest.peerDependencies });

const work = mkdtempSync(join(tmpdir(), "kvblock-package-"));
const consumer = join(work, "consumer");
const toolbox = join(work, "tools");

/** Install into the consumer, with what a user on a locked-down machine would have. */
function install(...specs: readonly string[]): void {
  run(consumer, "npm", "install", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund", ...specs);
}

function onEach(tools: readonly Tool[], check: (tool: Tool) => void): string {
  for (const tool of tools) check(tool);
  return tools.map((tool) => tool.version).join(", ");
}

function checkPackage(): void {
  for (const folder of [consumer, toolbox]) {
    mkdirSync(folder);
    emptyProject(folder);
  }
  const tarball = pack(root, work);
  step("tarball", () => checkFiles(tarball));
  step("no other package is bundled", () => void checkBundles(root, tarball));
  step("publint --strict, attw", () => void lintTarball(root, tarball));

  let compilers: Tool[] = [];
  let found: Nodes = { here: [], missing: [] };
  step("compilers and Nodes to check with", () => {
    compilers = typeScripts(root, toolbox);
    found = nodes(toolbox);
    return [...compilers, ...found.here].map((tool) => tool.version).join(", ");
  });
  const runtimes = found.here;
  step("installed without optional packages and scripts", () => {
    install(tarball.path);
    const present = optional
      .map(([name]) => name)
      .filter((name) => existsSync(join(consumer, "node_modules", name)));
    if (present.length > 0) throw new CheckFailed(`${present.join(", ")} came along`);
    cpSync(join(import.meta.dirname, "consumer"), consumer, { recursive: true });
    return `${subpaths.length} subpaths`;
  });
  step("import and require of every subpath", () =>
    onEach(runtimes, (node) => run(consumer, node.path, "imports.mjs", ...subpaths)),
  );
  step("a consumer type-checks, declarations included", () => {
    install("@types/node@20");
    return onEach(compilers, (tsc) => run(consumer, process.execPath, tsc.path, "-p", "tsconfig.json"));
  });
  step("the consumer runs", () => onEach(runtimes, (node) => run(consumer, node.path, "built/use.js")));
  step("a pool of worker threads tokenizes and hashes, and keeps no process alive", () =>
    onEach(runtimes, (node) => run(consumer, node.path, "built/pool.js")),
  );
  step("subscribe without zeromq names the fix", () =>
    onEach(runtimes, (node) => run(consumer, node.path, "built/without-zeromq.js")),
  );

  step("with the optional packages, importing loads none of them", () => {
    install(...optional.map(([name, range]) => `${name}@${range}`));
    return onEach(runtimes, (node) => run(consumer, node.path, "isolation.mjs", ...subpaths));
  });
  step("subscribe with zeromq opens a socket", () =>
    onEach(runtimes, (node) => run(consumer, node.path, "built/with-zeromq.js")),
  );
  step("every subpath's declarations type-check", () =>
    onEach(compilers, (tsc) => run(consumer, process.execPath, tsc.path, "-p", "tsconfig.optional.json")),
  );
  for (const line of reportNodes(found)) console.log(line);
  checkNodes(found);
}

try {
  checkPackage();
} catch (error) {
  if (!(error instanceof CheckFailed)) throw error;
  console.error(`FAILED  ${error.message}`);
  process.exitCode = 1;
} finally {
  rmSync(work, { recursive: true, force: true });
}
