/**
 * What the demo runs on: engines and a gateway that listens to their events, in this process, over real sockets.
 * @module
 */
import { createServer } from "node:net";
import type { HashAlgorithm, HashOptions } from "kvblock";
import { type Engine, startEngine } from "../engine/engine.js";
import { qwen3Directory } from "../engine/qwen3.js";
import { type EngineTokenizer, loadTokenizer } from "../engine/tokenizer.js";
import { checkConfig } from "../mini-gateway/config.js";
import { type Gateway, startGateway } from "../mini-gateway/gateway.js";
import { closed, listen } from "../mini-gateway/http.js";
import type { Mistake } from "./breaks.js";
import { type Sidecar, startSaltingSidecar } from "./sidecar.js";

/** The quickstart's. */
export const BLOCK_SIZE = 64;

/** `PYTHONHASHSEED` of the quickstart's engines. */
export const SEED = "42";

export type EngineHash = Exclude<HashAlgorithm, "sglang">;

export interface FleetOptions {
  readonly model: string;
  readonly pods: number;
  readonly port: number;
  readonly metricsPort: number;
  /** How the engines hash; `seed` absent: by a root that nobody knows. */
  readonly algorithm: EngineHash;
  readonly seed: string | undefined;
  /** What the gateway is told of it. */
  readonly hash: HashOptions;
  readonly mistake: Mistake | null;
  /** Qwen3's, if it is loaded already. */
  readonly tokenizer: EngineTokenizer | undefined;
  /** Given each of the gateway's log lines. */
  readonly write: (line: string) => void;
}

export interface Fleet extends AsyncDisposable {
  readonly engines: readonly Engine[];
  readonly gateway: Gateway;
  /** Where the gateway hears events. */
  readonly eventsEndpoint: string;
}

/** Start everything; resolves when the engines' events are connected. */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const { model, pods, mistake } = options;
  const started: { close(): Promise<void> }[] = [];
  const stop = async (): Promise<void> => {
    for (const part of started.splice(0).reverse()) await part.close();
  };
  try {
    const tokenizer = options.tokenizer ?? (await loadTokenizer(qwen3Directory()));
    // The engines connect to the gateway's one socket, as they do to the quickstart's scheduler, so its port is
    // chosen before there is a gateway.
    const eventsEndpoint = `tcp://127.0.0.1:${await freePort()}`;
    const engines: Engine[] = [];
    for (let i = 0; i < pods; i++) {
      const engine = await startEngine({
        model,
        tokenizer,
        blockSize: BLOCK_SIZE,
        hashAlgorithm: options.algorithm,
        seed: options.seed,
        eventsEndpoint,
        replayPort: null,
        topicPod: mistake?.topicPod?.(i),
      });
      started.push(engine);
      engines.push(engine);
    }
    const urls: string[] = [];
    for (const engine of engines) {
      if (mistake?.hiddenSalt === undefined) urls.push(engine.url);
      else {
        const sidecar: Sidecar = await startSaltingSidecar(engine.url, mistake.hiddenSalt);
        started.push(sidecar);
        urls.push(sidecar.url);
      }
    }
    const config = checkConfig({
      port: options.port,
      metricsPort: options.metricsPort,
      models: { [model]: { hash: mistake?.hash ?? options.hash, blockSize: mistake?.blockSize } },
      // A pod is named by its address, as the topics name it too, unless that is the mistake.
      pods: engines.map((engine, i) => ({ url: urls[i], name: new URL(engine.url).host })),
      bindEvents: eventsEndpoint,
    });
    const gateway = await startGateway(config, { write: options.write, tokenizers: { [model]: tokenizer } });
    started.push(gateway);
    await until(() => gateway.eventConnections === pods, "the engines' events to be connected");
    // Connected is not yet subscribed: a PUB drops what it sends before.
    await new Promise((resolve) => setTimeout(resolve, 100));
    return { engines, gateway, eventsEndpoint, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Poll until a condition holds. @throws after ten seconds, naming what was waited for */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited ten seconds for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  const { port } = new URL(await listen(server, 0, "127.0.0.1"));
  await closed(server);
  return Number(port);
}
