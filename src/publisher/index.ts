/**
 * What is remembered per publisher (a pod's data-parallel rank) beside the blocks it holds. Internal: no subpath.
 * @module
 */
export { AmbiguousKeys } from "./ambiguous-keys.js";
export { HandleMap, type HandleMapOptions } from "./handle-map.js";
export { type HeldFrame, HeldFrames } from "./held-frames.js";
export { ParentClaims } from "./parent-claims.js";
export { type ParkableStore, ParkedStores } from "./parked-stores.js";
export { SeenTails } from "./seen-tails.js";
export { SequenceTracker, type Verdict } from "./sequence.js";
