/** The demo: what it shows is measured, and what it must show is so. */
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { MISTAKES, type MistakeName } from "../../examples/demo/breaks.js";
import { type DemoOptions, runDemo } from "../../examples/demo/demo.js";
import { completionRequest } from "../../examples/demo/prompt.js";
import { qwen3Directory } from "../../examples/engine/qwen3.js";
import { type EngineTokenizer, loadTokenizer } from "../../examples/engine/tokenizer.js";
import { runExample } from "./child.js";
import { closeAll, serve } from "./gateway-support.js";

let tokenizer: EngineTokenizer;
beforeAll(async () => {
  tokenizer = await loadTokenizer(qwen3Directory());
});
afterEach(closeAll);

const MODEL = "Qwen/Qwen3-0.6B";

async function tell(options: Partial<DemoOptions> = {}): Promise<{ holds: boolean; text: string }> {
  const lines: string[] = [];
  const holds = await runDemo(
    { model: MODEL, pods: 2, port: 0, metricsPort: 0, hash: "auto", tokenizer, ...options },
    (line) => lines.push(line),
  );
  return { holds, text: lines.join("\n") };
}

/** The gateway's lines about scores, as JSON. */
function scores(text: string): { model: string; scores: Record<string, number> | null }[] {
  return Array.from(text.matchAll(/Got pod scores (\{.*\})/g), ([, json]) => JSON.parse(json!));
}

describe("npm run demo", () => {
  it("asks the quickstart's request twice: null, then 2 for the pod that served it (llm-d-infra#185: null for ever)", async () => {
    const { holds, text } = await tell();
    expect(holds).toBe(true);
    const [first, second, ...more] = scores(text);
    expect(more).toEqual([]);
    expect(first!.scores).toBeNull();
    const pod = /served by {2}(\S+)/.exec(text)![1]!;
    expect(second!.scores).toEqual({ [pod]: 2 });
    expect(text).toContain('"prompt_tokens": 192, "total_tokens": 242, "completion_tokens": 50');
    expect(text).toContain('"prompt_tokens_details": {"cached_tokens": 128}');
    expect(text).toMatch(/metrics beat admissions=3 evictions=0 lookups=2 hits=2 /);
  });

  it("works with engines whose hashes nobody can reproduce, another model's name and more pods", async () => {
    const { holds, text } = await tell({ hash: "tokens", model: "my/model", pods: 3 });
    expect(holds).toBe(true);
    expect(scores(text).map(({ model }) => model)).toEqual(["my/model", "my/model"]);
    expect(text.match(/publishes as/g)).toHaveLength(3);
  });

  it("works with an algorithm that both sides are told", async () => {
    expect((await tell({ hash: "xxhash_cbor" })).holds).toBe(true);
  });

  const diagnostics: Record<MistakeName, string> = {
    seed: "hash-not-reproduced",
    "block-size": "block-size-mismatch",
    salt: "salt-not-passed",
    "pod-name": "pods-unknown",
  };
  it.each(MISTAKES)("shows with --break %s the diagnostic that the mistake raises", async (name) => {
    const { holds, text } = await tell({ break: name });
    expect(holds).toBe(true);
    expect(text).toMatch(new RegExp(`^(error|warning) \\[${diagnostics[name]}\\]\\n  .+\\n  Fix: .+$`, "m"));
    // A wrong block size is seen through; the others end in zero hits, which the engines themselves do not have.
    expect(scores(text)[1]!.scores === null).toBe(name !== "block-size");
  });

  it("serves on when it is told to, and logs what it serves", async () => {
    let answer: unknown;
    const { text } = await tell({
      async keep({ gateway }) {
        const body = JSON.stringify(completionRequest(MODEL));
        answer = await (await fetch(`${gateway.url}/v1/completions`, { method: "POST", body })).json();
      },
    });
    expect(answer).toMatchObject({ usage: { prompt_tokens_details: { cached_tokens: 128 } } });
    expect(scores(text)).toHaveLength(3);
  });

  it("ends by itself with nothing left open, as a process", async () => {
    const { code, output } = await runExample("demo/main.ts", "--port", "0").ended;
    expect(output).toContain("metrics beat admissions=3");
    expect(code).toBe(0);
  });

  it("names a busy port and the option that changes it", async () => {
    const { port } = await serve(() => {});
    const { code, output } = await runExample("demo/main.ts", "--port", String(port)).ended;
    expect(output).toContain(`port ${port} of 127.0.0.1 is busy; choose another: npm run demo -- --port`);
    expect(code).toBe(1);
  });
});
