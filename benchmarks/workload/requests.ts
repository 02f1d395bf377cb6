/** What engines are asked, whichever workload it comes from. */

export interface WorkItem {
  /** Which engine runs it, from 0. */
  readonly pod: number;
  readonly prompt: Uint32Array;
  /** Generated after it, known beforehand: a next turn repeats them. */
  readonly output: Uint32Array;
}

/** Endless or not: taken as far as a stream needs it. */
export type Workload = Iterable<WorkItem>;
