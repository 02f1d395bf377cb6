/**
 * The subpaths whose declarations may name an optional package, type-checked where it is installed.
 */
export type * as prometheus from "kvblock/prometheus";
export type * as score from "kvblock/score";
export type * as tiktoken from "kvblock/tiktoken";
