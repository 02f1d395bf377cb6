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

import { type Candidate, Candidates } from "./candidates.js";
import { ENDED, type Matches, OPEN, Run, RunMatches } from "./matches.js";

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

const COUNT_BITS = 12;
const IMPLIED = 1;
const REMOVED = 2;
const DOUBTED = 4;
const ENGINE_TIER = 0;
/** What a block was for a candidate, as bits below its tier's number; or that it ends the run. */
const WAS_IMPLIED = 1;
const WAS_SUSPECT = 2;
const TIER_SHIFT = 2;
const ENDS = -1;

/** Serves any number of lookups, one at a time. Allocates nothing per block. */
export class PrefixScorer {
  readonly #candidates = new Candidates();
  #weights: readonly number[] = [];
  #bestWeight = 0;
  /** What candidates that are alike have matched, and by position, which of these is the candidate's. */
  #runs: Run[] = [];
  #runOf: number[] = [];
  /** By position, of the current block: groups that hold it, those announced, those sure, its best tier, whether removed. */
  #groups: Uint32Array = new Uint32Array(0);
  #announced: Uint32Array = new Uint32Array(0);
  #sure: Uint32Array = new Uint32Array(0);
  #tier: Uint8Array = new Uint8Array(0);
  #removed: Uint8Array = new Uint8Array(0);
  /** Positions for whom the current block's holders are to be taken together. */
  #touched: Uint32Array = new Uint32Array(0);
  #touchedCount = 0;
  /** Runs that the last block went on. */
  readonly #extended: Run[] = [];
  #extendedCount = 0;
  /** Runs that nobody shares any more: since the current block, and those that may be used again. */
  readonly #left: Run[] = [];
  readonly #spare: Run[] = [];
  /** Candidates whose runs are open at every block. */
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
    this.#candidates.take(candidates);
    this.#reserve(candidates.length);
    this.#weights = weights;
    this.#bestWeight = Math.max(...weights);
    this.#touchedCount = this.#extendedCount = this.#spare.length = this.#open = 0;
    this.#runs = this.#candidates.kinds.map(({ groups, implyAncestors, size }, number) => {
      if (implyAncestors) this.#open += size;
      const byTier = weights.map(() => 0);
      return new Run(number, groups, byTier, size, implyAncestors ? OPEN : 0);
    });
    this.#runOf = this.#candidates.kindOf.slice();
    return new RunMatches(this.#runs, this.#runOf);
  }

  /**
   * The holders of one block, as words `slot << 12 | count`.
   * @returns whether any candidate's run may go on
   */
  block(block: number, words: Uint32Array, from: number, to: number): boolean {
    const { owner, tier, group, role, suspect } = this.#slots;
    // Read once: a field that is read for each of a thousand holders is a third of the time.
    const { positions } = this.#candidates;
    const runs = this.#runs;
    const runOf = this.#runOf;
    const groups = this.#groups;
    const weights = this.#weights;
    const best = this.#bestWeight;
    this.#extendedCount = 0;
    // The last move: from which run, to which, for a holder of which tier and group; and how many have done the same since.
    let left = -1;
    let tierThere = 0;
    let groupThere = 0;
    let joined = 0;
    let moved = 0;
    for (let i = from; i < to; i++) {
      const slot = words[i]! >>> COUNT_BITS;
      // Owners newer than the candidates lie past the end of the table: not a candidate either.
      const p = (positions[owner[slot]!] ?? 0) - 1;
      if (p < 0) continue;
      const number = runOf[p]!;
      const kind = role[slot]!;
      const there = tier[slot]!;
      const isSure = kind + suspect[slot]! === 0 && groups[p] === 0;
      if (number === left && isSure && there === tierThere && group[slot] === groupThere) {
        runOf[p] = joined;
        moved++;
        continue;
      }
      const run = runs[number]!;
      if ((run.next !== block && run.next !== OPEN) || run.blocks > block || kind >= DOUBTED) continue;
      const bit = (1 << group[slot]!) >>> 0;
      // Nothing that another holder's word might say could change it.
      if (
        isSure &&
        run.wanted === bit &&
        weights[there] === best &&
        (there === ENGINE_TIER || run.blocks === block)
      ) {
        this.#count(left, joined, moved);
        this.#move(p, run, block, there << TIER_SHIFT);
        moved = 0;
        left = number;
        joined = runOf[p]!;
        tierThere = there;
        groupThere = group[slot]!;
      } else this.#note(p, kind, there, bit, suspect[slot]!);
    }
    this.#count(left, joined, moved);
    return this.#endBlock(block);
  }

  /** The next `blocks` blocks have the same holders: who held the last one holds them too. */
  again(blocks: number): void {
    for (let i = 0; i < this.#extendedCount; i++) this.#extended[i]!.again(blocks);
  }

  /** So many candidates left a run and joined another, or remained where it was their own. */
  #count(left: number, joined: number, moved: number): void {
    if (moved === 0 || left === joined) return;
    const run = this.#runs[left]!;
    this.#runs[joined]!.size += moved;
    run.size -= moved;
    if (run.size === 0) this.#left.push(run);
  }

  #copyOf(run: Run): Run {
    let copy = this.#spare.pop();
    if (copy === undefined) {
      copy = new Run(this.#runs.length, run.wanted, run.byTier.slice());
      this.#runs.push(copy);
    }
    copy.become(run);
    return copy;
  }

  /** One of several words that may speak of a candidate. */
  #note(p: number, kind: number, tier: number, bit: number, suspect: number): void {
    const before = this.#groups[p]!;
    if (before === 0 && this.#removed[p] === 0) {
      this.#touched[this.#touchedCount++] = p;
      this.#announced[p] = 0;
      this.#sure[p] = 0;
    }
    if (kind === REMOVED) {
      this.#removed[p] = 1;
      return;
    }
    if (before === 0 || this.#weights[tier]! > this.#weights[this.#tier[p]!]!) this.#tier[p] = tier;
    if (kind !== IMPLIED) this.#announced[p]! |= bit;
    if (suspect === 0) this.#sure[p]! |= bit;
    this.#groups[p] = before | bit;
  }

  #endBlock(block: number): boolean {
    const groups = this.#groups;
    for (let t = 0; t < this.#touchedCount; t++) {
      const p = this.#touched[t]!;
      const run = this.#runs[this.#runOf[p]!]!;
      const { wanted } = run;
      const tier = this.#tier[p]!;
      const held = groups[p] !== 0 && (groups[p]! & wanted) >>> 0 === wanted;
      // A removal that was noted before a word that decided otherwise counts for nothing.
      if (run.blocks <= block) {
        // What a slower tier holds proves nothing about the engine's own tier above it.
        if (held && (run.blocks === block || tier === ENGINE_TIER)) {
          // All must hold it, so that one of them is not sure makes it not sure.
          const implied = (this.#announced[p]! & wanted) >>> 0 === wanted ? 0 : WAS_IMPLIED;
          const suspect = (this.#sure[p]! & wanted) >>> 0 === wanted ? 0 : WAS_SUSPECT;
          this.#move(p, run, block, (tier << TIER_SHIFT) | implied | suspect);
        } else if (run.next === OPEN && this.#removed[p] === 1) this.#move(p, run, block, ENDS);
      }
      groups[p] = 0;
      this.#removed[p] = 0;
    }
    this.#touchedCount = 0;
    for (const run of this.#left) this.#spare.push(run);
    this.#left.length = 0;
    return this.#extendedCount + this.#open > 0;
  }

  /** A candidate leaves its run for the one of those for whom the block was the same. */
  #move(p: number, run: Run, block: number, was: number): void {
    const first = run.leftAt === block ? run.exit : undefined;
    let to = first;
    while (to !== undefined && to.cameFor !== was) to = to.sibling;
    if (to === undefined) {
      to = run.size === 1 ? run : this.#copyOf(run);
      to.cameFor = was;
      to.sibling = first;
      run.exit = to;
      run.leftAt = block;
      if (was === ENDS) to.next = ENDED;
      else {
        to.extend(block, was >>> TIER_SHIFT, was & WAS_IMPLIED, (was & WAS_SUSPECT) >>> 1);
        this.#extended[this.#extendedCount++] = to;
      }
    }
    if (was === ENDS) this.#open--;
    this.#runOf[p] = to.number;
    this.#count(run.number, to.number, 1);
  }

  #reserve(candidates: number): void {
    if (candidates <= this.#groups.length) return;
    const length = 2 ** Math.ceil(Math.log2(candidates));
    this.#groups = new Uint32Array(length);
    this.#tier = new Uint8Array(length);
    this.#announced = new Uint32Array(length);
    this.#sure = new Uint32Array(length);
    this.#removed = new Uint8Array(length);
    this.#touched = new Uint32Array(length);
  }
}
