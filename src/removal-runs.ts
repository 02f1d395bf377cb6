/**
 * Removals in a row as one: engines announce each block that they evict apart, by the dozen where a long prompt comes.
 * @module
 */
import type { BlockRemoved, KvEvent } from "./events/index.js";

/** Blocks of a run at most. */
const MOST = 128;

export class RemovalRuns {
  /** Events in the last run. */
  events = 0;
  readonly #keys = new Uint32Array(2 * MOST);
  /** The beginning of `#keys`, by blocks. */
  readonly #views: Uint32Array[] = [];
  readonly #run: { -readonly [name in keyof BlockRemoved]: BlockRemoved[name] } = {
    type: "BlockRemoved",
    blockKeys: this.#keys,
    medium: null,
    groupIdx: null,
    remainingCopies: null,
  };
  #isTaken = false;

  /**
   * Those from `first` on that remove from one tier and group, as one event that is valid until it is {@link giveBack given
   * back}. Undefined if there is none to join it, or a run is under way: a host that is told of something may apply others.
   */
  take(events: readonly KvEvent[], first: number): BlockRemoved | undefined {
    const event = events[first]!;
    const second = events[first + 1];
    if (event.type !== "BlockRemoved" || second?.type !== "BlockRemoved" || this.#isTaken) return undefined;
    const { medium, groupIdx } = event;
    let blocks = 0;
    let next = first;
    for (; next < events.length; next++) {
      const other = events[next]!;
      if (other.type !== "BlockRemoved" || other.medium !== medium || other.groupIdx !== groupIdx) break;
      const { blockKeys, remainingCopies } = other;
      if (remainingCopies !== null || blocks + blockKeys.length / 2 > MOST) break;
      for (let i = 0; i < blockKeys.length; i++) this.#keys[2 * blocks + i] = blockKeys[i]!;
      blocks += blockKeys.length / 2;
    }
    if (next - first < 2) return undefined;
    this.#isTaken = true;
    this.events = next - first;
    this.#run.blockKeys = this.#views[blocks] ??= this.#keys.subarray(0, 2 * blocks);
    this.#run.medium = medium;
    this.#run.groupIdx = groupIdx;
    return this.#run;
  }

  giveBack(): void {
    this.#isTaken = false;
  }
}
