/**
 * Where one publisher's frames came from, and what last made an end of what it held: for diagnostics and explanations.
 * @module
 */

/** A frame, as it is named to people. */
export interface FrameMark {
  readonly seq: number;
  /** When its batch was made, milliseconds since the epoch by the engine's clock. */
  readonly at: number;
}

export class StreamHistory {
  /** Where its last frame came from, and before that its last from elsewhere. */
  source: string | undefined = undefined;
  sourceBefore: string | undefined = undefined;
  /** Whether its engine is asked for lost frames; undefined of frames from no socket. */
  asksReplay: boolean | undefined = undefined;
  /** Restarts in quick succession, each told by another source than the frame before. */
  rivalRestarts = 0;
  /** The first frame of this life of the engine, if it was not number 0. */
  joinedAt: bigint | undefined = undefined;
  /** What last voided its blocks: the frame of a clearing in this life, and the first of this life after a restart. */
  clearedBy: FrameMark | undefined = undefined;
  restartedBy: FrameMark | undefined = undefined;
  /** The number of the frame after the last gap of this life; -1 without one. */
  gapAt = -1;
  /** Ids of the lines of its life before. */
  formerLines: ReadonlySet<number> = new Set();
  #hasMoved = false;

  /** A frame came. */
  heardFrom(source: string | undefined, asksReplay: boolean | undefined): void {
    this.asksReplay = asksReplay;
    this.#hasMoved = source !== this.source && source !== undefined && this.source !== undefined;
    if (source === this.source) return;
    this.sourceBefore = this.source;
    this.source = source;
  }

  /**
   * @param isQuick - another restart was not long ago
   * @param lines - ids of the lines that end
   */
  restarted(by: FrameMark, isQuick: boolean, lines: Iterable<number>): void {
    this.restartedBy = by;
    this.clearedBy = this.joinedAt = undefined;
    this.gapAt = -1;
    this.formerLines = new Set(lines);
    if (!isQuick || !this.#hasMoved) this.rivalRestarts = 0;
    if (this.#hasMoved) this.rivalRestarts++;
  }
}
