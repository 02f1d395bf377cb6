/**
 * Settles each publisher's hashing and block size from what it announces, and speaks up where it is not as configured.
 * @module
 */
import type { BlockIndex } from "./block-index/index.js";
import type { Diagnostics } from "./diagnostics.js";
import type { BlockStored, KvEvent } from "./events/index.js";
import {
  describeHashed,
  HashProber,
  isPlain,
  isTellingRoot,
  isWhole,
  reproduces,
  startsWith,
} from "./identity.js";
import type { Hashed, KeyClasses } from "./key-classes.js";
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
const PROMPT_BLOCKS = 128;
/** Blocks hashed for that in one lookup; the next one goes on with the next algorithm and seed. */
const PROMPT_HASHES = 512;
/** Adapters of one publisher that are looked at. */
const MAX_ADAPTERS = 64;
/** Single smaller blocks, which may be a hybrid model's partial ones, before they are taken for the block size. */
const SMALLER_TO_SETTLE = 8;

export interface IdentityFinderOptions {
  readonly index: BlockIndex;
  readonly classes: KeyClasses;
  readonly models: Models;
  readonly diagnostics: Diagnostics;
}

export class IdentityFinder {
  /** Publishers whose mode is not settled. */
  readonly undecided: Set<Publisher> = new Set();
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
      for (const event of events) publisher.held.push(event);
      return;
    }
    publisher.heldBytes += bytes;
    publisher.heldFrames++;
    for (const event of events) {
      publisher.held.push(event);
      if (publisher.mode !== "undecided" || event.type !== "BlockStored") continue;
      this.#probe(publisher, event);
      publisher.announced.add(event);
    }
    const enough =
      publisher.failedRoots.size >= ROOTS_TO_SETTLE ||
      (publisher.failedRoots.size + publisher.unprovenRoots > 0 &&
        publisher.heldFrames >= FRAMES_TO_SETTLE) ||
      publisher.heldFrames >= MAX_HELD_FRAMES;
    if (publisher.mode === "undecided" && enough) this.#settleTokens(publisher);
  }

  /** Check a store of a settled publisher against what is configured. */
  observe(publisher: Publisher, event: BlockStored): void {
    if (event.blockSize !== publisher.blockSize || !publisher.blockSizeSeen)
      this.#learnBlockSize(publisher, event);
    if (publisher.mode !== "exact") return;
    publisher.hashed ??= configured(publisher.settings);
    if (event.loraId !== null && event.loraName === null) this.#learnAdapters(publisher, event);
    if (event.loraName !== null && publisher.verified) this.#checkAdapter(publisher, event, event.loraName);
    if (publisher.verified || publisher.hashed === undefined || !isTellingRoot(event)) return;
    if (publisher.failedRoots.size >= ROOTS_TO_DIAGNOSE) return;
    const { algorithm, root } = publisher.hashed;
    const hasher = this.#options.classes.hasher(algorithm, root, event.blockSize);
    if (reproduces(hasher, event, publisher.settings.loras)) {
      publisher.verified = true;
      return;
    }
    if (!isPlain(event)) return;
    // An array without the extra keys field may be salted without our seeing it; a wire that says none cannot.
    publisher.failedRoots.add(event.blockKeys[1]!);
    if (!event.hasExtraKeysField && publisher.failedRoots.size < ROOTS_TO_SETTLE) return;
    const found = this.#prober(publisher.settings).probe(event, publisher.settings.loras);
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
    let budget = PROMPT_HASHES;
    for (const publisher of [...this.undecided]) {
      if (budget <= 0) break;
      const { announced } = publisher;
      if (publisher.model !== model || announced.blockSize === 0) continue;
      const head = tokens.subarray(0, PROMPT_BLOCKS * announced.blockSize);
      const blocks = Math.floor(head.length / announced.blockSize);
      if (blocks === 0) continue;
      const prober = this.#prober(publisher.settings);
      let found: Publisher["hashed"];
      for (let tries = 0; tries < prober.size && budget > 0 && found === undefined; tries++) {
        budget -= blocks;
        const candidate = publisher.nextCandidate++ % prober.size;
        found = prober.probePrompt(candidate, head, announced.blockSize, (hi, lo) => announced.has(hi, lo));
      }
      // To the end of the line, so that no publisher waits for ever behind the others.
      this.undecided.delete(publisher);
      if (found === undefined) this.undecided.add(publisher);
      else {
        settleExact(publisher, found);
        settled.push(publisher);
      }
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
    const { algorithm, root } = publisher.hashed;
    const hasher = this.#options.classes.hasher(algorithm, root, event.blockSize);
    if (!startsWith(hasher, event, [event.loraId])) return;
    publisher.loraAs = "id";
    publisher.keyClass = undefined;
  }

  /** Engines from v0.31 on hash an adapter's path beside its name, and announce the name alone. */
  #checkAdapter(publisher: Publisher, event: BlockStored, name: string): void {
    const { adaptersSeen, hashed } = publisher;
    if (adaptersSeen.has(name) || adaptersSeen.size >= MAX_ADAPTERS || hashed === undefined) return;
    if (!event.hasExtraKeysField || !isTellingRoot(event)) return;
    const hasher = this.#options.classes.hasher(hashed.algorithm, hashed.root, event.blockSize);
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

  #probe(publisher: Publisher, event: BlockStored): void {
    if (!isTellingRoot(event)) return;
    const lo = event.blockKeys[1]!;
    if (publisher.failedRoots.has(lo)) return;
    const found = this.#prober(publisher.settings).probe(event, publisher.settings.loras);
    if (found === undefined) {
      if (isPlain(event)) publisher.failedRoots.add(lo);
      else publisher.unprovenRoots++;
      return;
    }
    settleExact(publisher, found);
    this.undecided.delete(publisher);
  }

  #settleTokens(publisher: Publisher): void {
    publisher.mode = "tokens";
    this.undecided.delete(publisher);
    this.#reportHash(publisher, {
      severity: "info",
      message: `${publisher.pod}: ${publisher.failedRoots.size} first blocks were reproduced by no known algorithm and seed; its blocks are keyed by their tokens instead.`,
      fix: "Nothing is wrong, but a router that joins late sees more with a known seed: set PYTHONHASHSEED and --prefix-caching-hash-algo sha256_cbor on the engine.",
      evidence: { rootsNotReproduced: publisher.failedRoots.size, fallback: "tokens" },
    });
  }

  /**
   * The engine's own full-attention blocks say its block size. A single smaller block may be a hybrid model's partial
   * one (vLLM PR 45939), so it changes nothing at first, and what was learned from one gives way to a multiple of it.
   */
  #learnBlockSize(publisher: Publisher, event: BlockStored): void {
    if (!isWhole(event)) return;
    const wanted = publisher.settings.blockSize;
    const { blockSize } = event;
    const known = publisher.blockSizeSeen ? publisher.blockSize : wanted;
    if (known !== 0 && blockSize !== known) {
      const maybePartial = event.blockKeys.length === 2 && known % blockSize === 0;
      if (maybePartial && (publisher.blockSizeSeen || ++publisher.smallerBlocks < SMALLER_TO_SETTLE)) return;
      if (publisher.blockSizeSeen && blockSize % known !== 0) return;
    }
    publisher.blockSizeSeen = true;
    if (publisher.blockSize === blockSize) return;
    publisher.blockSize = blockSize;
    publisher.keyClass = undefined;
    const who = [publisher.model, publisher.pod, publisher.dataParallelRank] as const;
    if (wanted === 0 || blockSize === wanted) {
      this.#options.diagnostics.withdraw("block-size-mismatch", ...who);
      return;
    }
    this.#options.diagnostics.raise({
      code: "block-size-mismatch",
      severity: "error",
      message: `${publisher.pod}: its blocks are ${blockSize} tokens, ${wanted} are configured; the engine's own size is used.`,
      fix: `Set blockSize: ${blockSize} (the engine's --block-size), or leave blockSize out to have it learned.`,
      model: publisher.model,
      pod: publisher.pod,
      dataParallelRank: publisher.dataParallelRank,
      evidence: { configured: wanted, announced: blockSize },
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

function settleExact(publisher: Publisher, hashed: Hashed): void {
  publisher.hashed = hashed;
  publisher.mode = "exact";
  publisher.verified = true;
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
