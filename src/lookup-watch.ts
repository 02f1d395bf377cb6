/**
 * Watches lookups for the mistakes that end in zero hits: the field's first complaint is silence, so each is told.
 * @module
 */
import type { Diagnostics } from "./diagnostics.js";
import { nearest } from "./errors.js";
import type { Models } from "./models.js";
import { LIFE_MS } from "./publisher-state.js";
import type { Publishers } from "./publishers.js";
import type { Query } from "./query.js";
import type { WritePath } from "./write-path.js";

/** Lookups are answered this long with no frame from anywhere before it is told. */
const SILENCE_MS = 30_000;

/** Names listed in a message at most, and characters of each: clients send any. */
const MAX_LISTED = 8;
const MAX_NAME = 100;

export interface LookupWatchOptions {
  readonly publishers: Publishers;
  readonly models: Models;
  readonly diagnostics: Diagnostics;
  readonly writePath: WritePath;
  readonly clock: () => number;
}

export class LookupWatch {
  readonly #options: LookupWatchOptions;
  readonly #since: number;
  /** Models of which a lookup ever named a salt, or an adapter. */
  readonly #salted = new Set<string>();
  readonly #withLora = new Set<string>();

  constructor(options: LookupWatchOptions) {
    this.#options = options;
    this.#since = options.clock();
  }

  answered(query: Query, isMatch: boolean): void {
    const { writePath, publishers, diagnostics } = this.#options;
    this.#noteNamed(query);
    if (query.candidates.length > 0) diagnostics.contradict("pods-unknown", { model: query.model });
    if (isMatch || query.pods?.length === 0) return;
    if (writePath.frames === 0) this.#checkSilence();
    else if (publishers.size === 0)
      return; // every frame was refused, which has its own diagnostic
    else if (publishers.ofModel(query.model).length === 0) this.#reportModel(query.model);
    else if (query.candidates.length === 0) this.#reportPods(query);
    else this.#checkExtraKeys(query.model);
  }

  /** Withdraw what has ended since it was told. */
  review(): void {
    const { diagnostics, publishers, writePath } = this.#options;
    diagnostics.withdrawIf(({ code, model = "", pod = "", dataParallelRank = 0, evidence }) => {
      switch (code) {
        case "no-events":
          return writePath.frames > 0;
        case "model-never-announced":
          return publishers.ofModel(model).length > 0;
        case "pods-unknown":
          return publishers
            .ofModel(model)
            .some((one) => (evidence["candidates"] as string[]).includes(one.pod));
        case "pod-published-twice": {
          const publisher = publishers.find(pod, model, dataParallelRank);
          return publisher === undefined || publisher.lastFrameAt! - publisher.restartedAt >= LIFE_MS;
        }
        default:
          return false;
      }
    });
    // What is dropped is told with each frame, so whatever was not told lately has ended.
    diagnostics.contradict("memory-limit", {});
  }

  /** Only of models that are announced: the names in requests are not ours to count. */
  #noteNamed({ model, cacheSalt, loraName, candidates }: Query): void {
    if (candidates.length === 0) return;
    if (cacheSalt !== "" && !this.#salted.has(model)) {
      this.#salted.add(model);
      this.#options.diagnostics.withdraw("salt-not-passed", model);
    }
    if (loraName !== undefined && !this.#withLora.has(model)) {
      this.#withLora.add(model);
      this.#options.diagnostics.withdraw("lora-not-passed", model);
    }
  }

  #checkSilence(): void {
    const silentMs = this.#options.clock() - this.#since;
    if (silentMs < SILENCE_MS) return;
    this.#options.diagnostics.raise({
      code: "no-events",
      severity: "error",
      message: `No KV event has arrived for ${Math.round(silentMs / 1000)} s, so nothing can match.`,
      fix: 'Start the engine with --kv-events-config \'{"enable_kv_cache_events":true,"publisher":"zmq",…}\', and check the endpoint, port and topic filter of the subscription.',
      evidence: { silentSeconds: Math.round(silentMs / 1000) },
    });
  }

  #reportModel(name: string): void {
    const { publishers, diagnostics } = this.#options;
    const model = name.slice(0, MAX_NAME);
    const announced = [...publishers.models()];
    const near = nearest(model, announced);
    diagnostics.raise({
      code: "model-never-announced",
      severity: "error",
      message: `No pod announces the model ${JSON.stringify(model)}; announced: ${list(announced)}.`,
      fix:
        near === undefined
          ? "Score under the name in the events' topic, or list the name under that model's aliases or loras."
          : `Score under ${JSON.stringify(near)}, or list ${JSON.stringify(model)} under its aliases or loras.`,
      model,
      evidence: { announced: announced.slice(0, MAX_LISTED), nearest: near ?? null },
    });
  }

  #reportPods({ model, pods = [] }: Query): void {
    const known = [...new Set(this.#options.publishers.ofModel(model).map(({ pod }) => pod))];
    const near = pods.flatMap((pod) => known.filter((other) => other.split(":")[0] === pod.split(":")[0]))[0];
    this.#options.diagnostics.raise({
      code: "pods-unknown",
      severity: "error",
      message: `None of the candidate pods (${list(pods)}) publishes events; those that do are ${list(known)}.`,
      fix:
        near === undefined
          ? "Pass the pod names of the events' topic, or set pod in subscribe()."
          : `Name pods as the events do (${JSON.stringify(near)}: with or without the port), or set pod in subscribe().`,
      model,
      evidence: { candidates: pods.slice(0, MAX_LISTED), known: known.slice(0, MAX_LISTED) },
    });
  }

  #checkExtraKeys(model: string): void {
    const { writePath, diagnostics } = this.#options;
    const salted = writePath.batches.salted.get(model) ?? 0;
    if (salted > 0 && !this.#salted.has(model))
      diagnostics.raise({
        code: "salt-not-passed",
        severity: "warning",
        message: `${model}: the engines store salted prompts (${salted} seen), and no lookup has named a salt; salted blocks only match under theirs.`,
        fix: "Pass the request's cache_salt as cacheSalt.",
        model,
        evidence: { saltedStores: salted },
      });
    const withLora = writePath.batches.withLora.get(model) ?? 0;
    if (withLora > 0 && !this.#withLora.has(model))
      diagnostics.raise({
        code: "lora-not-passed",
        severity: "warning",
        message: `${model}: the engines store blocks of LoRA adapters (${withLora} stores seen), and no lookup has named one.`,
        fix: "List the adapters under the model's loras, or pass loraName.",
        model,
        evidence: { loraStores: withLora },
      });
  }
}

function list(names: readonly string[]): string {
  const shown = names.slice(0, MAX_LISTED).map((name) => JSON.stringify(name.slice(0, MAX_NAME)));
  return shown.length === 0
    ? "none"
    : shown.join(", ") + (names.length > MAX_LISTED ? ` and ${names.length - MAX_LISTED} more` : "");
}
