/**
 * Takes the entries of dead slots out of the table, a shard at a time as blocks come and go and slots are opened.
 * @module
 */
import type { Shard } from "./shard.js";
import type { Slots } from "./slots.js";
import type { Transitions } from "./transitions.js";

/** Added or evicted blocks per shard swept while dead entries remain. */
const BLOCKS_PER_SWEEP = 256;
/**
 * Shards swept for each slot that is opened: where engines of few blocks restart over and over, at most two passes' worth
 * of slots (1,024) wait for the sweep.
 */
const SWEEPS_PER_SLOT = 2;

export class Sweeper {
  readonly #slots: Slots;
  readonly #shards: readonly Shard[];
  readonly #transitions: Transitions;
  #at = 0;
  #debt = 0;

  constructor(slots: Slots, shards: readonly Shard[], transitions: Transitions) {
    this.#slots = slots;
    this.#shards = shards;
    this.#transitions = transitions;
  }

  /** So many blocks are about to change: sweep in proportion. */
  sweepFor(blocks: number): void {
    if (!this.#slots.sweepNeeded) return;
    for (this.#debt += blocks; this.#debt >= BLOCKS_PER_SWEEP; this.#debt -= BLOCKS_PER_SWEEP) {
      this.#sweepOne();
      if (!this.#slots.sweepNeeded) break;
    }
  }

  /** A slot is about to be opened. Where slots have run out, all that are dead are swept, which holds the event loop. */
  sweepForSlot(): void {
    let sweeps = this.#slots.isFull ? Number.POSITIVE_INFINITY : SWEEPS_PER_SLOT;
    for (; sweeps > 0 && this.#slots.sweepNeeded; sweeps--) this.#sweepOne();
  }

  /** Sweep one shard, out of its turn. */
  sweep(shard: Shard): void {
    const { sets } = this.#transitions;
    const { deaths } = this.#slots;
    let last = 0;
    let lastCleaned = 0;
    shard.sweep((set) => {
      if (set === last) {
        if (set !== lastCleaned) this.#move(set, lastCleaned);
        return lastCleaned;
      }
      if (sets.wasChecked(set, deaths)) return set;
      const cleaned = this.#transitions.cleaned(set);
      if (cleaned === set) sets.noteChecked(set, deaths);
      else this.#move(set, cleaned);
      last = set;
      lastCleaned = cleaned;
      return cleaned;
    });
  }

  #sweepOne(): void {
    this.sweep(this.#shards[this.#at]!);
    if (++this.#at < this.#shards.length) return;
    this.#at = 0;
    this.#slots.passCompleted();
  }

  #move(from: number, to: number): void {
    this.#transitions.sets.retain(to, 1);
    this.#transitions.sets.release(from, 1);
  }
}
