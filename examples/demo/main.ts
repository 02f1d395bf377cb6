/**
 * `npm run demo`.
 * @module
 */
import { once } from "node:events";
import { parseArgs } from "node:util";
import { HASH_ALGORITHMS } from "kvblock/hash";
import { integer, oneOf, runCommand } from "../mini-gateway/command-line.js";
import { MISTAKES } from "./breaks.js";
import { runDemo } from "./demo.js";
import type { EngineHash, Fleet } from "./fleet.js";
import { completionRequest } from "./prompt.js";

const ENGINE_HASHES = HASH_ALGORITHMS.filter((name): name is EngineHash => name !== "sglang");

const HELP = `The llm-d quickstart, on two fake vLLM engines and examples/mini-gateway.

  npm run demo -- [options]

  --port PORT           the gateway's (8000)
  --metrics-port PORT   Prometheus (any free one)
  --model NAME          served model's name (Qwen/Qwen3-0.6B; the tokenizer is always Qwen3's)
  --pods N              engines (2)
  --hash NAME           auto: the gateway finds out how the engines hash (default)
                        tokens: the engines hash by a random seed, as vLLM did by default up to v0.27
                        ${ENGINE_HASHES.join(", ")}:
                        engines and gateway are both told
  --break MISTAKE       ${MISTAKES.join(", ")}: make it, and see the diagnostic
  --keep                serve on until Ctrl-C, with commands to try
`;

await runCommand(main);

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      help: { type: "boolean", short: "h" },
      port: { type: "string", default: "8000" },
      "metrics-port": { type: "string", default: "0" },
      model: { type: "string", default: "Qwen/Qwen3-0.6B" },
      pods: { type: "string", default: "2" },
      hash: { type: "string", default: "auto" },
      break: { type: "string" },
      keep: { type: "boolean" },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return true;
  }
  const port = integer("port", values.port, 0, 65_535);
  try {
    return await runDemo(
      {
        model: values.model,
        pods: integer("pods", values.pods, 1, 64),
        port,
        metricsPort: integer("metrics-port", values["metrics-port"], 0, 65_535),
        hash: oneOf("hash", values.hash, ["auto", "tokens", ...ENGINE_HASHES]),
        break: values.break === undefined ? undefined : oneOf("break", values.break, MISTAKES),
        keep: values.keep ? (fleet) => serveOn(fleet, values.model) : undefined,
      },
      console.log,
    );
  } catch (error) {
    const busy = error instanceof Error && error.message.startsWith(`port ${port} `);
    throw busy ? new Error(`${error.message}; choose another: npm run demo -- --port ${port + 1}`) : error;
  }
}

async function serveOn({ gateway }: Fleet, model: string): Promise<void> {
  const completion = JSON.stringify(completionRequest(model));
  const messages = [{ role: "user", content: "Say it again, please." }];
  const chat = JSON.stringify({ model, messages, max_tokens: 50, stream: true });
  console.log(`
Serving until Ctrl-C. To try:

  curl -s ${gateway.url}/v1/completions -H 'content-type: application/json' -d '${completion}'

  curl -sN ${gateway.url}/v1/chat/completions -H 'content-type: application/json' -d '${chat}'

  curl -s ${gateway.metricsUrl}/metrics | grep -v '^#'

The gateway's log:`);
  await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
}
