/**
 * One decoded event of a publisher whose hashing is known → changes of the block index.
 *
 * In `exact` mode the engine's hash is the key. In `tokens` mode it is an opaque handle: each stored block gets our own
 * key, chained from its parent's by its token ids and extra keys, and removals are translated by the handle.
 * @module
 */
import { type BlockIndex, ENGINE_TIER, type HolderLine, type Tiers } from "./block-index/index.js";
import type { BlockRemoved, BlockStored, KvEvent } from "./events/index.js";
import type { KeyClass, KeyClasses } from "./key-classes.js";
import type { Publisher } from "./publisher-state.js";
import { extraKeysOf, hasBareIdentifier } from "./stored-extra-keys.js";

/** Attention kinds whose groups decide a prefix together: each must hold every block. An unnamed kind is full attention. */
const FULL_ATTENTION = new Set(["full_attention", "mla_attention", "sink_full_attention"]);

/** Groups that a bit mask has room for. */
const MAX_GROUPS = 32;

/** Why a well-formed event changed nothing, or less than it says. */
export type StoreSkip =
  | "window-group" // a sliding-window or state group, or one of other blocks: the match becomes an upper bound
  | "unknown-handle" // tokens mode: a store or removal names blocks whose tokens were never announced
  | "parked" // tokens mode: waits for its parent
  | "parked-dropped" // tokens mode: gave up waiting, the bound was reached
  | "ambiguous" // tokens mode on older wires: two engine hashes for equal tokens
  | "no-memory" // no room for a handle, or for the publisher's tier and group, or it has too many of them
  | "group-out-of-range";

export interface EventWriterOptions {
  readonly index: BlockIndex;
  readonly tiers: Tiers;
  readonly classes: KeyClasses;
  readonly onSkip: (reason: StoreSkip, publisher: Publisher) => void;
}

export class EventWriter {
  readonly #index: BlockIndex;
  readonly #tiers: Tiers;
  readonly #classes: KeyClasses;
  readonly #onSkip: (reason: StoreSkip, publisher: Publisher) => void;

  constructor(options: EventWriterOptions) {
    this.#index = options.index;
    this.#tiers = options.tiers;
    this.#classes = options.classes;
    this.#onSkip = options.onSkip;
  }

  /** Apply one event; the publisher's mode must be settled. */
  apply(publisher: Publisher, event: KvEvent): void {
    switch (event.type) {
      case "BlockStored":
        this.#store(publisher, event);
        break;
      case "BlockRemoved":
        this.#remove(publisher, event);
        break;
      case "AllBlocksCleared":
        publisher.clearEngineTier();
    }
  }

  #store(publisher: Publisher, event: BlockStored): void {
    const group = event.groupIdx ?? 0;
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
      (event.kvCacheSpecKind !== null && !FULL_ATTENTION.has(event.kvCacheSpecKind))
    ) {
      publisher.otherGroups |= 1 << group;
      this.#onSkip("window-group", publisher);
      return;
    }
    const tier = this.#tiers.of(event.medium);
    const line = publisher.line(tier, group);
    if (line === undefined) {
      this.#lose(publisher);
      return;
    }
    if (this.#tiers.names[tier] === ENGINE_TIER) publisher.groups |= 1 << group;
    else publisher.offloadGroups |= 1 << group;
    if (hasTokens) this.#learn(publisher, event);
    if (publisher.mode === "exact") this.#storeExact(publisher, event, line);
    else if (hasTokens) this.#storeTokens(publisher, event, line, blocks);
    else this.#storeByHandle(publisher, event, line);
  }

  #storeExact(publisher: Publisher, event: BlockStored, line: HolderLine): void {
    // Before the child: at the memory limit the coldest go, and the parent is the more useful of the two.
    if (event.parentKey !== null && publisher.implyAncestors && this.#tiers.names[line.tier] === ENGINE_TIER)
      this.#index.imply(line, event.parentKey[0], event.parentKey[1]);
    this.#index.add(line, event.blockKeys);
  }

  /** Store under own keys, and then what waited for these blocks, and what waited for those. */
  #storeTokens(publisher: Publisher, event: BlockStored, line: HolderLine, blocks: number): void {
    const work = [{ store: event, blocks, line }];
    for (let next = work.pop(); next !== undefined; next = work.pop()) {
      if (!this.#storeChain(publisher, next.store, next.line, next.blocks)) continue;
      if (publisher.parked.size === 0) continue;
      const keys = next.store.blockKeys;
      for (let i = 0; i < 2 * next.blocks; i += 2)
        for (const child of publisher.parked.take(keys[i]!, keys[i + 1]!)) {
          const { medium, groupIdx } = child.store;
          const line = publisher.line(this.#tiers.of(medium), groupIdx ?? 0);
          if (line === undefined) this.#lose(publisher);
          else work.push({ ...child, line });
        }
    }
  }

  /** Returns whether the store's blocks have own keys now. */
  #storeChain(publisher: Publisher, event: BlockStored, line: HolderLine, blocks: number): boolean {
    const { handles } = publisher;
    let parent: Uint8Array | undefined;
    if (event.parentKey !== null) {
      if (!handles.get(event.parentKey[0], event.parentKey[1])) {
        const before = publisher.parked.dropped;
        publisher.parked.park(event.parentKey[0], event.parentKey[1], event);
        this.#onSkip(publisher.parked.dropped > before ? "parked-dropped" : "parked", publisher);
        return false;
      }
      parent = bytesOf(handles.ownHi, handles.ownLo);
    }
    if (blocks === 0) return true;
    const { chain } = this.#tokenClass(publisher, event.blockSize);
    const tokens = event.tokenIds.subarray(0, blocks * event.blockSize);
    const own = chain.toKeys(chain.hashTokens(tokens, { parent, extraKeys: extraKeysOf(event, blocks) }));
    const residents = this.#index.slots.residents(line);
    for (let block = 0; block < blocks; block++) {
      const hi = event.blockKeys[2 * block]!;
      const lo = event.blockKeys[2 * block + 1]!;
      const ownHi = own[2 * block]!;
      const ownLo = own[2 * block + 1]!;
      if (!handles.set(hi, lo, ownHi, ownLo, residents)) {
        this.#lose(publisher);
        return false;
      }
      if (!event.hasExtraKeysField && this.#isAmbiguous(publisher, hi, lo, ownHi, ownLo, residents))
        this.#onSkip("ambiguous", publisher);
      else this.#index.add(line, own, block, block + 1);
    }
    return true;
  }

  /** A store without tokens says where known blocks are now: offload tiers of some versions send these. */
  #storeByHandle(publisher: Publisher, event: BlockStored, line: HolderLine): void {
    const own = new Uint32Array(2);
    for (let i = 0; i < event.blockKeys.length; i += 2) {
      if (!publisher.handles.get(event.blockKeys[i]!, event.blockKeys[i + 1]!)) {
        this.#onSkip("unknown-handle", publisher);
        publisher.markIncomplete();
        continue;
      }
      own[0] = publisher.handles.ownHi;
      own[1] = publisher.handles.ownLo;
      if (publisher.ambiguous.has(own[0], own[1])) this.#onSkip("ambiguous", publisher);
      else this.#index.add(line, own);
    }
  }

  #remove(publisher: Publisher, event: BlockRemoved): void {
    const group = event.groupIdx ?? 0;
    if (group >= MAX_GROUPS) {
      this.#onSkip("group-out-of-range", publisher);
      return;
    }
    const tier = this.#tiers.of(event.medium);
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
      this.#index.evict(line, event.blockKeys);
      return;
    }
    const own = new Uint32Array(2);
    for (let i = 0; i < event.blockKeys.length; i += 2) {
      const hi = event.blockKeys[i]!;
      const lo = event.blockKeys[i + 1]!;
      const known = publisher.handles.get(hi, lo);
      own[0] = publisher.handles.ownHi;
      own[1] = publisher.handles.ownLo;
      // A handle outlives its block: what is removed may be a later copy that is still parked.
      if (!(known && this.#index.holds(line, own[0], own[1])) && publisher.parked.removed(hi, lo)) continue;
      if (known) this.#index.evict(line, own);
      else this.#onSkip("unknown-handle", publisher);
    }
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
    if (publisher.mode === "tokens" || publisher.hashed === undefined)
      return this.#tokenClass(publisher, publisher.blockSize);
    const { hashed, blockSize, era, loraAs } = publisher;
    const { hashBlockSize } = publisher;
    const finer = hashBlockSize > 0 && blockSize % hashBlockSize === 0 ? hashBlockSize : blockSize;
    return this.#classes.exact(hashed, blockSize, finer, era, loraAs);
  }

  #tokenClass(publisher: Publisher, blockSize: number): KeyClass {
    return this.#classes.tokens(blockSize, publisher.era, publisher.loraAs, publisher.tellsExtraKeys);
  }

  /**
   * Whether an own key stands for two of the publisher's blocks: on wires without extra keys, salted and plain blocks of
   * equal tokens look alike. Then neither is credited, until the engine's tier is cleared.
   */
  #isAmbiguous(
    publisher: Publisher,
    hi: number,
    lo: number,
    ownHi: number,
    ownLo: number,
    residents: number,
  ): boolean {
    const { ambiguous, reached } = publisher;
    if (ambiguous.has(ownHi, ownLo)) return true;
    const other = reached.get(ownHi, ownLo) && (reached.ownHi !== hi || reached.ownLo !== lo);
    // Where the handle cannot be remembered, another one for the same tokens would not be seen.
    if (!other || !publisher.holdsAnywhere(ownHi, ownLo))
      return !reached.set(ownHi, ownLo, hi, lo, residents);
    ambiguous.add(ownHi, ownLo);
    publisher.forget(ownHi, ownLo);
    return true;
  }
}

function bytesOf(hi: number, lo: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, hi);
  view.setUint32(4, lo);
  return bytes;
}
