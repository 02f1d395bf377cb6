/**
 * The demo's story: the quickstart's request twice, what the gateway saw each time, and whether that is as it must be.
 * @module
 */
import { formatMetricsBeat, type HashOptions, type Indexer } from "kvblock";
import type { EngineTokenizer } from "../engine/tokenizer.js";
import { spacedJson } from "../mini-gateway/log.js";
import { type MistakeName, mistake } from "./breaks.js";
import { BLOCK_SIZE, type EngineHash, type Fleet, SEED, startFleet, until } from "./fleet.js";
import { completionRequest } from "./prompt.js";

export interface DemoOptions {
  readonly model: string;
  readonly pods: number;
  /** Of the gateway; 0 for any free one. */
  readonly port: number;
  readonly metricsPort: number;
  /** An algorithm: engines and gateway both know it. `auto`: the gateway finds it out. `tokens`: nobody can know it. */
  readonly hash: EngineHash | "auto" | "tokens";
  readonly break?: MistakeName | undefined;
  /** Qwen3's, if it is loaded already. */
  readonly tokenizer?: EngineTokenizer | undefined;
  /** Called when the story is told, before everything is closed; log lines are printed from then on. */
  readonly keep?: ((fleet: Fleet) => Promise<void>) | undefined;
}

interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
}

/** One request, as it looked from outside. */
interface Exchange {
  /** The gateway's line, and what it says. */
  readonly line: string;
  readonly scores: Readonly<Record<string, number>> | null;
  readonly usage: Usage;
  /** The pod that served it. */
  readonly pod: string;
}

type Check = [what: string, holds: boolean];

/** Returns whether everything was as it must be. */
export async function runDemo(options: DemoOptions, print: (line: string) => void): Promise<boolean> {
  const { model } = options;
  const algorithm = engineHash(options);
  const exact: HashOptions = { mode: "exact", algorithm, seed: SEED };
  const hash = options.hash === "auto" || options.hash === "tokens" ? { mode: options.hash } : exact;
  // Salted prompts alone never show what an engine's plain hashes are, which is what `auto` goes by.
  const wrong =
    options.break === undefined
      ? null
      : mistake(options.break, algorithm, hash.mode === "auto" ? exact : hash);
  print("kvblock demo: vLLM-like engines and a gateway. Real: sockets, tokenizer, block hashes, KV events.");
  if (wrong !== null) print(`--break ${options.break}: ${wrong.story}`);

  const lines: string[] = [];
  let isTold = false;
  await using fleet = await startFleet({
    model,
    pods: options.pods,
    port: options.port,
    metricsPort: options.metricsPort,
    algorithm,
    seed: options.hash === "tokens" ? undefined : SEED,
    hash,
    mistake: wrong,
    tokenizer: options.tokenizer,
    write: (line) => (isTold ? print(line) : lines.push(line)),
  });
  const { gateway } = fleet;
  describeFleet(options, wrong?.hash ?? hash, fleet, print);

  print("\nGET /v1/models");
  const models = (await (await fetch(`${gateway.url}/v1/models`)).json()) as { data: { id: string }[] };
  for (const card of models.data) print(`  ${spacedJson({ ...card, permission: undefined })}`);

  const ask = async (title: string): Promise<Exchange> => {
    print(`\nPOST /v1/completions, ${title}`);
    const exchange = await complete(gateway.url, model, lines);
    print(`  ${exchange.line}`);
    print(`  usage      ${spacedJson(exchange.usage)}`);
    print(`  served by  ${exchange.pod}`);
    return exchange;
  };
  const first = await ask("the quickstart's prompt: no pod has it yet");
  const { prompt_tokens: promptTokens, completion_tokens: completionTokens } = first.usage;
  // The last generated token is never computed on.
  const stored = Math.floor((promptTokens + completionTokens - 1) / BLOCK_SIZE);
  await until(() => residentBlocks(gateway.indexer) >= stored, "the engine's events to be applied");
  const second = await ask("the same again: its events have told who has it");

  const stats = gateway.indexer.stats();
  print(`
${formatMetricsBeat(stats)}`);
  const diagnostics = gateway.indexer.diagnose();
  for (const { code, severity, message, fix } of diagnostics)
    print(`
${severity} [${code}]
  ${message}
  Fix: ${fix}`);

  const checks: Check[] = [["first request: scores null", first.scores === null]];
  if (wrong === null || wrong.harmless) {
    const usable = Math.floor((promptTokens - 1) / BLOCK_SIZE);
    print(
      `
Why ${usable}, when the prompt's ${promptTokens} tokens fill ${Math.floor(promptTokens / BLOCK_SIZE)} blocks of ${BLOCK_SIZE}: an engine always computes the last token again.`,
    );
    checks.push(
      [`second request: ${first.pod} scores ${usable}`, second.scores?.[first.pod] === usable],
      [`second request: served by ${first.pod} again`, second.pod === first.pod],
      [`admissions ${stored}, hits ${usable}`, stats.admissions === stored && stats.hits === usable],
    );
  } else checks.push(["second request: scores null, though a pod has the blocks", second.scores === null]);
  if (wrong !== null)
    checks.push([
      `the diagnostic ${wrong.diagnostic} was raised`,
      diagnostics.some(({ code }) => code === wrong.diagnostic),
    ]);
  print("");
  for (const [what, holds] of checks) print(`${holds ? "ok    " : "FAILED"}  ${what}`);
  isTold = true;
  await options.keep?.(fleet);
  return checks.every(([, holds]) => holds);
}

/** What the engines run where the option does not say: vLLM's default; the broken seed speaks of another. */
function engineHash({ hash, break: broken }: DemoOptions): EngineHash {
  if (hash !== "auto" && hash !== "tokens") return hash;
  return broken === "seed" ? "sha256_cbor" : "sha256";
}

function describeFleet(
  options: DemoOptions,
  hash: HashOptions,
  { engines, gateway, eventsEndpoint }: Fleet,
  print: (line: string) => void,
): void {
  const seed = options.hash === "tokens" ? "a random seed" : `PYTHONHASHSEED=${SEED}`;
  print("");
  for (const engine of engines) print(`  engine   ${engine.url}  publishes as ${engine.pod}`);
  print(`  gateway  ${gateway.url}  metrics ${gateway.metricsUrl}/metrics  events ${eventsEndpoint}`);
  print(
    `  model    ${options.model}, blocks of ${BLOCK_SIZE} tokens, hashed by ${engineHash(options)} with ${seed}`,
  );
  print(`  hash     the gateway is told ${spacedJson(hash)}`);
}

/** Send the request, and read the gateway's own lines about it. */
async function complete(url: string, model: string, lines: readonly string[]): Promise<Exchange> {
  const from = lines.length;
  const response = await fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(completionRequest(model)),
  });
  if (!response.ok) throw new Error(`the gateway answered ${response.status}: ${await response.text()}`);
  const { usage } = (await response.json()) as { usage: Usage };
  const find = (message: string): string | undefined =>
    lines.slice(from).find((line) => line.includes(`  ${message} {`));
  // It is logged when the last byte has left, which the client may see first.
  await until(() => find("Served") !== undefined, "the gateway to log the request");
  const line = find("Got pod scores");
  if (line === undefined)
    throw new Error(`the gateway did not score the request:\n${lines.slice(from).join("\n")}`);
  const fields = <T>(text: string): T => JSON.parse(text.slice(text.indexOf("{"))) as T;
  return {
    line,
    scores: fields<Pick<Exchange, "scores">>(line).scores,
    usage,
    pod: fields<{ pod: string }>(find("Served")!).pod,
  };
}

function residentBlocks(indexer: Indexer): number {
  return indexer.pods().reduce((sum, { blocks }) => sum + (blocks["gpu"] ?? 0), 0);
}
