/**
 * One decoded event of a publisher whose hashing is known → changes of the block index.
 *
 * In `exact` mode the engine's hash is the key; in `tokens` mode blocks get own keys (own-key-writer.ts).
 * @module
 */
import { type BlockIndex, ENGINE_TIER, type HolderLine, type Tiers } from "./block-index/index.js";
import { CacheTurnover } from "./cache-turnover.js";
import type { BlockRemoved, BlockStored, KvEvent } from "./events/index.js";
import type { KeyChain } from "./hash/index.js";
import type { KeyClass, KeyClasses, TokenClass } from "./key-classes.js";
import { OwnKeyWriter, type OwnKeyWriterOptions } from "./own-key-writer.js";
import type { Publisher } from "./publisher-state.js";
import { hasBareIdentifier, type Lanes } from "./stored-extra-keys.js";

/** Attention kinds whose groups decide a prefix together: each must hold every block. An unnamed kind is full attention. */
const FULL_ATTENTION = new Set(["full_attention", "mla_attention", "sink_full_attention"]);

/** Tokens of a block at most: larger ones are no prefix cache's, and hashing one would hold the event loop. */
const MAX_BLOCK_TOKENS = 65_536;
/** Groups that a bit mask has room for. */
const MAX_GROUPS = 32;

export interface EventWriterOptions extends Omit<OwnKeyWriterOptions, "chainOf"> {
  readonly classes: KeyClasses;
}

export class EventWriter {
  readonly #index: BlockIndex;
  readonly #tiers: Tiers;
  readonly #classes: KeyClasses;
  readonly #onSkip: EventWriterOptions["onSkip"];
  readonly #own: OwnKeyWriter;
  /** The last event's: finding its class takes a name of several parts. */
  #chain: KeyChain | undefined;
  readonly #turnover: CacheTurnover;

  constructor(options: EventWriterOptions) {
    this.#index = options.index;
    this.#tiers = options.tiers;
    this.#classes = options.classes;
    this.#onSkip = options.onSkip;
    this.#own = new OwnKeyWriter({
      ...options,
      chainOf: (publisher, blockSize) => this.#chainOf(publisher, blockSize),
    });
    this.#turnover = new CacheTurnover(options.index);
  }

  /** Apply one event; the publisher's mode must be settled. */
  apply(publisher: Publisher, event: KvEvent): void {
    if (event.type === "AllBlocksCleared") {
      publisher.clearEngineTier();
      return;
    }
    const tier = this.#tiers.of(event.medium);
    const group = event.groupIdx ?? 0;
    const line = publisher.knownLine(tier, group);
    this.#turnover.before(line);
    if (event.type === "BlockStored") this.#store(publisher, event, tier, group);
    else this.#remove(publisher, event, tier, group);
    this.#turnover.after(publisher, event, line ?? publisher.knownLine(tier, group));
  }

  /** See {@link OwnKeyWriter.adopt}. */
  adopt(publisher: Publisher, handle: Lanes, own: Lanes): void {
    this.#own.adopt(publisher, handle, own);
  }

  #store(publisher: Publisher, event: BlockStored, tier: number, group: number): void {
    if (group >= MAX_GROUPS) {
      this.#onSkip("group-out-of-range", publisher);
      return;
    }
    const blocks = event.blockKeys.length / 2;
    const hasTokens = event.tokenIds.length > 0;
    // Where tokens cover more than the blocks, the engine kept only some blocks of the range: a window or state group.
    const masked = hasTokens && event.tokenIds.length !== blocks * event.blockSize;
    // Own keys are chained by block size: a group of other blocks cannot be matched together with the first.
    const otherSize =
      publisher.mode === "tokens" &&
      publisher.blockSizeSeen &&
      hasTokens &&
      group !== publisher.blockSizeGroup &&
      event.blockSize !== publisher.blockSize;
    if (
      masked ||
      otherSize ||
      event.blockSize > MAX_BLOCK_TOKENS ||
      (event.kvCacheSpecKind !== null && !FULL_ATTENTION.has(event.kvCacheSpecKind))
    ) {
      publisher.otherGroups |= 1 << group;
      if (tier === 0) publisher.residency.announcedElsewhere(blocks);
      this.#onSkip("window-group", publisher);
      return;
    }
    const line = publisher.line(tier, group);
    if (line === undefined) {
      this.#lose(publisher);
      return;
    }
    if (this.#tiers.names[tier] === ENGINE_TIER) publisher.groups |= 1 << group;
    else publisher.offloadGroups |= 1 << group;
    if (hasTokens) this.#learn(publisher, event);
    if (publisher.mode === "exact") this.#storeExact(publisher, event, line);
    else this.#own.store(publisher, event, line);
  }

  #storeExact(publisher: Publisher, event: BlockStored, line: HolderLine): void {
    // Before the child: at the memory limit the coldest go, and the parent is the more useful of the two.
    if (event.parentKey !== null && publisher.implyAncestors && this.#tiers.names[line.tier] === ENGINE_TIER)
      this.#index.imply(line, event.parentKey[0], event.parentKey[1]);
    publisher.residency.add(line, event.blockKeys);
  }

  #remove(publisher: Publisher, event: BlockRemoved, tier: number, group: number): void {
    if (group >= MAX_GROUPS) {
      this.#onSkip("group-out-of-range", publisher);
      return;
    }
    if (publisher.otherGroups & (1 << group) && publisher.knownLine(tier, group) === undefined) {
      this.#onSkip("window-group", publisher);
      return;
    }
    const line = publisher.line(tier, group);
    if (line === undefined) {
      this.#lose(publisher);
      return;
    }
    if (publisher.mode === "exact") {
      publisher.residency.evict(line, event.blockKeys, event.remainingCopies);
      return;
    }
    this.#own.remove(publisher, event, line);
  }

  /** There was no memory for what an event says. */
  #lose(publisher: Publisher): void {
    this.#onSkip("no-memory", publisher);
    publisher.markIncomplete();
  }

  /** Learn what an event with tokens shows of the engine: its block size, and how its extra keys are written. */
  #learn(publisher: Publisher, event: BlockStored): void {
    let changed = publisher.keyClass === undefined;
    if (publisher.blockSize === 0) {
      publisher.blockSize = event.blockSize;
      changed = true;
    }
    if (publisher.mode === "tokens" && !event.hasExtraKeysField && publisher.tellsExtraKeys) {
      publisher.tellsExtraKeys = false;
      changed = true;
    }
    if (
      publisher.mode === "tokens" &&
      event.loraId !== null &&
      event.loraName === null &&
      publisher.loraAs === "name"
    ) {
      publisher.loraAs = "id";
      changed = true;
    }
    // Engines wrote offsets only after they began to announce extra keys (vLLM PR 36708 after PR 33304).
    if (publisher.era === "offsets" && (!event.hasExtraKeysField || hasBareIdentifier(event))) {
      publisher.era = "identifiers";
      changed = true;
    }
    if (changed) publisher.keyClass = this.#classOf(publisher);
  }

  #classOf(publisher: Publisher): KeyClass {
    const { mode, hashed, blockSize, hashBlockSize, era, loraAs } = publisher;
    if (mode === "tokens" || hashed === undefined) return this.#tokenClass(publisher, blockSize);
    const finer = hashBlockSize > 0 && blockSize % hashBlockSize === 0 ? hashBlockSize : blockSize;
    return this.#classes.exact(hashed, blockSize, finer, era, loraAs);
  }

  /** Of own keys, whichever class they are of. */
  #chainOf(publisher: Publisher, blockSize: number): KeyChain {
    if (this.#chain?.blockSize !== blockSize) this.#chain = this.#tokenClass(publisher, blockSize).chain;
    return this.#chain;
  }

  #tokenClass(publisher: Publisher, blockSize: number): TokenClass {
    return this.#classes.tokens(blockSize, publisher.era, publisher.loraAs, publisher.tellsExtraKeys);
  }
}
