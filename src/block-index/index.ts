/**
 * `kvblock/block-index`: block key → which publishers hold it, on which tier, how often.
 * @module
 */
export { BlockIndex } from "./block-index.js";
export { CacheTurn } from "./cache-turn.js";
export {
  type BlockIndexOptions,
  DEFAULT_MEMORY_LIMIT_BYTES,
  type IndexCounts,
  type LookupSink,
  MIN_MEMORY_LIMIT_BYTES,
} from "./index-types.js";
export { DOUBTED, type HolderLine, NO_OWNER, Role, Slots } from "./slots.js";
export { DEFAULT_TIER_WEIGHTS, ENGINE_TIER, OTHER_TIER_WEIGHT, Tiers } from "./tiers.js";
export { COUNT_BITS } from "./transitions.js";
