/**
 * Which of the served models a request means.
 * @module
 */
import { ApiError } from "./http.js";

export interface ServedModels {
  readonly model: string;
  /** Adapters; the first has id 1. */
  readonly loras: readonly string[];
}

/** A body without a model means the base model. */
export function resolveModel(
  host: ServedModels,
  model: unknown,
): { model: string; lora: { loraName?: string; loraId?: number } } {
  if (model === undefined || model === null || model === host.model) return { model: host.model, lora: {} };
  const index = typeof model === "string" ? host.loras.indexOf(model) : -1;
  if (index < 0) throw new ApiError(404, "NotFoundError", `The model \`${model}\` does not exist.`, "model");
  return { model: model as string, lora: { loraName: model as string, loraId: index + 1 } };
}
