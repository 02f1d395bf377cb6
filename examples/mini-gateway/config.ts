/**
 * The gateway's config: every field with its check and its default, and what the fields must be together.
 * README.md says what each is for.
 * @module
 */
import type { HashOptions } from "kvblock";
import { HASH_ALGORITHMS } from "kvblock/hash";
import {
  anyText,
  type Check,
  ConfigError,
  flag,
  httpUrl,
  integer,
  list,
  object,
  oneOf,
  oneOrMore,
  optional,
  orNull,
  record,
  text,
  zmqBindEndpoint,
  zmqEndpoint,
} from "./checks.js";

const milliseconds = integer(1, 24 * 3_600_000);
const port = integer(0, 65_535);

/** As kvblock's own option; see there for how blocks get their keys. */
const hashModes = {
  auto: object({ mode: oneOf("auto"), seeds: optional(list(anyText), undefined) }),
  tokens: object({ mode: oneOf("tokens") }),
  exact: object({
    mode: oneOf("exact"),
    algorithm: oneOf(...HASH_ALGORITHMS),
    seed: optional(anyText, undefined),
  }),
};

const hash: Check<HashOptions> = (value, at) => {
  const mode = oneOf("auto", "tokens", "exact")((value as { mode?: unknown } | null)?.mode, `${at}.mode`);
  const options = hashModes[mode](value, at);
  if (options.mode === "exact" && options.algorithm !== "sglang" && options.seed === undefined)
    throw new ConfigError(`${at}.seed expected the engines' PYTHONHASHSEED, got nothing`);
  return options;
};

/** Files here, or an engine to ask. */
const tokenizer: Check<string> = (value, at) =>
  typeof value === "string" && /^https?:/.test(value) ? httpUrl(value, at) : text(value, at);

const model = object({
  tokenizer: optional(oneOrMore(tokenizer), []),
  aliases: optional(list(text), []),
  loras: optional(list(text), []),
  blockSize: optional(integer(1, 2 ** 20), undefined),
  drafting: optional(flag, false),
  hash: optional(hash, undefined),
});

const pod = object({
  url: httpUrl,
  name: optional(text, undefined),
  model: optional(text, undefined),
  events: optional(zmqEndpoint, undefined),
  replay: optional(zmqEndpoint, undefined),
});

const gateway = object({
  host: optional(text, "127.0.0.1"),
  port: optional(port, 8000),
  metricsHost: optional(text, "127.0.0.1"),
  metricsPort: optional(orNull(port), 9090),
  models: record(model),
  pods: list(pod, 1),
  bindEvents: optional(zmqBindEndpoint, undefined),
  tokenizerWorkers: optional(integer(0, 64), 2),
  tokenizerTimeoutMs: optional(milliseconds, 20),
  scoring: optional(flag, true),
  scoreTimeoutMs: optional(milliseconds, 50),
  overloadMargin: optional(integer(0), 8),
  connectTimeoutMs: optional(milliseconds, 2000),
  probeIntervalMs: optional(milliseconds, 5000),
  ejectMs: optional(milliseconds, 10_000),
  bodyLimitBytes: optional(integer(1), 16 * 2 ** 20),
  beatIntervalMs: optional(milliseconds, 60_000),
  drainTimeoutMs: optional(milliseconds, 30_000),
});

export type ModelConfig = ReturnType<typeof model>;

export interface PodConfig {
  readonly url: string;
  /** As the events' topic says it. */
  readonly name: string;
  /** The base model that it serves. */
  readonly model: string;
  readonly events: string | undefined;
  /** Where it can be asked for events that were missed. */
  readonly replay: string | undefined;
}

export type GatewayConfig = Omit<ReturnType<typeof gateway>, "pods"> & {
  readonly pods: readonly PodConfig[];
};

/**
 * Check a config and fill in what it leaves out.
 *
 * @throws ConfigError for the first thing that is wrong
 */
export function checkConfig(value: unknown): GatewayConfig {
  const config = gateway(value, "");
  const models = Object.keys(config.models);
  if (models.length === 0) throw new ConfigError("models expected at least one model");
  checkDistinct(
    "models",
    Object.entries(config.models).flatMap(([name, { aliases, loras }]) => [name, ...aliases, ...loras]),
  );
  const pods = config.pods.map(({ url, name, model, events, replay }, i) => {
    if (model === undefined && models.length > 1)
      throw new ConfigError(`pods[${i}].model expected one of ${models.join(", ")}, got nothing`);
    if (model !== undefined && !models.includes(model))
      throw new ConfigError(`pods[${i}].model expected one of ${models.join(", ")}, got ${model}`);
    if (events === undefined && config.bindEvents === undefined)
      throw new ConfigError(
        `pods[${i}].events expected the endpoint of its events, or bindEvents for all pods to connect to`,
      );
    if (replay !== undefined && events === undefined)
      throw new ConfigError(
        `pods[${i}].replay expected pods[${i}].events beside it: of what connects to bindEvents it is not known who it is`,
      );
    return { url, name: name ?? new URL(url).host, model: model ?? models[0]!, events, replay };
  });
  checkDistinct(
    "pods",
    pods.map(({ name }) => name),
  );
  return { ...config, pods };
}

function checkDistinct(where: string, names: readonly string[]): void {
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) throw new ConfigError(`${where} expected different names, got ${twice} twice`);
}
