/**
 * What an event of a line makes of a block's holders: from set to set, remembered, since the blocks of an event mostly
 * have one set in common.
 * @module
 */
import { HolderSets } from "./holder-sets.js";
import type { IndexCounts } from "./index-types.js";
import { type HolderLine, NO_OWNER, Role, type Slots } from "./slots.js";

export const COUNT_BITS = 12;
/** A duplicate count stays here once reached. */
export const MAX_COUNT: number = 2 ** COUNT_BITS - 1;

/**
 * What is done to a block: a copy more, or one at all; an implied one; so many copies left; a copy less, or all of them,
 * with a mark where it goes or without; void.
 */
export const Verb = {
  Add: 0,
  AddOnce: 1,
  Imply: 2,
  Set: 3,
  Evict: 4,
  EvictMark: 5,
  EvictAll: 6,
  EvictAllMark: 7,
  Forget: 8,
} as const;
export type Verb = (typeof Verb)[keyof typeof Verb];

/** What that came to, as bits. */
export const Effect = {
  Admitted: 1,
  Duplicate: 2,
  Evicted: 4,
  Unknown: 8,
  Saturated: 16,
  Voided: 32,
  Marked: 64,
} as const;
const EFFECT_BITS = 7;
const EFFECT_MASK = 2 ** EFFECT_BITS - 1; // a power that is worked out each time takes 60 ns (measured, Node 20)

function countEffect(counts: IndexCounts, effect: number, blocks: number): void {
  if ((effect & Effect.Admitted) !== 0) counts.admissions += blocks;
  if ((effect & Effect.Duplicate) !== 0) counts.duplicates += blocks;
  if ((effect & Effect.Evicted) !== 0) counts.evictions += blocks;
  if ((effect & Effect.Unknown) !== 0) counts.unknownRemovals += blocks;
  if ((effect & Effect.Saturated) !== 0) counts.saturated += blocks;
  if ((effect & Effect.Voided) !== 0) counts.voided += blocks;
}

/** Transitions remembered: a power of two. */
const REMEMBERED = 2048;
const RECORD = 8;

/** The outcome of {@link Transitions.of}; its fields hold until the next. */
export class Transitions {
  readonly sets: HolderSets = new HolderSets();
  /** The set that a block has then; 0: nobody holds it any more. */
  to = 0;
  effect = 0;
  /** Slots that have one block less, and one more; 0: none. */
  loses = 0;
  gains = 0;
  readonly #slots: Slots;
  #deaths = 0;
  /** By place: the set's stamp, line and verb, slot, copies, the outcome's set and its stamp, effect and loses, gains. */
  readonly #known = new Uint32Array(REMEMBERED * RECORD);

  /** Made once: sweeping asks of every set. */
  readonly #isOwned = (word: number): boolean => this.#slots.owner[word >>> COUNT_BITS] !== NO_OWNER;

  /** Whether all of a set's holders are dead. */
  readonly isDead = (set: number): boolean => {
    const { owner } = this.#slots;
    const words = this.sets.wordsOf(set);
    const start = this.sets.startOf(set);
    for (let i = start + this.sets.sizeOf(set) - 1; i >= start; i--)
      if (owner[words[i]! >>> COUNT_BITS] !== NO_OWNER) return false;
    return true;
  };

  constructor(slots: Slots) {
    this.#slots = slots;
  }

  get bytes(): number {
    return this.sets.bytes + this.#known.byteLength;
  }

  /**
   * Find what a block of this set has after the verb.
   * @param slot - the line's slot that new words get: held, implied or removed, as the verb has it; 0 if it needs none
   * @param copies - of {@link Verb.Set}, how many
   */
  of(set: number, line: HolderLine, slot: number, verb: Verb, copies: number): void {
    const known = this.#known;
    if (this.#deaths !== this.#slots.deaths) {
      // What a dead slot's word comes to is otherwise now.
      this.#deaths = this.#slots.deaths;
      known.fill(0);
    }
    const stamp = this.sets.stampOf(set);
    const what = (line.id * 16 + verb) >>> 0;
    // By the set's number, which is at hand before its stamp is: that tells whether it is still the same set.
    const place = ((Math.imul(set, 0x9e3779b1) ^ Math.imul(what, 0x85ebca6b)) >>> 21) * RECORD;
    if (
      known[place] === stamp &&
      known[place + 1] === what &&
      known[place + 2] === slot &&
      known[place + 3] === copies &&
      this.sets.stampOf(known[place + 4]!) === known[place + 5]
    ) {
      this.to = known[place + 4]!;
      this.effect = known[place + 6]! & EFFECT_MASK;
      this.loses = known[place + 6]! >>> EFFECT_BITS;
      this.gains = known[place + 7]!;
      return;
    }
    this.#find(set, line, slot, verb, copies);
    known[place] = stamp;
    known[place + 1] = what;
    known[place + 2] = slot;
    known[place + 3] = copies;
    known[place + 4] = this.to;
    known[place + 5] = this.sets.stampOf(this.to);
    known[place + 6] = (this.loses << EFFECT_BITS) | this.effect;
    known[place + 7] = this.gains;
  }

  /** Count what the last one has come to, for so many blocks of the set `from`. */
  account(from: number, blocks: number, counts: IndexCounts): void {
    if (blocks === 0) return;
    const { sets, to, loses, gains } = this;
    const { resident } = this.#slots;
    if (to !== from) {
      sets.retain(to, blocks);
      sets.release(from, blocks);
    }
    if (loses !== 0) resident[loses]! -= blocks;
    if (gains !== 0) resident[gains]! += blocks;
    countEffect(counts, this.effect, blocks);
  }

  /** The set without its dead holders. */
  cleaned(set: number): number {
    return this.sets.filtered(set, this.#isOwned);
  }

  /** Whether the line holds a block of this set; a mark is not holding. */
  holds(set: number, line: HolderLine): boolean {
    const index = this.#indexOf(set, line);
    return index >= 0 && this.#slots.role[this.#wordAt(set, index) >>> COUNT_BITS] !== Role.Removed;
  }

  #find(set: number, line: HolderLine, slot: number, verb: Verb, copies: number): void {
    const { role, suspect } = this.#slots;
    this.to = set;
    this.effect = this.loses = this.gains = 0;
    const index = this.#indexOf(set, line);
    const word = index < 0 ? 0 : this.#wordAt(set, index);
    const old = word >>> COUNT_BITS;
    const count = word & MAX_COUNT;
    const isHeld = index >= 0 && role[old] !== Role.Removed;
    if (verb === Verb.Forget) {
      if (index < 0) return;
      if (isHeld) this.effect = Effect.Voided;
      this.#take(set, index, old);
    } else if (verb === Verb.Imply) {
      // A suspect block is sure again, in one copy.
      if (isHeld && suspect[old] === 0) return;
      if (!isHeld) this.effect = Effect.Admitted;
      this.#put(set, index, old, slot, 1);
    } else if (verb <= Verb.AddOnce) {
      let now = 1;
      if (!isHeld) this.effect = Effect.Admitted;
      else {
        this.effect = Effect.Duplicate;
        // Of a suspect entry nobody knows how many copies are left: only the new one is sure.
        if (suspect[old] === 0 && verb === Verb.Add) now = Math.min(MAX_COUNT, count + 1);
        if (now === MAX_COUNT && count < MAX_COUNT) this.effect |= Effect.Saturated;
      }
      this.#put(set, index, old, slot, now);
    } else if (verb === Verb.Set) {
      // With a copy left a block that is not known is not gone, though nobody told that it came.
      if (isHeld) this.#put(set, index, old, slot, Math.min(copies, MAX_COUNT));
      else this.effect = Effect.Unknown;
    } else this.#evict(set, index, word, isHeld, slot, verb);
  }

  #evict(set: number, index: number, word: number, isHeld: boolean, slot: number, verb: Verb): void {
    const marks = verb === Verb.EvictMark || verb === Verb.EvictAllMark;
    const old = word >>> COUNT_BITS;
    const count = word & MAX_COUNT;
    if (!isHeld) {
      this.effect = Effect.Unknown;
      if (index >= 0 || !marks) return;
      this.effect |= Effect.Marked;
      this.#put(set, index, 0, slot, 1);
      return;
    }
    // A saturated count no longer knows how many copies there are; keeping it would keep the block for ever.
    if (verb <= Verb.EvictMark && count > 1 && count < MAX_COUNT) {
      this.to = this.sets.swapped(set, index, word - 1);
      return;
    }
    this.effect = Effect.Evicted;
    if (marks) this.#put(set, index, old, slot, 1);
    else this.#take(set, index, old);
  }

  #take(set: number, index: number, old: number): void {
    this.loses = old;
    this.to = this.sets.minus(set, index);
  }

  #put(set: number, index: number, old: number, slot: number, count: number): void {
    const word = ((slot << COUNT_BITS) | count) >>> 0;
    this.to = index < 0 ? this.sets.plus(set, word) : this.sets.swapped(set, index, word);
    if (old === slot) return;
    this.loses = old;
    this.gains = slot;
  }

  #wordAt(set: number, index: number): number {
    return this.sets.wordsOf(set)[this.sets.startOf(set) + index]!;
  }

  /** Where the line's word is in the set, or -1. */
  #indexOf(set: number, line: HolderLine): number {
    if (set === 0) return -1;
    const size = this.sets.sizeOf(set);
    const words = this.sets.wordsOf(set);
    const start = this.sets.startOf(set);
    if (size <= 16) {
      const { line: lines } = this.#slots;
      for (let i = 0; i < size; i++) if (lines[words[start + i]! >>> COUNT_BITS] === line.id) return i;
      return -1;
    }
    for (const slot of line.slots) {
      const found = slot === undefined ? -1 : indexOfSlot(words, start, size, slot);
      if (found >= 0) return found;
    }
    for (const slot of line.suspects) {
      const found = indexOfSlot(words, start, size, slot);
      if (found >= 0) return found;
    }
    const { formerMarks } = line.turn;
    return formerMarks === undefined ? -1 : indexOfSlot(words, start, size, formerMarks);
  }
}

/** Words are sorted, and so are their slots. */
function indexOfSlot(words: Uint32Array, start: number, size: number, slot: number): number {
  let low = 0;
  for (let high = size - 1; low < high; ) {
    const middle = (low + high) >>> 1;
    if (words[start + middle]! >>> COUNT_BITS < slot) low = middle + 1;
    else high = middle;
  }
  return words[start + low]! >>> COUNT_BITS === slot ? low : -1;
}
