/**
 * Settles each publisher's hashing and block size from what it announces, and speaks up where it is not as configured.
 * @module
 */
import type { Diagnostics } from "./diagnostics.js";
import type { BlockStored, KvEvent } from "./events/index.js";
import { ExactCheck } from "./exact-check.js";
import { hashBlockSizes, isPlain, isTellingRoot, isWhole, MAX_PROBED_TOKENS, Probers } from "./identity.js";
import type { Hashed, KeyClasses } from "./key-classes.js";
import type { Models } from "./models.js";
import type { Publisher } from "./publisher-state.js";

/** Plain roots that nothing reproduces, before `tokens` mode is settled. */
const ROOTS_TO_SETTLE = 3;
/** Roots tried of one frame, and their tokens: trying costs some forty hashes of each, a few milliseconds in all. */
const PROBES_PER_FRAME = 8;
/** Blocks of one frame that are noted, for prompts to be held against. */
const NOTED_PER_FRAME = 8192;
/** With at least one such root, frames held before it is settled all the same: all prompts may share their first block. */
const FRAMES_TO_SETTLE = 32;
/** Frames and bytes held at most; then `tokens` mode is settled without evidence. */
const MAX_HELD_FRAMES = 4096;
const MAX_HELD_BYTES = 8 * 2 ** 20;
/** Blocks, and tokens, of a scored prompt that are tried on a publisher whose roots were announced before we came. */
const PROMPT_BLOCKS = 128;
const PROMPT_TOKENS = 4096;
/** Tokens hashed for that in one lookup, about; the next one goes on with the next algorithm and seed. */
const PROMPT_HASHED = 8192;
/** Single smaller blocks, which may be a hybrid model's partial ones, before they are taken for the block size. */
const SMALLER_TO_SETTLE = 8;

export interface IdentityFinderOptions {
  readonly classes: KeyClasses;
  readonly models: Models;
  readonly diagnostics: Diagnostics;
}

export class IdentityFinder {
  /** Publishers whose mode is not settled. */
  readonly undecided: Set<Publisher> = new Set();
  readonly #options: IdentityFinderOptions;
  readonly #probers: Probers;
  /** Looks after publishers in exact mode. */
  readonly exact: ExactCheck;

  constructor(options: IdentityFinderOptions) {
    this.#options = options;
    this.#probers = new Probers(options.classes);
    this.exact = new ExactCheck({ ...options, probers: this.#probers });
  }

  /**
   * Look for evidence in the newest frame that an undecided publisher holds.
   * @param hasMemory - whether there was memory to hold it; without, the mode is settled now
   */
  consider(publisher: Publisher, events: readonly KvEvent[], hasMemory: boolean): void {
    this.undecided.add(publisher);
    let probes = 0;
    let tokens = 0;
    let noted = 0;
    for (const event of events) {
      if (event.type !== "BlockStored") continue;
      if (noted < NOTED_PER_FRAME) noted += publisher.announced.add(event, NOTED_PER_FRAME - noted);
      if (probes === PROBES_PER_FRAME || !this.#isWorthProbing(publisher, event)) continue;
      tokens += event.blockSize * hashBlockSizes(event).length;
      if (probes > 0 && tokens > MAX_PROBED_TOKENS) continue;
      probes++;
      this.#probe(publisher, event);
      if (publisher.mode !== "undecided") return;
      if (publisher.failedRoots.size >= ROOTS_TO_SETTLE) break;
    }
    const { held, failedRoots, unprovenRoots } = publisher;
    const enough =
      !hasMemory ||
      held.bytes > MAX_HELD_BYTES ||
      held.size >= MAX_HELD_FRAMES ||
      failedRoots.size >= ROOTS_TO_SETTLE ||
      (failedRoots.size + unprovenRoots > 0 && held.size >= FRAMES_TO_SETTLE);
    if (enough) this.#settleTokens(publisher);
  }

  /** Check a store of a settled publisher against what is configured. */
  observe(publisher: Publisher, event: BlockStored): void {
    if (event.blockSize !== publisher.blockSize || !publisher.blockSizeSeen)
      this.#learnBlockSize(publisher, event);
    if (publisher.mode === "exact") this.exact.observe(publisher, event);
  }

  /**
   * A prompt was scored: if its keys under a candidate are among what an undecided publisher of the model announced,
   * that settles it. Returns the publishers that are settled now.
   */
  offerPrompt(model: string, tokens: Uint32Array): Publisher[] {
    const settled: Publisher[] = [];
    let budget = PROMPT_HASHED;
    for (const publisher of [...this.undecided]) {
      if (budget <= 0) break;
      const { announced } = publisher;
      if (publisher.model !== model || announced.blockSize === 0) continue;
      const most = Math.floor(Math.min(tokens.length, PROMPT_TOKENS) / announced.blockSize);
      const blocks = Math.min(PROMPT_BLOCKS, most);
      if (blocks === 0) continue;
      const head = tokens.subarray(0, blocks * announced.blockSize);
      const prober = this.#probers.of(publisher.settings);
      let found: Publisher["hashed"];
      for (let tries = 0; tries < prober.size && budget > 0 && found === undefined; tries++) {
        budget -= head.length;
        const candidate = publisher.nextCandidate++ % prober.size;
        found = prober.probePrompt(candidate, head, announced.blockSize, (hi, lo) => announced.has(hi, lo));
      }
      // To the end of the line, so that no publisher waits for ever behind the others.
      this.undecided.delete(publisher);
      if (found === undefined) this.undecided.add(publisher);
      else {
        this.#settleExact(publisher, found);
        settled.push(publisher);
      }
    }
    return settled;
  }

  #isWorthProbing(publisher: Publisher, event: BlockStored): boolean {
    return (
      isTellingRoot(event) &&
      event.blockSize <= MAX_PROBED_TOKENS &&
      !publisher.failedRoots.has(event.blockKeys[1]!)
    );
  }

  #probe(publisher: Publisher, event: BlockStored): void {
    const { settings, failedRoots } = publisher;
    const finer = failedRoots.size === 0;
    const found = this.#probers.of(settings).probe(event, settings.loras, finer);
    if (found === undefined) {
      if (isPlain(event)) failedRoots.add(event.blockKeys[1]!);
      else publisher.unprovenRoots++;
      return;
    }
    publisher.learnHashBlockSize(found.hashBlockSize);
    this.#settleExact(publisher, found);
  }

  #settleExact(publisher: Publisher, hashed: Hashed): void {
    publisher.hashed = hashed;
    publisher.mode = "exact";
    publisher.verified = true;
    this.#settled(publisher);
  }

  #settled(publisher: Publisher): void {
    this.undecided.delete(publisher);
    publisher.announced.clear();
  }

  #settleTokens(publisher: Publisher): void {
    publisher.mode = "tokens";
    this.#settled(publisher);
    const { model, pod, dataParallelRank } = publisher;
    this.#options.diagnostics.raise({
      code: "hash-not-reproduced",
      severity: "info",
      message: `${publisher.pod}: ${publisher.failedRoots.size} first blocks were reproduced by no known algorithm and seed; its blocks are keyed by their tokens instead.`,
      fix: "Nothing is wrong, but a router that joins late sees more with a known seed: set PYTHONHASHSEED and --prefix-caching-hash-algo sha256_cbor on the engine.",
      model,
      pod,
      dataParallelRank,
      evidence: {
        rootsNotReproduced: publisher.failedRoots.size,
        fallback: "tokens",
        tried: this.#probers.of(publisher.settings).tried,
      },
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
    const group = event.groupIdx ?? 0;
    const known = publisher.blockSizeSeen ? publisher.blockSize : wanted;
    if (known !== 0 && blockSize !== known) {
      const maybePartial = event.blockKeys.length === 2 && known % blockSize === 0;
      if (maybePartial && (publisher.blockSizeSeen || ++publisher.smallerBlocks < SMALLER_TO_SETTLE)) return;
      if (publisher.blockSizeSeen && blockSize % known !== 0) return;
      // Groups may have blocks of different sizes. Under the engine's own hashes they are matched together, at the
      // larger size; own keys are chained by size, so the first group's stays.
      if (publisher.blockSizeSeen && publisher.mode === "tokens" && publisher.blockSizeGroup !== group)
        return;
    }
    publisher.blockSizeSeen = true;
    publisher.blockSizeGroup = group;
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
}
