/**
 * Takes the entries of dead slots out of the table, a shard at a time as blocks come and go.
 * @module
 */
import type { Shard } from "./shard.js";
import type { Slots } from "./slots.js";

/** Added or evicted blocks per shard swept while dead entries remain. */
const BLOCKS_PER_SWEEP = 256;

export class Sweeper {
  readonly #slots: Slots;
  readonly #shards: readonly Shard[];
  #at = 0;
  #debt = 0;

  constructor(slots: Slots, shards: readonly Shard[]) {
    this.#slots = slots;
    this.#shards = shards;
  }

  /** So many blocks are about to change: sweep in proportion. */
  sweepFor(blocks: number): void {
    if (!this.#slots.sweepNeeded) return;
    for (this.#debt += blocks; this.#debt >= BLOCKS_PER_SWEEP; this.#debt -= BLOCKS_PER_SWEEP) {
      this.#sweepOne();
      if (!this.#slots.sweepNeeded) break;
    }
  }

  /** Sweep until no slot is dead. Holds the event loop: for when slots have run out. */
  sweepAll(): void {
    while (this.#slots.sweepNeeded) this.#sweepOne();
  }

  #sweepOne(): void {
    this.#shards[this.#at]!.sweep(this.#slots.owner);
    if (++this.#at < this.#shards.length) return;
    this.#at = 0;
    this.#slots.passCompleted();
  }
}
