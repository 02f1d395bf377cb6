/**
 * What an indexer is created with: the options' types, their checks and their defaults.
 * @module
 */
import { DEFAULT_TIER_WEIGHTS } from "./block-index/index.js";
import { checkInteger, checkName, checkOneOf, checkOptions, rangeMistake, typeMistake } from "./errors.js";
import { HASH_ALGORITHMS } from "./hash/index.js";
import type { PromptHasher } from "./hash-plan.js";
import type { Diagnostic, HashAlgorithm, Tokenizer } from "./types.js";

/**
 * How blocks get their keys. `auto`: the engine's own hashes where they can be reproduced from tokens, else own keys;
 * decided per publisher, on evidence. `exact`: the engine's hashes, by its `--prefix-caching-hash-algo` and
 * `PYTHONHASHSEED` (as a string). `tokens`: own keys over the events' token ids; works with every engine and seed.
 */
export type HashOptions =
  | { mode: "auto"; seeds?: readonly string[] | undefined }
  | { mode: "tokens" }
  | { mode: "exact"; algorithm: HashAlgorithm; seed?: string | undefined; noneHash?: Uint8Array | undefined };

/** A LoRA adapter as the engine knows it. */
export interface LoraOptions {
  /** The engine's integer id, which engines before v0.11.1 hash and some later ones announce instead of the name. */
  id?: number | undefined;
  /** Where the engine loads it from (`--lora-modules name=path`): engines from v0.31 on hash it beside the name. */
  path?: string | undefined;
}

export interface ModelOptions {
  /** Other names under which requests or topics speak of this model. */
  aliases?: readonly string[] | undefined;
  /**
   * Its LoRA adapters: names that requests use as `model`. As a record, with what the engine knows of each; a number is
   * its id.
   */
  loras?: readonly string[] | Readonly<Record<string, number | LoraOptions>> | undefined;
  /** Tokens per block; learned from the events when absent. */
  blockSize?: number | undefined;
  hash?: HashOptions | undefined;
  /** The engine drafts with EAGLE or MTP, and so reuses one matched block fewer. */
  drafting?: boolean | undefined;
  /**
   * `count` (default): each store is one more physical copy, as vLLM announces by default, until that cannot be
   * (`duplicates-switched`). `set`: a block is there or not, for engines that announce blocks again when they reuse them
   * (`kv_cache_report_mode=full`).
   */
  duplicates?: "count" | "set" | undefined;
}

export type TokenizerSource =
  | Readonly<Record<string, Tokenizer>>
  | ((model: string) => Tokenizer | undefined | Promise<Tokenizer | undefined>);

export interface IndexerOptions {
  /** Tokens per block of every model that does not say otherwise; learned from the events when absent. */
  blockSize?: number | undefined;
  /** Default `{ mode: "auto" }`. */
  hash?: HashOptions | undefined;
  models?: Readonly<Record<string, ModelOptions>> | undefined;
  /** Tokenizers by model name, or a function that finds one. Needed by `scorePrompt` and `scoreChat` only. */
  tokenizers?: TokenizerSource | undefined;
  /**
   * Where `scorePrompt` and `scoreChat` hash what is long and not known of a prompt: a pool of `kvblock/pool`. Absent: on
   * the calling thread. Not closed with the indexer.
   */
  pool?: PromptHasher | undefined;
  /** Worth of a matched block by tier. Default gpu 1, cpu 0.8, disk 0.6, storage 0.5. */
  tierWeights?: Readonly<Record<string, number>> | undefined;
  /** Bound of everything the index keeps. Default 256 MiB, at least 1 MiB. */
  memoryLimitBytes?: number | undefined;
  /** Frames with a larger payload are skipped and counted. Default 64 MiB. */
  maxFrameBytes?: number | undefined;
  /** Where diagnostics go. Absent: `process.emitWarning`, once per code and pod. null: nowhere. */
  onDiagnostic?: ((diagnostic: Diagnostic) => void) | null | undefined;
  /** Milliseconds since the epoch. Default `Date.now`. */
  clock?: (() => number) | undefined;
}

export const DEFAULT_MAX_FRAME_BYTES: number = 64 * 2 ** 20;

const HASH_MODES = ["auto", "tokens", "exact"] as const;
const MAX_BLOCK_SIZE = 2 ** 20;
const MAX_LORA_ID = 2 ** 31 - 1;

/** @throws TypeError or RangeError for the first option that is not what it should be */
export function checkIndexerOptions(options: IndexerOptions): void {
  checkOptions("Indexer.create", options, [
    "blockSize",
    "hash",
    "models",
    "tokenizers",
    "pool",
    "tierWeights",
    "memoryLimitBytes",
    "maxFrameBytes",
    "onDiagnostic",
    "clock",
  ]);
  if (options.blockSize !== undefined) checkInteger("blockSize", options.blockSize, 1, MAX_BLOCK_SIZE);
  if (options.hash !== undefined) checkHash("hash", options.hash);
  if (options.maxFrameBytes !== undefined) checkInteger("maxFrameBytes", options.maxFrameBytes, 1024);
  if (options.onDiagnostic !== undefined && options.onDiagnostic !== null)
    checkFunction("onDiagnostic", options.onDiagnostic);
  if (options.clock !== undefined) checkFunction("clock", options.clock);
  if (options.tokenizers !== undefined && typeof options.tokenizers !== "function")
    checkRecord("tokenizers", options.tokenizers, "record or function");
  if (options.pool !== undefined && typeof options.pool?.hashPrompt !== "function")
    throw typeMistake("pool", "a pool of createWorkerPool", options.pool);
  if (options.tierWeights !== undefined) checkRecord("tierWeights", options.tierWeights);
  for (const [tier, weight] of Object.entries(options.tierWeights ?? {}))
    if (typeof weight !== "number" || !(weight >= 0 && weight <= 1))
      throw rangeMistake(`tierWeights.${tier}`, "number 0 … 1", weight);
  if (options.models !== undefined) checkModels(options.models);
}

/** Every exact hashing that is configured, to be tried before the first event asks for it. */
export function exactHashes(options: IndexerOptions): (HashOptions & { mode: "exact" })[] {
  return [options.hash, ...Object.values(options.models ?? {}).map(({ hash }) => hash)].filter(
    (hash) => hash?.mode === "exact",
  );
}

/** Tier weights with the defaults for tiers not named. */
export function withDefaultWeights(weights: IndexerOptions["tierWeights"]): Readonly<Record<string, number>> {
  return { ...DEFAULT_TIER_WEIGHTS, ...weights };
}

/** One name, one meaning: an alias or adapter of two models would send requests to the wrong one in silence. */
function checkModels(models: NonNullable<IndexerOptions["models"]>): void {
  checkRecord("models", models);
  const owners = new Map(Object.keys(models).map((name) => [name, name]));
  for (const [name, model] of Object.entries(models)) {
    const where = `models[${JSON.stringify(name)}]`;
    checkModel(where, model);
    for (const other of [...(model.aliases ?? []), ...adapterNames(model)]) {
      if ((owners.get(other) ?? name) !== name)
        throw rangeMistake(where, "aliases and loras that no other model has", other);
      owners.set(other, name);
    }
  }
}

/** The names of a model's adapters. */
export function adapterNames({ loras }: ModelOptions): readonly string[] {
  return Array.isArray(loras) ? loras : Object.keys(loras ?? {});
}

function checkModel(where: string, model: ModelOptions): void {
  checkOptions(where, model, ["aliases", "loras", "blockSize", "hash", "drafting", "duplicates"]);
  if (model.aliases !== undefined && !Array.isArray(model.aliases))
    throw typeMistake(`${where}.aliases`, "array of names", model.aliases);
  if (model.loras !== undefined && (typeof model.loras !== "object" || model.loras === null))
    throw typeMistake(`${where}.loras`, "array of names, or record of ids by name", model.loras);
  for (const alias of model.aliases ?? []) checkName(`${where}.aliases`, alias);
  if (Array.isArray(model.loras)) for (const lora of model.loras) checkName(`${where}.loras`, lora);
  else
    for (const [lora, known] of Object.entries((model.loras ?? {}) as Record<string, number | LoraOptions>))
      checkLora(`${where}.loras.${lora}`, known);
  if (model.blockSize !== undefined) checkInteger(`${where}.blockSize`, model.blockSize, 1, MAX_BLOCK_SIZE);
  if (model.hash !== undefined) checkHash(`${where}.hash`, model.hash);
  if (model.drafting !== undefined && typeof model.drafting !== "boolean")
    throw typeMistake(`${where}.drafting`, "boolean", model.drafting);
  if (model.duplicates !== undefined) checkOneOf(`${where}.duplicates`, model.duplicates, ["count", "set"]);
}

function checkLora(where: string, lora: number | LoraOptions): void {
  if (typeof lora !== "object") checkInteger(where, lora, 0, MAX_LORA_ID);
  else {
    checkOptions(where, lora, ["id", "path"]);
    if (lora.id !== undefined) checkInteger(`${where}.id`, lora.id, 0, MAX_LORA_ID);
    if (lora.path !== undefined) checkName(`${where}.path`, lora.path);
  }
}

/** The seed, noneHash and their combination are checked where the hasher is made. */
function checkHash(where: string, hash: HashOptions): void {
  checkOptions(where, hash, ["mode", "seeds", "algorithm", "seed", "noneHash"]);
  const mode = checkOneOf(`${where}.mode`, hash.mode, HASH_MODES);
  const allowed =
    mode === "auto"
      ? ["mode", "seeds"]
      : mode === "exact"
        ? ["mode", "algorithm", "seed", "noneHash"]
        : ["mode"];
  checkOptions(`${where} in mode "${mode}"`, hash, allowed);
  if (hash.mode === "exact") checkOneOf(`${where}.algorithm`, hash.algorithm, HASH_ALGORITHMS);
  if (hash.mode !== "auto" || hash.seeds === undefined) return;
  if (!Array.isArray(hash.seeds)) throw typeMistake(`${where}.seeds`, "array of strings", hash.seeds);
  for (const seed of hash.seeds)
    if (typeof seed !== "string")
      throw typeMistake(`${where}.seeds`, `strings, as in PYTHONHASHSEED ("${seed}")`, seed);
}

function checkFunction(name: string, value: unknown): void {
  if (typeof value !== "function") throw typeMistake(name, "function", value);
}

function checkRecord(name: string, value: unknown, expected = "record"): void {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw typeMistake(name, expected, value);
}
