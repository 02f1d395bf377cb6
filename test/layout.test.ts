/**
 * The room rules of docs/design.md, read off the sources.
 *
 * A room can be understood, replaced and published alone because it knows no other room; an outside package can be
 * replaced because one file names it; a recording drives the same code as a socket because no room reads a clock, the
 * environment or the network. Such rules are lost one harmless import at a time, so a test holds them.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { entry, rooms as publicRooms } from "../tsup.config.js";

const root = join(import.meta.dirname, "..");
/** Rooms without a subpath of their own: used by the paths that join rooms, not by users. */
const internalRooms = ["publisher", "threads"];
const rooms = [...publicRooms, ...internalRooms];
/** What a room may not reach for: it arrives as an option instead. */
const worldly = ["process", "Date", "performance", "console", "setInterval", "setTimeout", "fetch"];
const networks = ["node:net", "node:tls", "node:http", "node:https", "node:http2", "node:dgram", "node:dns"];
/** The files that may, and what: a socket is the world; the rest is the default of an option. */
const exceptions: Readonly<Record<string, readonly string[]>> = {
  "src/events/subscriber.ts": worldly, // stamps each frame with the time of its arrival
  "src/events/zeromq-line.ts": ["setTimeout"], // reconnects a socket
  "src/events/tcp-line.ts": ["setTimeout"], // the same
  "src/events/zmtp/connection.ts": ["node:net", "setTimeout", "setInterval"], // a connection, and its heartbeat
  "src/events/replay-turns.ts": ["setTimeout"], // spreads what routers ask of one engine
  "src/threads/thread.ts": ["setTimeout"], // ends a thread that is late
  "src/tokenize/remote-call.ts": ["fetch"], // asks an engine
  "src/tokenize/chat-renderer.ts": ["Date"], // a chat template may print today's date
};
/** Node's own modules that are a part of the design, and so named in one file too; `node:fs` and the like are not. */
const singleBuiltins = ["node:crypto", "node:diagnostics_channel"];
const maxLines = 300;

interface SourceFile {
  /** From the repository's root, with `/`. */
  readonly path: string;
  /** The room that it is in; undefined for the files between the rooms. */
  readonly room: string | undefined;
  readonly text: string;
  /** Specifiers of all imports and re-exports: static, dynamic, type-only. */
  readonly imports: readonly string[];
}

function read(path: string): SourceFile {
  const text = readFileSync(join(root, path), "utf8");
  const folder = path.split("/")[1] ?? "";
  return {
    path,
    room: path.startsWith("src/") && !folder.endsWith(".ts") ? folder : undefined,
    text,
    imports: [...new Set(ts.preProcessFile(text, true, true).importedFiles.map((file) => file.fileName))],
  };
}

function filesUnder(folder: string): SourceFile[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => read(join(folder, name).replaceAll("\\", "/")))
    .sort((a, b) => a.path.localeCompare(b.path));
}

/** A relative specifier as a path from the root, `.ts` again; undefined for a package. */
function target(file: SourceFile, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  return relative(root, join(root, dirname(file.path), specifier))
    .replaceAll("\\", "/")
    .replace(/\.js$/, ".ts");
}

/** Files of ours that it loads: type-only imports are gone by then. */
function importedAtRunTime(file: SourceFile): string[] {
  const { statements } = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.Latest, true);
  return statements.flatMap((statement) => {
    if (!ts.isImportDeclaration(statement) && !ts.isExportDeclaration(statement)) return [];
    const isType = ts.isExportDeclaration(statement)
      ? statement.isTypeOnly
      : statement.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
    const specifier = statement.moduleSpecifier;
    if (isType || specifier === undefined || !ts.isStringLiteral(specifier)) return [];
    return target(file, specifier.text) ?? [];
  });
}

/** `@scope/name/sub` → `@scope/name`; `node:fs/promises` → `node:fs`. */
const packageName = (specifier: string): string =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");

/** Each use of a global from `names` in code: comments, strings and members of other things do not count. */
function globalsUsed(file: SourceFile, names: readonly string[]): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node) && names.includes(node.text) && isReference(node)) found.push(node.text);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file.path, file.text, ts.ScriptTarget.Latest, true));
  return found;
}

function isReference(node: ts.Identifier): boolean {
  const parent = node.parent;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node || isGlobalThis(parent);
  if (ts.isTypeReferenceNode(parent) || ts.isQualifiedName(parent)) return false;
  return !("name" in parent && parent.name === node);
}

const isGlobalThis = (access: ts.PropertyAccessExpression): boolean =>
  ts.isIdentifier(access.expression) && access.expression.text === "globalThis";

const sources = filesUnder("src");
const packageJson = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  exports: Record<string, string | { types: string; default: string }>;
  dependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
  peerDependencies: Record<string, string>;
};

/** Outside packages and Node's own modules → the files that name them. */
const namedIn = new Map<string, string[]>();
for (const file of sources)
  for (const name of new Set(file.imports.filter((s) => target(file, s) === undefined).map(packageName)))
    namedIn.set(name, [...(namedIn.get(name) ?? []), file.path]);

describe("layout", () => {
  it("has exactly the rooms that the design names", () => {
    expect([...new Set(sources.flatMap((file) => file.room ?? []))].sort()).toEqual([...rooms].sort());
  });

  it("lets a room import its own files and the vocabulary, nothing else of ours", () => {
    const strays = sources
      .filter((file) => file.room !== undefined)
      .flatMap((file) =>
        file.imports
          .map((specifier) => target(file, specifier))
          .filter((path) => path !== undefined && !path.startsWith(`src/${file.room}/`))
          .filter((path) => path !== "src/types.ts" && path !== "src/errors.ts")
          .map((path) => `${file.path} imports ${path}`),
      );
    expect(strays).toEqual([]);
  });

  it("keeps zeromq out of worker threads: one that ends with an open socket ends the process", () => {
    const reached = new Set(["src/pool-worker.ts"]);
    for (const path of reached) for (const next of importedAtRunTime(read(path))) reached.add(next);
    expect(reached.size).toBeGreaterThan(20);
    expect([...reached].filter((path) => read(path).imports.includes("zeromq"))).toEqual([]);
    expect([...reached].filter((path) => path.startsWith("src/events/"))).toEqual([]);
  });

  it("lets the vocabulary import nothing", () => {
    expect(read("src/types.ts").imports).toEqual([]);
    expect(read("src/errors.ts").imports).toEqual([]);
  });

  it("enters a room through its door", () => {
    const sideEntrances = sources
      .filter((file) => file.room === undefined)
      .flatMap((file) =>
        file.imports
          .map((specifier) => target(file, specifier))
          .filter((path) => path?.slice("src/".length).includes("/") && !path.endsWith("/index.ts"))
          .map((path) => `${file.path} imports ${path}`),
      );
    expect(sideEntrances).toEqual([]);
  });

  it("keeps code out of the doors: they re-export by name", () => {
    const doors = sources.filter((file) => file.path.endsWith("/index.ts"));
    expect(doors).toHaveLength(rooms.length + 1);
    const code = doors.flatMap((file) =>
      ts
        .createSourceFile(file.path, file.text, ts.ScriptTarget.Latest, true)
        .statements.filter((statement) => !isNamedReExport(statement))
        .map((statement) => `${file.path}: ${statement.getText().split("\n")[0]}`),
    );
    expect(code).toEqual([]);
  });

  it("names each outside package in exactly one file, and exactly the packages that it declares", () => {
    const shared = [...namedIn].filter(
      ([name, paths]) => paths.length > 1 && (!name.startsWith("node:") || singleBuiltins.includes(name)),
    );
    expect(Object.fromEntries(shared)).toEqual({});
    const declared = Object.keys({
      ...packageJson.dependencies,
      ...packageJson.optionalDependencies,
      ...packageJson.peerDependencies,
    });
    const outside = [...namedIn.keys()].filter((name) => !name.startsWith("node:"));
    expect(outside.sort()).toEqual(declared.sort());
  });

  it("keeps clock, environment, timers, console and network out of the rooms", () => {
    const quiet = sources.filter((file) => file.room !== undefined);
    const uses = quiet.flatMap((file) => [
      ...globalsUsed(file, worldly)
        .filter((name) => !exceptions[file.path]?.includes(name))
        .map((name) => `${file.path} uses ${name}`),
      ...file.imports
        .filter((name) => networks.includes(name) && !exceptions[file.path]?.includes(name))
        .map((name) => `${file.path} imports ${name}`),
    ]);
    expect(uses).toEqual([]);
  });

  it(`keeps every source file within ${maxLines} lines`, () => {
    const long = sources
      .map((file) => ({ path: file.path, lines: file.text.trimEnd().split("\n").length }))
      .filter(({ lines }) => lines > maxLines);
    expect(long).toEqual([]);
  });

  it("imports the package by its name in examples and benchmarks, as users do", () => {
    const shortcuts = ["examples", "benchmarks"]
      .filter((folder) => existsSync(join(root, folder)))
      .flatMap(filesUnder)
      .flatMap((file) =>
        file.imports
          .filter((specifier) => target(file, specifier)?.startsWith("src/"))
          .map((specifier) => `${file.path} imports ${specifier}`),
      );
    expect(shortcuts).toEqual([]);
  });

  it("builds exactly the subpaths that package.json exports", () => {
    const { "./package.json": manifest, ...subpaths } = packageJson.exports;
    expect(manifest).toBe("./package.json");
    const built = Object.keys(entry).map((name) => {
      const subpath = name === "index" ? "." : `./${name.replace(/\/index$/, "")}`;
      return [subpath, { types: `./dist/${name}.d.ts`, default: `./dist/${name}.js` }];
    });
    expect(subpaths).toEqual(Object.fromEntries(built));
  });
});

function isNamedReExport(statement: ts.Statement): boolean {
  if (!ts.isExportDeclaration(statement) || statement.exportClause === undefined) return false;
  if (!ts.isNamedExports(statement.exportClause)) return false;
  return statement.moduleSpecifier !== undefined || statement.exportClause.elements.length === 0;
}
