/**
 * Events of a publisher in `tokens` mode → changes of the block index: each stored block gets our own key, chained from
 * its parent's by its token ids and extra keys, and removals are translated by the engine's hash, the handle.
 *
 * The keys of an event are hashed in one go and change the index in one go, as long as no block of it is special.
 * @module
 */
import { isAmbiguous } from "./ambiguous-blocks.js";
import { type BlockIndex, ENGINE_TIER, type HolderLine, type Tiers } from "./block-index/index.js";
import type { BlockRemoved, BlockStored } from "./events/index.js";
import type { KeyChain } from "./hash/index.js";
import type { Publisher } from "./publisher-state.js";
import { extraKeysOf, type Lanes } from "./stored-extra-keys.js";

/** Why a well-formed event changed nothing, or less than it says. */
export type StoreSkip =
  | "window-group" // a sliding-window or state group, or one of other blocks: the match becomes an upper bound
  | "unknown-handle" // tokens mode: a store or removal names blocks whose tokens were never announced
  | "parked" // tokens mode: waits for its parent
  | "parked-dropped" // tokens mode: gave up waiting, the bound was reached
  | "ambiguous" // tokens mode on older wires: two engine hashes for equal tokens
  | "no-memory" // no room for a handle, or for the publisher's tier and group, or it has too many of them
  | "group-out-of-range";

export interface OwnKeyWriterOptions {
  readonly index: BlockIndex;
  readonly tiers: Tiers;
  readonly chainOf: (publisher: Publisher, blockSize: number) => KeyChain;
  readonly onSkip: (reason: StoreSkip, publisher: Publisher) => void;
  /** A store was parked. Returns whether it was placed all the same, by {@link OwnKeyWriter.adopt}. */
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

/** Keys of longer events are not kept in one array from event to event. */
const KEPT_WORDS = 4096;

export class OwnKeyWriter {
  readonly #options: OwnKeyWriterOptions;
  /** Room for an event's own keys; undefined while one has it, since a host that is told of something may apply others. */
  #kept: Uint32Array | undefined;
  /** The last event's parent. */
  readonly #parent: [hi: number, lo: number] = [0, 0];

  constructor(options: OwnKeyWriterOptions) {
    this.#options = options;
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

  store(publisher: Publisher, event: BlockStored, line: HolderLine): void {
    const blocks = event.blockKeys.length / 2;
    if (event.tokenIds.length === 0) this.#storeByHandle(publisher, event, line);
    else if (this.#storeChain(publisher, event, line, blocks) && publisher.parked.size > 0)
      this.#place(publisher, this.#waitingFor(publisher, event.blockKeys, blocks));
  }

  remove(publisher: Publisher, event: BlockRemoved, line: HolderLine): void {
    const { index } = this.#options;
    const { handles } = publisher;
    const { blockKeys, remainingCopies } = event;
    const blocks = blockKeys.length / 2;
    const own = this.#take(blocks);
    const { evictions } = index.counts;
    if (publisher.parked.size > 0) this.#removeWithParked(publisher, event, line, own);
    // Known blocks are taken from the index in runs, as long as no other stands between them.
    else {
      if (blocks > 1) handles.readAhead(blockKeys, 0, blocks);
      for (let from = 0; from < blocks; ) {
        const to = handles.getAll(blockKeys, own, from, blocks);
        if (from < to) publisher.residency.evict(line, own, remainingCopies, from, to);
        if (to < blocks) this.#noteUnknown(publisher);
        from = to + 1;
      }
    }
    this.#forget(publisher, blockKeys, own, index.counts.evictions - evictions === blocks);
    this.#giveBack(own);
  }

  /** A handle outlives its block: what is removed may be a later copy that is still parked. */
  #removeWithParked(publisher: Publisher, event: BlockRemoved, line: HolderLine, own: Uint32Array): void {
    const { index } = this.#options;
    const { handles, parked, residency } = publisher;
    const { blockKeys, remainingCopies } = event;
    for (let block = 0; block < blockKeys.length / 2; block++) {
      const known = handles.getAll(blockKeys, own, block, block + 1) > block;
      const isHeld = known && index.holds(line, own[2 * block]!, own[2 * block + 1]!);
      if (!isHeld && parked.removed(blockKeys[2 * block]!, blockKeys[2 * block + 1]!)) continue;
      if (known) residency.evict(line, own, remainingCopies, block, block + 1);
      else this.#noteUnknown(publisher);
    }
  }

  #noteUnknown(publisher: Publisher): void {
    this.#options.index.counts.unknownRemovals++;
    this.#options.onSkip("unknown-handle", publisher);
  }

  /** Blocks were removed: the handles of those that are gone may go. */
  #forget(publisher: Publisher, blockKeys: Uint32Array, own: Uint32Array, all: boolean): void {
    if (all && publisher.lineCount === 1) {
      publisher.handles.removedAll(blockKeys);
      return;
    }
    for (let i = 0; i < blockKeys.length; i += 2)
      if (!publisher.holdsAnywhere(own[i]!, own[i + 1]!))
        publisher.handles.removed(blockKeys[i]!, blockKeys[i + 1]!);
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
        const line = publisher.line(this.#options.tiers.of(medium), groupIdx ?? 0);
        if (line === undefined) this.#lose(publisher);
        else waiting.push({ ...child, line });
      }
    return waiting;
  }

  /** Returns whether the store's blocks have own keys now. */
  #storeChain(publisher: Publisher, event: BlockStored, line: HolderLine, blocks: number): boolean {
    const { index, tiers, onPlaced, chainOf } = this.#options;
    const { handles } = publisher;
    const { blockKeys, parentKey } = event;
    let parent: [number, number] | null = null;
    if (parentKey !== null) {
      if (!handles.get(parentKey[0], parentKey[1])) {
        this.#park(publisher, event, parentKey);
        return false;
      }
      // With none of its blocks left it proves nothing of its parent.
      if (blocks === 0) return true;
      parent = this.#parent;
      parent[0] = handles.ownHi;
      parent[1] = handles.ownLo;
      if (publisher.impliesParents && tiers.names[line.tier] === ENGINE_TIER)
        index.imply(line, handles.ownHi, handles.ownLo);
    }
    const own = this.#take(blocks);
    const chain = chainOf(publisher, event.blockSize);
    chain.hashKeys(event.tokenIds, blocks, parent, own, extraKeysOf(event, blocks));
    onPlaced(publisher, event);
    const residents = index.slots.residents(line);
    const kept = handles.setAll(blockKeys, own, blocks, residents);
    if (event.hasExtraKeysField) publisher.residency.add(line, own, 0, kept);
    else this.#addUnambiguous(publisher, blockKeys, own, kept, line);
    if (kept < blocks) {
      this.#lose(publisher);
      return false;
    }
    this.#giveBack(own);
    return true;
  }

  /** Add blocks of a wire without extra keys. Of two equal ones in one event the second must find the first. */
  #addUnambiguous(
    publisher: Publisher,
    handles: Uint32Array,
    own: Uint32Array,
    blocks: number,
    line: HolderLine,
  ): void {
    const residents = this.#options.index.slots.residents(line);
    for (let block = 0; block < blocks; block++) {
      const [hi, lo] = [handles[2 * block]!, handles[2 * block + 1]!];
      if (isAmbiguous(publisher, hi, lo, own[2 * block]!, own[2 * block + 1]!, residents))
        this.#options.onSkip("ambiguous", publisher);
      else publisher.residency.add(line, own, block, block + 1);
    }
  }

  #park(publisher: Publisher, event: BlockStored, [hi, lo]: Lanes): void {
    const { onParked, onSkip } = this.#options;
    const before = publisher.parked.dropped;
    // What it was decoded into is used again for the next frame.
    const store: BlockStored = {
      ...event,
      blockKeys: event.blockKeys.slice(),
      parentKey: [hi, lo],
      tokenIds: event.tokenIds.slice(),
    };
    publisher.parked.park(hi, lo, store);
    if (!onParked(publisher, store))
      onSkip(publisher.parked.dropped > before ? "parked-dropped" : "parked", publisher);
  }

  /** A store without tokens says where known blocks are now: offload tiers of some versions send these. */
  #storeByHandle(publisher: Publisher, event: BlockStored, line: HolderLine): void {
    const { onSkip } = this.#options;
    const { handles } = publisher;
    const own = this.#take(1);
    for (let i = 0; i < event.blockKeys.length; i += 2) {
      if (!handles.get(event.blockKeys[i]!, event.blockKeys[i + 1]!)) {
        onSkip("unknown-handle", publisher);
        publisher.markIncomplete();
        continue;
      }
      own[0] = handles.ownHi;
      own[1] = handles.ownLo;
      if (publisher.ambiguous.has(own[0], own[1])) onSkip("ambiguous", publisher);
      else publisher.residency.add(line, own, 0, 1);
    }
    this.#giveBack(own);
  }

  #take(blocks: number): Uint32Array {
    if (2 * blocks > KEPT_WORDS) return new Uint32Array(2 * blocks);
    const own = this.#kept ?? new Uint32Array(KEPT_WORDS);
    this.#kept = undefined;
    return own;
  }

  #giveBack(own: Uint32Array): void {
    if (own.length === KEPT_WORDS) this.#kept = own;
  }

  /** There was no memory for what an event says. */
  #lose(publisher: Publisher): void {
    this.#options.onSkip("no-memory", publisher);
    publisher.markIncomplete();
  }
}
