/**
 * What a request's `model` means.
 * @module
 */
import type { GatewayConfig } from "./config.js";
import { ApiError } from "./http.js";

export interface ResolvedModel {
  /** As the request says it. */
  readonly model: string;
  /** The base model, which the pods are of. */
  readonly base: string;
  /** The name that the engine is asked for: the base model's, or one of its adapters'. */
  readonly target: string;
}

export class ModelNames {
  readonly #resolved = new Map<string, ResolvedModel>();
  readonly #only: string | undefined;

  constructor({ models }: GatewayConfig) {
    for (const [base, { aliases, loras }] of Object.entries(models)) {
      for (const model of [base, ...aliases]) this.#resolved.set(model, { model, base, target: base });
      for (const model of loras) this.#resolved.set(model, { model, base, target: model });
    }
    const names = Object.keys(models);
    this.#only = names.length === 1 ? names[0] : undefined;
  }

  /**
   * No model means the only one there is.
   *
   * @throws ApiError 404
   */
  resolve(model: unknown): ResolvedModel {
    const name = model ?? this.#only;
    const resolved = typeof name === "string" ? this.#resolved.get(name) : undefined;
    if (resolved !== undefined) return resolved;
    throw new ApiError(404, "NotFoundError", `The model \`${name ?? ""}\` does not exist.`, "model");
  }
}
