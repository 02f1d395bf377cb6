/** A peer that runs in Node, as the harness drives it. */
import type { FrameRecord } from "../workload-file.js";

export interface NodePeer<Input, Scores> {
  /** A frame as the peer's public API takes it: made before the clock starts. @param seq - the pod's, from 0 */
  input(frame: FrameRecord, seq: number): Input;
  /** What its decoder makes of the frame, to know what decoding costs by itself. */
  decode(input: Input): unknown;
  create(): Promise<NodeIndex<Input, Scores>>;
}

export interface NodeIndex<Input, Scores> {
  /** Visible to the next `score` when it returns. */
  apply(input: Input): void;
  score(tokens: Uint32Array): Scores;
  /** Leading blocks by pod. */
  matches(scores: Scores, matches: Uint32Array): void;
  close(): Promise<void>;
}
