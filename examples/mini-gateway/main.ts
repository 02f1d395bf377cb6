/**
 * The gateway as a process: `tsx --tsconfig examples/tsconfig.json examples/mini-gateway/main.ts --help`.
 * @module
 */
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { ConfigError } from "./checks.js";
import { checkConfig } from "./config.js";
import { startGateway } from "./gateway.js";
import { messageOf } from "./pods.js";

const HELP = `A router for vLLM pods that sends each request where most of its prompt is cached.

  --config FILE    JSON; README.md has the fields, config.example.json an example
  --port PORT      instead of the config's
  --check          check the config and end

SIGTERM drains: no new requests, those under way are finished.
`;

try {
  const { values } = parseArgs({
    options: {
      help: { type: "boolean", short: "h" },
      config: { type: "string" },
      port: { type: "string" },
      check: { type: "boolean" },
    },
  });
  if (values.help) process.stdout.write(HELP);
  else await run(values);
} catch (error) {
  console.error(error instanceof Error ? messageOf(error) : error);
  process.exitCode = 1;
}

async function run(values: { config?: string; port?: string; check?: boolean }): Promise<void> {
  if (values.config === undefined) throw new ConfigError("--config expected a file; see --help");
  const json: unknown = JSON.parse(await readFile(values.config, "utf8"));
  const config = checkConfig(
    values.port === undefined ? json : { ...(json as object), port: Number(values.port) },
  );
  if (values.check) {
    console.log(`${values.config}: ok`);
    return;
  }
  const gateway = await startGateway(config);
  // The second signal ends the process at once: its handler is gone by then.
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void gateway.close());
}
