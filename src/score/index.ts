/**
 * `kvblock/score`: holders of a prompt's blocks → how much of its prefix each publisher can reuse.
 * @module
 */
export type { Candidate } from "./candidates.js";
export type { Match, Matches } from "./matches.js";
export { podScores, type ScoreSource } from "./pod-scores.js";
export { PrefixScorer, type SlotTables } from "./prefix-scorer.js";
