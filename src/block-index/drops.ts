/**
 * What the memory limit takes: counted, and told whose it was.
 * @module
 */
import type { IndexCounts } from "./index-types.js";
import { COUNT_BITS, type HolderSink } from "./shard.js";
import { NO_OWNER, Role, type Slots } from "./slots.js";

/** Takes the holders of a dropped entry. Those of dead slots, and marks, are nobody's loss. */
export function dropSink(
  slots: Slots,
  counts: IndexCounts,
  onDropped: ((owner: number) => void) | undefined,
): HolderSink {
  return {
    holders(_block, words, from, to) {
      for (let i = from; i < to; i++) {
        const slot = words[i]! >>> COUNT_BITS;
        slots.resident[slot]!--;
        if (slots.owner[slot] === NO_OWNER || slots.role[slot] === Role.Removed) continue;
        counts.dropped++;
        onDropped?.(slots.owner[slot]!);
      }
    },
  };
}
