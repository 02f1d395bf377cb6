/**
 * One decoded event of a publisher whose hashing is known → changes of the block index.
 *
 * In `exact` mode the engine's hash is the key. In `tokens` mode it is an opaque handle: each stored block gets our own
 * key, chained from its parent's by its token ids and extra keys, and removals are translated by the handle.
 * @module
 */
import { isAmbiguous } from "./ambiguous-blocks.js";
import { type BlockIndex, ENGINE_TIER, type HolderLine, type Tiers } from "./block-index/index.js";
import { CacheTurnover } from "./cache-turnover.js";
import type { BlockRemoved, BlockStored, KvEvent } from "./events/index.js";
import type { KeyClass, KeyClasses } from "./key-classes.js";
import type { Publisher } from "./publisher-state.js";
import { extraKeysOf, hasBareIdentifier, type Lanes, ownDigest } from "./stored-extra-keys.js";

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
  /** A store was parked. Returns whether it was placed all the same, by {@link EventWriter.adopt}. */
  readonly onParked: (publisher: Publisher, store: BlockStored) => boolean;
  /** A store's place is known. */
  readonly onPlaced: (publisher: Publisher, store: BlockStored) => void;
}

/** A store with known place: its line, and the number of its blocks that are there. */
interface Placed {
  readonly store: BlockStored;
  readonly line: HolderLine;
  readonly blocks: number;
}

export class EventWriter {
  readonly #index: BlockIndex;
  readonly #tiers: Tiers;
  readonly #classes: KeyClasses;
  readonly #onSkip: EventWriterOptions["onSkip"];
  readonly #onParked: EventWriterOptions["onParked"];
  readonly #onPlaced: EventWriterOptions["onPlaced"];
  readonly #turnover: CacheTurnover;

  constructor(options: EventWriterOptions) {
    this.#index = options.index;
    this.#tiers = options.tiers;
    this.#classes = options.classes;
    this.#onSkip = options.onSkip;
    this.#onParked = options.onParked;
    this.#onPlaced = options.onPlaced;
    this.#turnover = new CacheTurnover(options.index, options.tiers);
  }

  /** Apply one event; the publisher's mode must be settled. */
  apply(publisher: Publisher, event: KvEvent): void {
    if (event.type === "AllBlocksCleared") {
      publisher.clearEngineTier();
      return;
    }
    this.#turnover.before(publisher, event);
    if (event.type === "BlockStored") this.#store(publisher, event);
    else this.#remove(publisher, event);
    this.#turnover.after(publisher, event);
  }

  /** What own key a handle stands for has come out, though it was never announced: place what waits for it. */
  adopt(publisher: Publisher, handle: Lanes, own: Lanes): void {
    if (!publisher.handles.set(...handle, ...own, publisher.residents)) {
      this.#lose(publisher);
      return;
    }
    publisher.markIncomplete(); // so it is already; from now on removals leave marks
    this.#place(publisher, this.#waitingFor(publisher, handle));
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
      if (this.#tiers.of(event.medium) === 0) publisher.residency.announcedElsewhere(blocks);
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
    else if (hasTokens) this.#place(publisher, [{ store: event, line, blocks }]);
    else this.#storeByHandle(publisher, event, line);
  }

  #storeExact(publisher: Publisher, event: BlockStored, line: HolderLine): void {
    // Before the child: at the memory limit the coldest go, and the parent is the more useful of the two.
    if (event.parentKey !== null && publisher.implyAncestors && this.#tiers.names[line.tier] === ENGINE_TIER)
      this.#index.imply(line, event.parentKey[0], event.parentKey[1]);
    publisher.residency.add(line, event.blockKeys);
  }

  /** Store under own keys, and then what waited for these blocks, and what waited for those. */
  #place(publisher: Publisher, work: Placed[]): void {
    for (let next = work.pop(); next !== undefined; next = work.pop())
      if (this.#storeChain(publisher, next.store, next.line, next.blocks))
        work.push(...this.#waitingFor(publisher, next.store.blockKeys, next.blocks));
  }

  /** Parked stores under some handles: they are parked no more. */
  #waitingFor(publisher: Publisher, handles: ArrayLike<number>, blocks = 1): Placed[] {
    const waiting: Placed[] = [];
    if (publisher.parked.size === 0) return waiting;
    for (let i = 0; i < 2 * blocks; i += 2)
      for (const child of publisher.parked.take(handles[i]!, handles[i + 1]!)) {
        const { medium, groupIdx } = child.store;
        const line = publisher.line(this.#tiers.of(medium), groupIdx ?? 0);
        if (line === undefined) this.#lose(publisher);
        else waiting.push({ ...child, line });
      }
    return waiting;
  }

  /** Returns whether the store's blocks have own keys now. */
  #storeChain(publisher: Publisher, event: BlockStored, line: HolderLine, blocks: number): boolean {
    const { handles } = publisher;
    let parent: Uint8Array | undefined;
    if (event.parentKey !== null) {
      if (!handles.get(event.parentKey[0], event.parentKey[1])) {
        const before = publisher.parked.dropped;
        publisher.parked.park(event.parentKey[0], event.parentKey[1], event);
        if (!this.#onParked(publisher, event))
          this.#onSkip(publisher.parked.dropped > before ? "parked-dropped" : "parked", publisher);
        return false;
      }
      // With none of its blocks left it proves nothing of its parent.
      if (blocks === 0) return true;
      parent = ownDigest(handles.ownHi, handles.ownLo);
      if (publisher.impliesParents && this.#tiers.names[line.tier] === ENGINE_TIER)
        this.#index.imply(line, handles.ownHi, handles.ownLo);
    }
    const { chain } = this.#tokenClass(publisher, event.blockSize);
    const tokens = event.tokenIds.subarray(0, blocks * event.blockSize);
    const own = chain.toKeys(chain.hashTokens(tokens, { parent, extraKeys: extraKeysOf(event, blocks) }));
    this.#onPlaced(publisher, event);
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
      if (!event.hasExtraKeysField && isAmbiguous(publisher, hi, lo, ownHi, ownLo, residents))
        this.#onSkip("ambiguous", publisher);
      else publisher.residency.add(line, own, block, block + 1);
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
      else publisher.residency.add(line, own);
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
      publisher.residency.evict(line, event.blockKeys, event.remainingCopies);
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
      const left = event.remainingCopies?.subarray(i / 2, i / 2 + 1) ?? null;
      if (known) publisher.residency.evict(line, own, left);
      else {
        this.#index.counts.unknownRemovals++;
        this.#onSkip("unknown-handle", publisher);
      }
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
}
