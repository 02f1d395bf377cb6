/** Several processes, one subscription: the cluster example as it is run. */
import { expect, it } from "vitest";
import { runExample } from "./child.js";

it("lets every worker score the same, the one that came later included, and ends by itself", async () => {
  const { code, output } = await runExample("cluster/main.ts", "--workers", "2").ended;
  const scores = Array.from(output.matchAll(/worker (\d) scores (.*)/g), ([, worker, json]) => [
    worker,
    json,
  ]);
  // 201 and 361 tokens in blocks of 16, the last token computed again.
  expect(scores).toEqual([
    ["1", '{"pod-a":12}'],
    ["2", '{"pod-a":12}'],
    ["1", '{"pod-b":22}'],
    ["2", '{"pod-b":22}'],
    ["2", '{"pod-a":12}'],
    ["3", '{"pod-a":12}'],
    ["2", '{"pod-b":22}'],
    ["3", '{"pod-b":22}'],
  ]);
  expect(code).toBe(0);
}, 60_000);
