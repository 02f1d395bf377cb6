/**
 * What the memory limit takes: counted, and told whose it was.
 * @module
 */
import type { BlockIndexOptions, IndexCounts } from "./index-types.js";
import type { OnDropped } from "./shard.js";
import { NO_OWNER, Role, type Slots } from "./slots.js";
import { COUNT_BITS, type Transitions } from "./transitions.js";

/** Takes the set of an entry that is dropped. Holders of dead slots, and marks, are nobody's loss. */
export function dropper(
  slots: Slots,
  counts: IndexCounts,
  { sets }: Transitions,
  onDropped: BlockIndexOptions["onDropped"],
): OnDropped {
  return (set, hi, lo) => {
    const words = sets.wordsOf(set);
    const start = sets.startOf(set);
    for (let i = start; i < start + sets.sizeOf(set); i++) {
      const slot = words[i]! >>> COUNT_BITS;
      slots.resident[slot]!--;
      if (slots.owner[slot] === NO_OWNER || slots.role[slot] === Role.Removed) continue;
      counts.dropped++;
      onDropped?.(slots.owner[slot]!, slots.line[slot]!, hi, lo);
    }
    sets.release(set, 1);
  };
}
