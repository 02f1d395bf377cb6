/** The README's first example runs as printed, and prints what it says. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import * as kvblock from "../src/index.js";
import * as testing from "../src/testing.js";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const modules: Record<string, object> = { kvblock, "kvblock/testing": testing };

function block(language: string): string {
  const found = new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(readme);
  return found![1]!;
}

describe("the README", () => {
  it("has a first example that runs and prints what stands below it", async () => {
    const code = block("js").replaceAll(
      /^import (\{.*\}) from "(.*)";$/gm,
      (_, names: string, from: string) => `const ${names} = modules[${JSON.stringify(from)}];`,
    );
    expect(code).not.toMatch(/^import/m);
    const lines: string[] = [];
    const console = { log: (...values: unknown[]) => lines.push(values.join(" ")) };
    const AsyncFunction = (async () => {}).constructor as new (
      ...args: string[]
    ) => (...args: unknown[]) => Promise<void>;
    await new AsyncFunction("modules", "console", code)(modules, console);
    expect(`${lines.join("\n")}\n`).toBe(block("text"));
  });

  it("has both commands on its first screen", () => {
    const screen = readme.split("\n").slice(0, 40).join("\n");
    expect(screen).toContain("npm ci && npm run demo");
    expect(screen).toContain("npm ci && npm test");
  });

  it("names every diagnostic in its table", () => {
    const types = readFileSync(new URL("../src/types.ts", import.meta.url), "utf8");
    const codes = /export type DiagnosticCode =([^;]*);/.exec(types)![1]!.match(/"[a-z-]+"/g)!;
    const missing = codes.map((code) => code.slice(1, -1)).filter((code) => !readme.includes(`\`${code}\``));
    expect(missing).toEqual([]);
  });

  it("gives a reason for every dependency", () => {
    const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
    const names = ["dependencies", "optionalDependencies", "peerDependencies", "devDependencies"].flatMap(
      (kind) => Object.keys(manifest[kind]),
    );
    expect(names.filter((name) => !readme.includes(`\`${name}\``))).toEqual([]);
  });
});
