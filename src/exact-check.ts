/**
 * Holds a publisher in `exact` mode against its configuration: whether the configured algorithm and seed give the hashes
 * that it announces, how finely it hashes, and how its adapters stand in them.
 *
 * One block that comes out as announced proves it all, since a hash is 64 bits. What comes out otherwise is told when it
 * cannot be for another reason: on older wires a root may be salted without our seeing it.
 * @module
 */
import type { Diagnostics } from "./diagnostics.js";
import type { BlockStored } from "./events/index.js";
import {
  describeHashed,
  hashBlockSizes,
  isPlain,
  isTellingRoot,
  isWhole,
  MAX_PROBED_TOKENS,
  type Probers,
  reproduces,
  startsWith,
} from "./identity.js";
import type { KeyClasses } from "./key-classes.js";
import type { ModelSettings } from "./models.js";
import type { Publisher } from "./publisher-state.js";

/** Roots that come out otherwise, each another, before that is told of a wire that does not say extra keys. */
const ROOTS_TO_TELL = 3;
/** With fewer, frames after the first: all prompts may share their first block. */
const FRAMES_TO_TELL = 32;
/** Roots looked at of a publisher that is not as configured: trying what else it may be costs some forty hashes each. */
const MAX_ROOTS = 8;
/** Lookups without a match on a publisher that holds blocks and was never proved, before that is told. */
const LOOKUPS_TO_TELL = 100;
/** Adapters of one publisher that are looked at. */
const MAX_ADAPTERS = 64;

export interface ExactCheckOptions {
  readonly classes: KeyClasses;
  readonly probers: Probers;
  readonly diagnostics: Diagnostics;
}

export class ExactCheck {
  readonly #options: ExactCheckOptions;

  constructor(options: ExactCheckOptions) {
    this.#options = options;
  }

  /** Look at a store of a publisher in exact mode. */
  observe(publisher: Publisher, event: BlockStored): void {
    publisher.hashed ??= configured(publisher.settings);
    if (publisher.hashed === undefined) return;
    if (event.loraId !== null && event.loraName === null) this.#learnAdapters(publisher, event);
    if (event.loraName !== null && publisher.verified) this.#checkAdapter(publisher, event, event.loraName);
    if (publisher.verified) return;
    const { doubts } = publisher;
    const isUseful = isTellingRoot(event) && event.blockSize <= MAX_PROBED_TOKENS;
    if (isUseful && doubts.roots.size < MAX_ROOTS) this.#verify(publisher, event);
    else if (!doubts.told && doubts.roots.size > 0 && publisher.frames - doubts.since >= FRAMES_TO_TELL)
      this.#tell(publisher);
  }

  /** A lookup found blocks of a publisher in exact mode, or none. */
  answered(publisher: Publisher, found: boolean): void {
    if (publisher.verified) return;
    if (found) this.#prove(publisher);
    else if (
      ++publisher.doubts.lookups >= LOOKUPS_TO_TELL &&
      !publisher.doubts.told &&
      publisher.residents > 0
    )
      this.#tell(publisher);
  }

  #prove(publisher: Publisher): void {
    publisher.verified = true;
    const { model, pod, dataParallelRank } = publisher;
    if (publisher.doubts.told)
      this.#options.diagnostics.withdraw("hash-not-reproduced", model, pod, dataParallelRank);
  }

  #verify(publisher: Publisher, root: BlockStored): void {
    const { classes, probers } = this.#options;
    const { doubts, settings } = publisher;
    const hashed = publisher.hashed!;
    const size = hashBlockSizes(root).find((size) =>
      reproduces(classes.hasher(hashed, size), root, settings.loras),
    );
    if (size !== undefined) {
      publisher.learnHashBlockSize(size);
      this.#prove(publisher);
      return;
    }
    // An adapter's path may be hashed, which no event says.
    if (root.loraName !== null && settings.loras.get(root.loraName)?.path === undefined) return;
    if (doubts.roots.size === 0) doubts.since = publisher.frames;
    doubts.reproducedBy ??= probers.of(settings).probe(root, settings.loras, doubts.roots.size === 0);
    doubts.roots.add(root.blockKeys[1]!);
    const isProof = root.hasExtraKeysField && isPlain(root);
    if (isProof || doubts.roots.size >= ROOTS_TO_TELL) this.#tell(publisher);
  }

  #tell(publisher: Publisher): void {
    const { doubts, settings, model, pod, dataParallelRank } = publisher;
    doubts.told = true;
    const wanted = describeHashed(publisher.hashed!);
    const found = doubts.reproducedBy;
    const isSure = doubts.roots.size > 0;
    this.#options.diagnostics.raise({
      code: "hash-not-reproduced",
      severity: isSure ? "error" : "warning",
      message: isSure
        ? `${pod}: its block hashes are not those of ${wanted}, so none of its blocks can match.`
        : `${pod}: ${doubts.lookups} lookups matched none of its ${publisher.residents} blocks, and nothing shows yet that it hashes by ${wanted}.`,
      fix:
        found === undefined
          ? "Set the engine's --prefix-caching-hash-algo and PYTHONHASHSEED as configured here, or use hash mode auto or tokens."
          : `The engine hashes by ${describeHashed(found)}${found.hashBlockSize === publisher.blockSize ? "" : `, ${found.hashBlockSize} tokens each`}: configure that, or use hash mode auto.`,
      model,
      pod,
      dataParallelRank,
      evidence: {
        configured: wanted,
        reproducedBy: found === undefined ? null : describeHashed(found),
        rootsNotReproduced: doubts.roots.size,
        tried: this.#options.probers.of(settings).tried,
      },
    });
  }

  /**
   * Before v0.11.1 an adapter's integer id was hashed and announced; for some versions after that its name was hashed
   * and still only the id announced. The hash itself tells which.
   */
  #learnAdapters(publisher: Publisher, event: BlockStored): void {
    if (publisher.loraAs === "id" || publisher.hashed === undefined) return;
    if (!isWhole(event) || event.parentKey !== null || event.loraId === null) return;
    const hasher = this.#options.classes.hasher(publisher.hashed, event.blockSize);
    if (!startsWith(hasher, event, [event.loraId])) return;
    publisher.loraAs = "id";
    publisher.keyClass = undefined;
  }

  /** Engines from v0.31 on hash an adapter's path beside its name, and announce the name alone. */
  #checkAdapter(publisher: Publisher, event: BlockStored, name: string): void {
    const { adaptersSeen, hashed } = publisher;
    if (adaptersSeen.has(name) || adaptersSeen.size >= MAX_ADAPTERS || hashed === undefined) return;
    if (!event.hasExtraKeysField || !isTellingRoot(event)) return;
    const hasher = this.#options.classes.hasher(hashed, event.blockSize);
    const missing =
      publisher.settings.loras.get(name)?.path === undefined &&
      !startsWith(hasher, event, event.extraKeys?.[0] ?? null);
    adaptersSeen.set(name, missing);
    if (!missing) return;
    const { model, pod, dataParallelRank } = publisher;
    this.#options.diagnostics.raise({
      code: "lora-path-missing",
      severity: "warning",
      message: `${pod}: blocks of the adapter ${JSON.stringify(name)} are hashed with its path (vLLM v0.31 and later), which is not known here, so its prompts match nothing.`,
      fix: `Give the path that the engine loads it from: models: { ${JSON.stringify(model)}: { loras: { ${JSON.stringify(name)}: { path } } } }, or use hash mode tokens.`,
      model,
      pod,
      dataParallelRank,
      evidence: { adapters: [...adaptersSeen.keys()].filter((adapter) => adaptersSeen.get(adapter)) },
    });
  }
}

/** What is configured for a publisher in exact mode. */
function configured({ hash }: ModelSettings): Publisher["hashed"] {
  if (hash.mode !== "exact") return undefined;
  const root =
    hash.noneHash !== undefined
      ? { noneHash: hash.noneHash }
      : hash.seed !== undefined
        ? { seed: hash.seed }
        : {};
  return { algorithm: hash.algorithm, root };
}
