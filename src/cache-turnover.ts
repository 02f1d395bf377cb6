/**
 * What an event's stores and removals say of how far its publisher's cache has turned over: where a gap's suspicion ends.
 * @module
 */
import { type BlockIndex, type HolderLine, Role } from "./block-index/index.js";
import type { BlockRemoved, BlockStored } from "./events/index.js";
import type { Publisher } from "./publisher-state.js";

/** One event at a time: {@link before} it is applied and {@link after}. */
export class CacheTurnover {
  readonly #index: BlockIndex;
  #held = 0;
  #evictions = 0;
  #unknown = 0;

  constructor(index: BlockIndex) {
    this.#index = index;
  }

  /** @param line - the event's, if there is one yet */
  before(line: HolderLine | undefined): void {
    const { counts } = this.#index;
    this.#evictions = counts.evictions;
    this.#unknown = counts.unknownRemovals;
    this.#held = this.#heldBy(line);
  }

  after(publisher: Publisher, event: BlockStored | BlockRemoved, line: HolderLine | undefined): void {
    if (line === undefined) return;
    const { counts, slots } = this.#index;
    // Copies of what is held for sure are none: the capacity is counted in blocks, not in copies.
    const stored = event.type === "BlockStored" ? Math.max(0, this.#heldBy(line) - this.#held) : 0;
    const evicted = counts.evictions - this.#evictions;
    const voided = slots.turnOver(line, stored, evicted, counts.unknownRemovals - this.#unknown);
    counts.voided += voided;
    if (voided > 0) publisher.hasTurnedOver = true;
    if (publisher.gapped && isTurnedOver(publisher)) publisher.gapped = false;
  }

  /** Blocks held for sure: not implied, and not suspect. */
  #heldBy(line: HolderLine | undefined): number {
    const slot = line?.slots[Role.Held];
    return slot === undefined ? 0 : this.#index.slots.resident[slot]!;
  }
}

/**
 * Whether nothing suspect is left, and a gap that left nothing suspect is a turn ago too. The publisher is then as one that
 * was joined late: what it holds is sure, and what it was not told of again may be missing.
 */
function isTurnedOver({ lines }: Publisher): boolean {
  let turned = false;
  for (const { suspects, turn } of lines) {
    if (suspects.length > 0) return false;
    turned ||= turn.sinceGap;
  }
  return turned;
}
