/** The gateway as a process: its config file, and SIGTERM. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, it } from "vitest";
import { qwen3Directory } from "../../examples/engine/qwen3.js";
import { runExample } from "./child.js";
import { closeAll, complete, until, upstream } from "./gateway-support.js";

const folder = mkdtempSync(join(tmpdir(), "kvblock-gateway-"));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(closeAll);

function configFile(config: object): string {
  const path = join(folder, "gateway.json");
  writeFileSync(path, JSON.stringify(config));
  return path;
}

it("serves by its config, finishes what is under way on SIGTERM, and exits with 0", async () => {
  let finish = (): void => {};
  const pod = await upstream((_, response) => {
    response.write("begun, ");
    finish = () => response.end("done");
  });
  const config = configFile({
    metricsPort: null,
    models: { base: { tokenizer: qwen3Directory() } },
    pods: [{ url: pod.url, events: "tcp://127.0.0.1:1" }],
  });
  const child = runExample("mini-gateway/main.ts", "--config", config, "--port", "0");
  await until(() => /gateway up/.test(child.output), "the gateway to be up");
  const url = /"url": "([^"]+)"/.exec(child.output)![1]!;
  const response = await complete(url, { model: "base", prompt: "Hello, world", max_tokens: 1 });
  child.process.kill("SIGTERM");
  await new Promise((resolve) => setTimeout(resolve, 50));
  finish();
  expect(await response.text()).toBe("begun, done");
  const { code, output } = await child.ended;
  expect(code).toBe(0);
  expect(output).toContain('Got pod scores {"x-request-id": ');
}, 60_000);

it("says what is wrong with a config and exits with 1", async () => {
  const config = configFile({ models: { base: {} }, pods: [{ url: "http://127.0.0.1:1", evnts: "x" }] });
  const { code, output } = await runExample("mini-gateway/main.ts", "--config", config).ended;
  expect(output.trim()).toBe("pods[0].evnts is not a field (did you mean events?)");
  expect(code).toBe(1);
});

it("checks a config without serving, and tells a port that is no number", async () => {
  const config = configFile({
    models: { base: {} },
    pods: [{ url: "http://10.0.0.1", events: "tcp://10.0.0.1:5557" }],
  });
  expect(await runExample("mini-gateway/main.ts", "--config", config, "--check").ended).toEqual({
    code: 0,
    output: `${config}: ok\n`,
  });
  const { code, output } = await runExample("mini-gateway/main.ts", "--config", config, "--port", "http")
    .ended;
  expect(output.trim()).toBe("--port expected an integer from 0 to 65535, got http; see --help");
  expect(code).toBe(1);
}, 60_000);
