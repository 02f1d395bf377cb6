/** The examples' commands: a mistake is one line that names it, and the process ends with 1. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { checkConfig } from "../../examples/mini-gateway/config.js";
import { startGateway } from "../../examples/mini-gateway/gateway.js";
import { findMistake } from "../../examples/mini-gateway/json-file.js";
import { messageOf } from "../../examples/mini-gateway/log.js";
import { runExample } from "./child.js";
import { closeAll, serve } from "./gateway-support.js";

const folder = mkdtempSync(join(tmpdir(), "kvblock-commands-"));
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await closeAll();
});

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const CONFIG = {
  models: { base: {} },
  metricsPort: null,
  port: 0,
  pods: [{ url: "http://127.0.0.1:1", events: "tcp://127.0.0.1:1" }],
};
const good = file("good.json", JSON.stringify(CONFIG));

describe("a mistake at the command line", () => {
  it.each<[string, readonly string[], string]>([
    ["mini-gateway/main.ts", ["--confg", good], "Unknown option '--confg'; see --help"],
    ["engine/main.ts", ["--blocksize", "64"], "Unknown option '--blocksize'; see --help"],
    ["cluster/main.ts", ["--worker", "2"], "Unknown option '--worker'; see --help"],
    ["demo/main.ts", ["--brake", "seed"], "Unknown option '--brake'; see --help"],
    ["mini-gateway/main.ts", [good], `Unexpected argument '${good}'; see --help`],
    ["mini-gateway/main.ts", ["--config"], "Option '--config <value>' argument missing; see --help"],
    [
      "mini-gateway/main.ts",
      ["--config", good, "--port", "abc"],
      "--port expected an integer from 0 to 65535, got abc; see --help",
    ],
    [
      "engine/main.ts",
      ["--port", "99999"],
      "--port expected an integer from 0 to 65535, got 99999; see --help",
    ],
    [
      "engine/main.ts",
      ["--buffer-steps", "0"],
      "--buffer-steps expected an integer from 1 to 2147483648, got 0; see --help",
    ],
    ["engine/main.ts", ["--era", "M9"], "--era expected one of A1, "],
    ["engine/main.ts", ["--tokenizer", "/nowhere"], "ENOENT: no such file or directory, stat '/nowhere'"],
    [
      "cluster/main.ts",
      ["--workers", "abc"],
      "--workers expected an integer from 1 to 64, got abc; see --help",
    ],
    [
      "demo/main.ts",
      ["--metrics-port", "abc"],
      "--metrics-port expected an integer from 0 to 65535, got abc; see --help",
    ],
  ])("%s %j", async (script, args, message) => {
    const { code, output } = await runExample(script, ...args).ended;
    expect(output.startsWith(message) ? message : output).toBe(message);
    expect(output.trim().split("\n")).toHaveLength(1);
    expect(code).toBe(1);
  });
});

describe("a config file", () => {
  it("that is not JSON is named, with the place", async () => {
    const path = file("broken.json", '{\n  "models": { "base": {} },\n  "pods": [],\n}\n');
    const { code, output } = await runExample("mini-gateway/main.ts", "--config", path).ended;
    expect([code, output]).toEqual([1, `${path}:4:1: not JSON: expected a name in double quotes, got }\n`]);
  });

  it("that is not there, or a directory, is named once", async () => {
    const none = await runExample("mini-gateway/main.ts", "--config", "/nowhere.json").ended;
    expect(none).toEqual({ code: 1, output: "cannot read /nowhere.json: no such file or directory\n" });
    const { output } = await runExample("mini-gateway/main.ts", "--config", folder).ended;
    expect(output).toBe(`cannot read ${folder}: illegal operation on a directory\n`);
  });

  it("with a tokenizer that is not there says which model's, and that once", async () => {
    const config = checkConfig({ ...CONFIG, models: { base: { tokenizer: "/nowhere" } } });
    await expect(startGateway(config, { write: () => {} })).rejects.toThrow(
      /^models\["base"\]\.tokenizer: no tokenizer at \/nowhere: no such file or directory$/,
    );
  });

  it("with an endpoint that cannot be opened names its field, and the reason once", async () => {
    const { port } = await serve(() => {});
    const busy = checkConfig({ ...CONFIG, bindEvents: `tcp://127.0.0.1:${port}` });
    await expect(startGateway(busy, { write: () => {} })).rejects.toThrow(
      new RegExp(`^bindEvents: cannot bind tcp://127.0.0.1:${port}: Address already in use$`, "i"),
    );
    const pods = [...CONFIG.pods, { url: "http://127.0.0.1:2", events: "tcp://127.0.0.1 :5557" }];
    await expect(startGateway(checkConfig({ ...CONFIG, pods }), { write: () => {} })).rejects.toThrow(
      /^pods\[1\]\.events: cannot connect to tcp:\/\/127\.0\.0\.1 :5557: Invalid argument$/,
    );
  });
});

describe("findMistake", () => {
  it.each([
    ["", "1:1: not JSON: expected a value, got the end of the file"],
    ['{"a": 1', "1:8: not JSON: expected , or }, got the end of the file"],
    ['{"a": x}', "1:7: not JSON: expected a value, got x"],
    ['{"a": "unterminated}', '1:7: not JSON: expected a value, got "unterminated'],
    ["{'a': 1}", "1:2: not JSON: expected a name in double quotes, got 'a'"],
    ['{"a" 1}', "1:6: not JSON: expected :, got 1"],
    ["[1,\r\n 2 3]", "2:4: not JSON: expected , or ], got 3"],
    ["[1,]", "1:4: not JSON: expected a value, got ]"],
    ["{} // a comment", "1:4: not JSON: expected the end of the file, got //"],
    ["[01]", "1:3: not JSON: expected , or ], got 1"],
  ])("of %j", (text, message) => {
    expect(() => JSON.parse(text)).toThrow();
    expect(findMistake(text)).toBe(message);
  });

  it("finds one where JSON.parse does, and only there", () => {
    const isJson = (text: string): boolean => {
      try {
        JSON.parse(text);
        return true;
      } catch {
        return false;
      }
    };
    const near = fc
      .tuple(
        fc.json({ maxDepth: 3 }),
        fc.nat(),
        fc.constantFrom("", ",", "}", "]", '"', ":", "1", "\n", "\u0000", "e", "\\"),
      )
      .map(
        ([json, at, insert]) =>
          json.slice(0, at % (json.length + 1)) + insert + json.slice((at % (json.length + 1)) + 1),
      );
    for (const texts of [fc.json(), near])
      fc.assert(
        fc.property(texts, (text) => (findMistake(text) === undefined) === isJson(text)),
        {
          seed: 1,
          numRuns: 2000,
        },
      );
  });
});

it("an error's cause is told where it adds something", () => {
  const cause = Object.assign(new Error("ENOENT: no such file or directory, stat '/x'"), { code: "ENOENT" });
  expect(messageOf(new Error("nothing at /x: no such file or directory", { cause }))).toBe(
    "nothing at /x: no such file or directory",
  );
  expect(messageOf(new Error("cannot start", { cause }))).toBe(
    "cannot start: ENOENT: no such file or directory, stat '/x'",
  );
  expect(messageOf(new TypeError("fetch failed", { cause: new Error("connect ECONNREFUSED") }))).toBe(
    "fetch failed: connect ECONNREFUSED",
  );
  expect(messageOf("text")).toBe("text");
});
