/**
 * `kvblock/score`: holders of a prompt's blocks → how much of its prefix each publisher can reuse.
 * @module
 */
export { podScores } from "./pod-scores.js";
export { type Candidate, type Match, PrefixScorer, type SlotTables } from "./prefix-scorer.js";
