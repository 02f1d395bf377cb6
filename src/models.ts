/**
 * Model names: which base model, and which adapter, a request or a topic means; and what is set for each model.
 * @module
 */
import {
  adapterNames,
  type HashOptions,
  type IndexerOptions,
  type LoraOptions,
  type ModelOptions,
} from "./options.js";

/** What applies to one model. */
export interface ModelSettings {
  /** 0: learn it. */
  readonly blockSize: number;
  readonly hash: HashOptions;
  readonly drafting: boolean;
  readonly duplicates: "count" | "set";
  /** What is known of adapters, by name. */
  readonly loras: ReadonlyMap<string, LoraOptions>;
}

/** A name resolved. */
export interface ResolvedModel {
  readonly model: string;
  /** The adapter, if the name was an adapter's. */
  readonly loraName: string | undefined;
}

export class Models {
  readonly #resolved = new Map<string, ResolvedModel>();
  readonly #settings = new Map<string, ModelSettings>();
  readonly #defaults: ModelSettings;

  constructor(options: IndexerOptions) {
    this.#defaults = settingsOf({}, options);
    for (const [model, own] of Object.entries(options.models ?? {})) {
      this.#settings.set(model, settingsOf(own, options));
      this.#resolved.set(model, { model, loraName: undefined });
      for (const alias of own.aliases ?? []) this.#resolved.set(alias, { model, loraName: undefined });
      for (const loraName of adapterNames(own)) this.#resolved.set(loraName, { model, loraName });
    }
  }

  /** A name that nothing was said about is a base model of that name. */
  resolve(name: string): ResolvedModel {
    return this.#resolved.get(name) ?? { model: name, loraName: undefined };
  }

  settings(model: string): ModelSettings {
    return this.#settings.get(model) ?? this.#defaults;
  }

  /** Every name given in the options. */
  names(): Iterable<string> {
    return this.#resolved.keys();
  }
}

function settingsOf(own: ModelOptions, all: IndexerOptions): ModelSettings {
  return {
    blockSize: own.blockSize ?? all.blockSize ?? 0,
    hash: own.hash ?? all.hash ?? { mode: "auto" },
    drafting: own.drafting ?? false,
    duplicates: own.duplicates ?? "count",
    loras: new Map(
      Array.isArray(own.loras)
        ? []
        : Object.entries((own.loras ?? {}) as Record<string, number | LoraOptions>).map(([name, known]) => [
            name,
            typeof known === "number" ? { id: known } : known,
          ]),
    ),
  };
}
