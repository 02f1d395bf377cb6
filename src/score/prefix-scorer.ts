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

/** What a candidate matched. */
export interface Match {
  blocks: number;
  /** Of these, how many no event announced. */
  implied: number;
  /** Of these, how many may have been removed by a lost frame. */
  suspect: number;
  /** Matched blocks by tier number. */
  readonly byTier: number[];
  /** Of the last matched block: its tier number, and what it counts for in `implied` and `suspect`. */
  readonly last: { tier: number; implied: number; suspect: number };
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
  #candidates: readonly Candidate[] = [];
  #matches: Match[] = [];
  /** By position: the block that would extend the run, or {@link OPEN}, or {@link ENDED}. */
  #next: Int32Array = new Int32Array(0);
  /** By position, of the current block: groups that hold it, its best tier, whether all is implied, suspect, removed. */
  #groups: Uint32Array = new Uint32Array(0);
  #tier: Uint8Array = new Uint8Array(0);
  #implied: Uint8Array = new Uint8Array(0);
  #suspect: Uint8Array = new Uint8Array(0);
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
  begin(candidates: readonly Candidate[], weights: readonly number[]): readonly Match[] {
    for (const { owner } of this.#candidates) this.#position[owner] = 0;
    this.#candidates = candidates;
    this.#weights = weights;
    this.#matches = candidates.map(() => ({
      blocks: 0,
      implied: 0,
      suspect: 0,
      byTier: weights.map(() => 0),
      last: { tier: 0, implied: 0, suspect: 0 },
    }));
    this.#reserve(candidates);
    this.#touchedCount = this.#extendedCount = 0;
    this.#open = 0;
    for (let p = 0; p < candidates.length; p++) {
      const { owner, implyAncestors } = candidates[p]!;
      this.#position[owner] = p + 1;
      this.#next[p] = implyAncestors ? OPEN : 0;
      if (implyAncestors) this.#open++;
    }
    return this.#matches;
  }

  /**
   * The holders of one block, as words `slot << 12 | count`.
   * @returns whether any candidate's run may go on
   */
  block(block: number, words: Uint32Array, from: number, to: number): boolean {
    const { owner, tier, group, role, suspect } = this.#slots;
    const positions = this.#position;
    for (let i = from; i < to; i++) {
      const slot = words[i]! >>> COUNT_BITS;
      // Owners newer than the candidates lie past the end of the table: not a candidate either.
      const p = (positions[owner[slot]!] ?? 0) - 1;
      if (p < 0 || (this.#next[p] !== block && this.#next[p] !== OPEN)) continue;
      if (role[slot]! >= DOUBTED) continue;
      if (this.#groups[p] === 0 && this.#removed[p] === 0) {
        this.#touched[this.#touchedCount++] = p;
        this.#implied[p] = 1;
        this.#suspect[p] = 1;
      }
      if (role[slot] === REMOVED) {
        this.#removed[p] = 1;
        continue;
      }
      const better = this.#weights[tier[slot]!]! > this.#weights[this.#tier[p]!]!;
      if (this.#groups[p] === 0 || better) this.#tier[p] = tier[slot]!;
      if (role[slot] !== IMPLIED) this.#implied[p] = 0;
      if (suspect[slot] === 0) this.#suspect[p] = 0;
      this.#groups[p]! |= 1 << group[slot]!;
    }
    return this.#endBlock(block);
  }

  /** The next `blocks` blocks have the same holders: who held the last one holds them too. */
  again(blocks: number): void {
    for (let i = 0; i < this.#extendedCount; i++) {
      const p = this.#extended[i]!;
      const match = this.#matches[p]!;
      const { tier, implied, suspect } = match.last;
      match.blocks += blocks;
      match.implied += implied * blocks;
      match.suspect += suspect * blocks;
      match.byTier[tier]! += blocks;
      if (this.#next[p] !== OPEN) this.#next[p]! += blocks;
    }
  }

  #endBlock(block: number): boolean {
    let running = 0;
    this.#extendedCount = 0;
    for (let t = 0; t < this.#touchedCount; t++) {
      const p = this.#touched[t]!;
      const open = this.#next[p] === OPEN;
      const wanted = this.#candidates[p]!.groups;
      const held = this.#groups[p] !== 0 && (this.#groups[p]! & wanted) >>> 0 === wanted;
      const match = this.#matches[p]!;
      const hole = block - match.blocks;
      // What a slower tier holds proves nothing about the engine's own tier above it.
      if (held && (hole === 0 || this.#tier[p] === ENGINE_TIER)) {
        match.blocks = block + 1;
        match.implied += hole + this.#implied[p]!;
        match.suspect += this.#suspect[p]!;
        match.byTier[ENGINE_TIER]! += hole;
        match.byTier[this.#tier[p]!]!++;
        match.last.tier = this.#tier[p]!;
        match.last.implied = this.#implied[p]!;
        match.last.suspect = this.#suspect[p]!;
        this.#extended[this.#extendedCount++] = p;
        if (!open) {
          this.#next[p] = block + 1;
          running++;
        }
      } else if (!open || this.#removed[p] === 1) {
        this.#next[p] = ENDED;
        if (open) this.#open--;
      }
      this.#groups[p] = 0;
      this.#removed[p] = 0;
    }
    this.#touchedCount = 0;
    return running + this.#open > 0;
  }

  #reserve(candidates: readonly Candidate[]): void {
    let owners = this.#position.length;
    for (const { owner } of candidates) while (owner >= owners) owners *= 2;
    if (owners > this.#position.length) this.#position = new Uint32Array(owners);
    if (candidates.length <= this.#next.length) return;
    const length = 2 ** Math.ceil(Math.log2(candidates.length));
    this.#next = new Int32Array(length);
    this.#groups = new Uint32Array(length);
    this.#tier = new Uint8Array(length);
    this.#implied = new Uint8Array(length);
    this.#suspect = new Uint8Array(length);
    this.#removed = new Uint8Array(length);
    this.#touched = new Uint32Array(length);
    this.#extended = new Uint32Array(length);
  }
}
