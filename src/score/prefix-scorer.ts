/**
 * Longest usable prefix per publisher, in one walk over a prompt's blocks.
 *
 * A publisher's match is its run of blocks from block 0 without a hole. A block counts when every full-attention-like
 * group of the publisher holds it, in whichever tier; it is worth what its best tier is. The scorer is driven by a block
 * index's lookup: the holders of block 0, of block 1, …, or how many have the same as the one before.
 *
 * Ancestors of a held block are held: the engine stores a child only under a resident parent and frees tails first. A
 * publisher whose history is incomplete may therefore hold blocks that were announced before the router came. Its run
 * passes over blocks never heard of; they count as implied once a later one is held. A removal that was seen ends it.
 * @module
 */

import {
  BLOCKS,
  IMPLIED_BLOCKS,
  LAST_IMPLIED,
  LAST_SUSPECT,
  LAST_TIER,
  Matches,
  SUSPECT_BLOCKS,
  TIERS,
} from "./matches.js";

/** What the scorer reads of the block index's slots, each by slot number. The arrays may be replaced between calls. */
export interface SlotTables {
  readonly owner: Int32Array;
  readonly tier: Uint8Array;
  readonly group: Uint8Array;
  /** 0 held, 1 implied, 2 removal seen; from 4 on, what the slot holds does not count. */
  readonly role: Uint8Array;
  /** 1 if entries of the slot may have been removed by a lost frame. */
  readonly suspect: Uint8Array;
}

/** One publisher to be scored. */
export interface Candidate {
  /** Its number as the slots' owner. */
  readonly owner: number;
  /** Attention groups, as bits, that all must hold a block. */
  readonly groups: number;
  /** Its history is incomplete and its keys are the engine's own: pass over blocks never heard of. */
  readonly implyAncestors: boolean;
}

const COUNT_BITS = 12;
const IMPLIED = 1;
const REMOVED = 2;
const DOUBTED = 4;
const ENGINE_TIER = 0;
/** In `#next`: the run is open at every block. */
const OPEN = -1;
/** In `#next`: the run has ended. */
const ENDED = -2;

/** Serves any number of lookups, one at a time. Allocates nothing per block. */
export class PrefixScorer {
  /** Position of an owner among the candidates, plus 1; 0 is none. By owner. */
  #position: Uint32Array = new Uint32Array(64);
  #weights: readonly number[] = [];
  #matches: Matches = new Matches(0, 0);
  /** By position: the owner, and the groups that all must hold a block. */
  #owners: Uint32Array = new Uint32Array(0);
  #wanted: Uint32Array = new Uint32Array(0);
  /** By position: the block that would extend the run, or {@link OPEN}, or {@link ENDED}. */
  #next: Int32Array = new Int32Array(0);
  /** By position, of the current block: groups that hold it, those announced, those sure, its best tier, whether removed. */
  #groups: Uint32Array = new Uint32Array(0);
  #announced: Uint32Array = new Uint32Array(0);
  #sure: Uint32Array = new Uint32Array(0);
  #tier: Uint8Array = new Uint8Array(0);
  #removed: Uint8Array = new Uint8Array(0);
  /** Positions that the current block's holders touched. */
  #touched: Uint32Array = new Uint32Array(0);
  #touchedCount = 0;
  /** Positions whose run the last block went on. */
  #extended: Uint32Array = new Uint32Array(0);
  #extendedCount = 0;
  #open = 0;
  readonly #slots: SlotTables;

  constructor(slots: SlotTables) {
    this.#slots = slots;
  }

  /**
   * Begin a lookup.
   * @param candidates - who is scored
   * @param weights - worth of a block by tier number
   * @returns the matches, in the candidates' order: zero now, filled by {@link block} and {@link again}
   */
  begin(candidates: readonly Candidate[], weights: readonly number[]): Matches {
    for (let p = 0; p < this.#matches.length; p++) this.#position[this.#owners[p]!] = 0;
    this.#weights = weights;
    this.#matches = new Matches(candidates.length, weights.length);
    this.#reserve(candidates);
    this.#touchedCount = this.#extendedCount = 0;
    const positions = this.#position;
    const owners = this.#owners;
    const groupsWanted = this.#wanted;
    const next = this.#next;
    let open = 0;
    for (let p = 0; p < candidates.length; p++) {
      const { owner, groups, implyAncestors } = candidates[p]!;
      positions[owner] = p + 1;
      owners[p] = owner;
      groupsWanted[p] = groups;
      next[p] = implyAncestors ? OPEN : 0;
      if (implyAncestors) open++;
    }
    this.#open = open;
    return this.#matches;
  }

  /**
   * The holders of one block, as words `slot << 12 | count`.
   * @returns whether any candidate's run may go on
   */
  block(block: number, words: Uint32Array, from: number, to: number): boolean {
    const { owner, tier, group, role, suspect } = this.#slots;
    // Read once: a field that is read for each of a thousand holders is a third of the time.
    const positions = this.#position;
    const next = this.#next;
    const groups = this.#groups;
    const tiers = this.#tier;
    const announced = this.#announced;
    const sure = this.#sure;
    const removed = this.#removed;
    const touched = this.#touched;
    const weights = this.#weights;
    let count = this.#touchedCount;
    for (let i = from; i < to; i++) {
      const slot = words[i]! >>> COUNT_BITS;
      // Owners newer than the candidates lie past the end of the table: not a candidate either.
      const p = (positions[owner[slot]!] ?? 0) - 1;
      if (p < 0 || (next[p] !== block && next[p] !== OPEN)) continue;
      const kind = role[slot]!;
      if (kind >= DOUBTED) continue;
      const before = groups[p]!;
      if (before === 0 && removed[p] === 0) {
        touched[count++] = p;
        announced[p] = 0;
        sure[p] = 0;
      }
      if (kind === REMOVED) {
        removed[p] = 1;
        continue;
      }
      const there = tier[slot]!;
      if (before === 0 || weights[there]! > weights[tiers[p]!]!) tiers[p] = there;
      const bit = 1 << group[slot]!;
      if (kind !== IMPLIED) announced[p]! |= bit;
      if (suspect[slot] === 0) sure[p]! |= bit;
      groups[p] = before | bit;
    }
    this.#touchedCount = count;
    return this.#endBlock(block);
  }

  /** The next `blocks` blocks have the same holders: who held the last one holds them too. */
  again(blocks: number): void {
    const { cells, stride } = this.#matches;
    const next = this.#next;
    const extended = this.#extended;
    const count = this.#extendedCount;
    for (let i = 0; i < count; i++) {
      const p = extended[i]!;
      const at = p * stride;
      cells[at + BLOCKS]! += blocks;
      if (cells[at + LAST_IMPLIED] !== 0) cells[at + IMPLIED_BLOCKS]! += blocks;
      if (cells[at + LAST_SUSPECT] !== 0) cells[at + SUSPECT_BLOCKS]! += blocks;
      cells[at + TIERS + cells[at + LAST_TIER]!]! += blocks;
      if (next[p] !== OPEN) next[p]! += blocks;
    }
  }

  #endBlock(block: number): boolean {
    const { cells, stride } = this.#matches;
    const next = this.#next;
    const groups = this.#groups;
    const removed = this.#removed;
    const extended = this.#extended;
    const touched = this.#touched;
    const count = this.#touchedCount;
    let running = 0;
    let on = 0;
    for (let t = 0; t < count; t++) {
      const p = touched[t]!;
      const open = next[p] === OPEN;
      const wanted = this.#wanted[p]!;
      const held = groups[p] !== 0 && (groups[p]! & wanted) >>> 0 === wanted;
      const at = p * stride;
      const hole = block - cells[at + BLOCKS]!;
      const tier = this.#tier[p]!;
      // What a slower tier holds proves nothing about the engine's own tier above it.
      if (held && (hole === 0 || tier === ENGINE_TIER)) {
        // All must hold it, so that one of them is not sure makes it not sure.
        const implied = (this.#announced[p]! & wanted) >>> 0 === wanted ? 0 : 1;
        const suspect = (this.#sure[p]! & wanted) >>> 0 === wanted ? 0 : 1;
        cells[at + BLOCKS] = block + 1;
        cells[at + IMPLIED_BLOCKS]! += hole + implied;
        cells[at + SUSPECT_BLOCKS]! += suspect;
        if (hole > 0) cells[at + TIERS + ENGINE_TIER]! += hole;
        cells[at + TIERS + tier]!++;
        cells[at + LAST_TIER] = tier;
        cells[at + LAST_IMPLIED] = implied;
        cells[at + LAST_SUSPECT] = suspect;
        extended[on++] = p;
        if (!open) {
          next[p] = block + 1;
          running++;
        }
      } else if (!open || removed[p] === 1) {
        next[p] = ENDED;
        if (open) this.#open--;
      }
      groups[p] = 0;
      removed[p] = 0;
    }
    this.#extendedCount = on;
    this.#touchedCount = 0;
    return running + this.#open > 0;
  }

  #reserve(candidates: readonly Candidate[]): void {
    let owners = this.#position.length;
    for (const { owner } of candidates) while (owner >= owners) owners *= 2;
    if (owners > this.#position.length) this.#position = new Uint32Array(owners);
    if (candidates.length <= this.#next.length) return;
    const length = 2 ** Math.ceil(Math.log2(candidates.length));
    this.#owners = new Uint32Array(length);
    this.#wanted = new Uint32Array(length);
    this.#next = new Int32Array(length);
    this.#groups = new Uint32Array(length);
    this.#tier = new Uint8Array(length);
    this.#announced = new Uint32Array(length);
    this.#sure = new Uint32Array(length);
    this.#removed = new Uint8Array(length);
    this.#touched = new Uint32Array(length);
    this.#extended = new Uint32Array(length);
  }
}
