/**
 * The gateway as a process: `tsx --tsconfig examples/tsconfig.json examples/mini-gateway/main.ts --help`.
 * @module
 */
import { parseArgs } from "node:util";
import { CommandLineError, integer, runCommand } from "./command-line.js";
import { checkConfig } from "./config.js";
import { startGateway } from "./gateway.js";
import { readJsonFile } from "./json-file.js";

const HELP = `A router for vLLM pods that sends each request where most of its prompt is cached.

  --config FILE    JSON; README.md has the fields, config.example.json an example
  --port PORT      instead of the config's
  --check          check the config and end

SIGTERM drains: no new requests, those under way are finished.
`;

await runCommand(async () => {
  const { values } = parseArgs({
    options: {
      help: { type: "boolean", short: "h" },
      config: { type: "string" },
      port: { type: "string" },
      check: { type: "boolean" },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  if (values.config === undefined) throw new CommandLineError("--config expected a file; see --help");
  const port = values.port === undefined ? {} : { port: integer("port", values.port, 0, 65_535) };
  const json = await readJsonFile(values.config);
  // What is no object is left to the check to refuse.
  const isObject = typeof json === "object" && json !== null && !Array.isArray(json);
  const config = checkConfig(isObject ? { ...json, ...port } : json);
  if (values.check) {
    console.log(`${values.config}: ok`);
    return;
  }
  const gateway = await startGateway(config);
  // The second signal ends the process at once: its handler is gone by then.
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void gateway.close());
});
