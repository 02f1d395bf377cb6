/**
 * Settles each publisher's hashing and block size from what it announces, and speaks up where it is not as configured.
 * @module
 */
import type { BlockIndex } from "./block-index/index.js";
import type { Diagnostics } from "./diagnostics.js";
import type { BlockStored, KvEvent } from "./events/index.js";
import { describeHashed, HashProber, isPlainRoot, startsWith } from "./identity.js";
import type { KeyClasses } from "./key-classes.js";
import type { ModelSettings, Models } from "./models.js";
import type { Publisher } from "./publisher-state.js";

/** Plain roots that nothing reproduces, before `tokens` mode is settled. */
const ROOTS_TO_SETTLE = 3;
/** Roots tried of a publisher that is not as configured: trying costs some forty hashes each. */
const ROOTS_TO_DIAGNOSE = 8;
/** With at least one such root, frames held before it is settled all the same: all prompts may share their first block. */
const FRAMES_TO_SETTLE = 32;
/** Frames and bytes held at most; then `tokens` mode is settled without evidence. */
const MAX_HELD_FRAMES = 4096;
const MAX_HELD_BYTES = 8 * 2 ** 20;
/** Blocks of a scored prompt that are tried on a publisher whose roots were announced before we came. */
const PROMPT_BLOCKS = 16;

export interface IdentityFinderOptions {
  readonly index: BlockIndex;
  readonly classes: KeyClasses;
  readonly models: Models;
  readonly diagnostics: Diagnostics;
}

export class IdentityFinder {
  /** Publishers whose mode is not settled. */
  readonly undecided = new Set<Publisher>();
  readonly #options: IdentityFinderOptions;
  readonly #probers = new Map<string, HashProber>();

  constructor(options: IdentityFinderOptions) {
    this.#options = options;
  }

  /** Hold a batch's events until the mode is settled; looks for evidence in them. */
  hold(publisher: Publisher, events: readonly KvEvent[], payloadBytes: number): void {
    this.undecided.add(publisher);
    // Decoded events take about twice their payload: token ids are one to five bytes there and four here.
    const bytes = 2 * payloadBytes + 256;
    if (publisher.heldBytes + bytes > MAX_HELD_BYTES || !this.#options.index.reserve(bytes)) {
      this.#settleTokens(publisher);
      publisher.held.push(...events);
      return;
    }
    publisher.heldBytes += bytes;
    publisher.heldFrames++;
    for (const event of events) {
      publisher.held.push(event);
      if (publisher.mode === "undecided" && event.type === "BlockStored") this.#probe(publisher, event);
    }
    const enough =
      publisher.failedRoots >= ROOTS_TO_SETTLE ||
      (publisher.failedRoots > 0 && publisher.heldFrames >= FRAMES_TO_SETTLE) ||
      publisher.heldFrames >= MAX_HELD_FRAMES;
    if (publisher.mode === "undecided" && enough) this.#settleTokens(publisher);
  }

  /** Check a store of a settled publisher against what is configured. */
  observe(publisher: Publisher, event: BlockStored): void {
    if (publisher.keyClass === undefined) this.#checkBlockSize(publisher, event);
    if (publisher.mode !== "exact") return;
    publisher.hashed ??= configured(publisher.settings);
    if (event.loraId !== null && event.loraName === null) this.#learnAdapters(publisher, event);
    if (publisher.verified || publisher.hashed === undefined || !isEvidence(event)) return;
    if (publisher.failedRoots >= ROOTS_TO_DIAGNOSE) return;
    const [hi, lo] = event.blockKeys as unknown as [number, number];
    const { algorithm, root } = publisher.hashed;
    const hasher = this.#options.classes.hasher(algorithm, root, event.blockSize);
    if (startsWith(hasher, event.tokenIds, hi, lo)) {
      publisher.verified = true;
      return;
    }
    // An array without the extra keys field may be salted without our seeing it; a wire that says none cannot.
    publisher.failedRoots++;
    if (!event.hasExtraKeysField && publisher.failedRoots < ROOTS_TO_SETTLE) return;
    const found = this.#prober(publisher.settings).probe(event.tokenIds, event.blockSize, hi, lo);
    const wanted = describeHashed(publisher.hashed);
    this.#reportHash(publisher, {
      severity: "error",
      message: `${publisher.pod}: its block hashes are not those of ${wanted}, so none of its blocks can match.`,
      fix:
        found === undefined
          ? "Set the engine's --prefix-caching-hash-algo and PYTHONHASHSEED as configured here, or use hash mode auto or tokens."
          : `The engine hashes by ${describeHashed(found)}: configure that, or use hash mode auto.`,
      evidence: { configured: wanted, reproducedBy: found === undefined ? null : describeHashed(found) },
    });
  }

  /**
   * A prompt was scored: if its keys under a candidate are among what an undecided publisher of the model announced,
   * that settles it. Returns the publishers that are settled now.
   */
  offerPrompt(model: string, tokens: Uint32Array): Publisher[] {
    const settled: Publisher[] = [];
    for (const publisher of this.undecided) {
      if (publisher.model !== model || publisher.mode !== "undecided") continue;
      const stores = publisher.held.filter((event) => event.type === "BlockStored");
      const blockSize = stores.find((event) => event.blockSize > 0)?.blockSize;
      if (blockSize === undefined) continue;
      const announced = new Set<string>();
      for (const { blockKeys, parentKey } of stores) {
        for (let i = 0; i < blockKeys.length; i += 2) announced.add(`${blockKeys[i]} ${blockKeys[i + 1]}`);
        if (parentKey !== null) announced.add(`${parentKey[0]} ${parentKey[1]}`);
      }
      const head = tokens.subarray(0, PROMPT_BLOCKS * blockSize);
      const found = this.#prober(publisher.settings).probePrompt(head, blockSize, (hi, lo) =>
        announced.has(`${hi} ${lo}`),
      );
      if (found === undefined) continue;
      publisher.hashed = found;
      publisher.mode = "exact";
      publisher.verified = true;
      this.undecided.delete(publisher);
      settled.push(publisher);
    }
    return settled;
  }

  /**
   * Before v0.11.1 an adapter's integer id was hashed and announced; for some versions after that its name was hashed
   * and still only the id announced. The hash itself tells which.
   */
  #learnAdapters(publisher: Publisher, event: BlockStored): void {
    if (publisher.loraAs === "id" || publisher.hashed === undefined) return;
    if (!isWhole(event) || event.parentKey !== null || event.loraId === null) return;
    const [hi, lo] = event.blockKeys as unknown as [number, number];
    const { algorithm, root } = publisher.hashed;
    const hasher = this.#options.classes.hasher(algorithm, root, event.blockSize);
    if (!startsWith(hasher, event.tokenIds, hi, lo, [event.loraId])) return;
    publisher.loraAs = "id";
    publisher.keyClass = undefined;
  }

  #probe(publisher: Publisher, event: BlockStored): void {
    if (!isEvidence(event)) return;
    const [hi, lo] = event.blockKeys as unknown as [number, number];
    const found = this.#prober(publisher.settings).probe(event.tokenIds, event.blockSize, hi, lo);
    if (found === undefined) {
      publisher.failedRoots++;
      return;
    }
    publisher.hashed = found;
    publisher.mode = "exact";
    publisher.verified = true;
    this.undecided.delete(publisher);
  }

  #settleTokens(publisher: Publisher): void {
    publisher.mode = "tokens";
    this.undecided.delete(publisher);
    this.#reportHash(publisher, {
      severity: "info",
      message: `${publisher.pod}: ${publisher.failedRoots} first blocks were reproduced by no known algorithm and seed; its blocks are keyed by their tokens instead.`,
      fix: "Nothing is wrong, but a router that joins late sees more with a known seed: set PYTHONHASHSEED and --prefix-caching-hash-algo sha256_cbor on the engine.",
      evidence: { rootsNotReproduced: publisher.failedRoots, fallback: "tokens" },
    });
  }

  #checkBlockSize(publisher: Publisher, event: BlockStored): void {
    const wanted = publisher.settings.blockSize;
    if (wanted === 0 || !isWhole(event) || event.blockSize === wanted) return;
    publisher.blockSize = event.blockSize;
    this.#options.diagnostics.raise({
      code: "block-size-mismatch",
      severity: "error",
      message: `${publisher.pod}: its blocks are ${event.blockSize} tokens, ${wanted} are configured; the engine's own size is used.`,
      fix: `Set blockSize: ${event.blockSize} (the engine's --block-size), or leave blockSize out to have it learned.`,
      model: publisher.model,
      pod: publisher.pod,
      dataParallelRank: publisher.dataParallelRank,
      evidence: { configured: wanted, announced: event.blockSize },
    });
  }

  #reportHash(
    publisher: Publisher,
    finding: {
      severity: "info" | "error";
      message: string;
      fix: string;
      evidence: Record<string, string | number | null>;
    },
  ): void {
    this.#options.diagnostics.raise({
      code: "hash-not-reproduced",
      model: publisher.model,
      pod: publisher.pod,
      dataParallelRank: publisher.dataParallelRank,
      ...finding,
      evidence: { ...finding.evidence, tried: this.#prober(publisher.settings).tried },
    });
  }

  #prober({ hash }: ModelSettings): HashProber {
    const seeds = hash.mode === "auto" ? (hash.seeds ?? []) : [];
    const name = JSON.stringify(seeds);
    let prober = this.#probers.get(name);
    if (prober === undefined)
      this.#probers.set(name, (prober = new HashProber(this.#options.classes, seeds)));
    return prober;
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

/** A full-attention store in the engine's own tier whose tokens go with its blocks. */
function isWhole(event: BlockStored): boolean {
  return (
    (event.medium === null || event.medium.toUpperCase() === "GPU") &&
    (event.kvCacheSpecKind === null ||
      event.kvCacheSpecKind === "full_attention" ||
      event.kvCacheSpecKind === "mla_attention") &&
    event.blockSize > 0 &&
    event.tokenIds.length === (event.blockKeys.length / 2) * event.blockSize
  );
}

function isEvidence(event: BlockStored): boolean {
  return isWhole(event) && isPlainRoot(event);
}
