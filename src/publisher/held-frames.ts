/**
 * Frames of a publisher that wait, in order: until its hashing is known, or for their turn behind others.
 * @module
 */

/** A frame that waits, as the bytes that came or decoded already. */
export interface HeldFrame<Batch> {
  readonly seq: bigint;
  /** Frames were lost before it. */
  readonly afterGap: boolean;
  readonly content: Uint8Array | Batch;
  readonly bytes: number;
}

/** What one takes beside its content, about. */
const FRAME_BYTES = 256;

export class HeldFrames<Batch> {
  /** What is held, as reserved. */
  bytes = 0;
  /** What applies the frame that was taken out last, a stretch at a time; undefined when it is done. */
  applying: Iterator<unknown> | undefined;
  readonly #reserve: (bytes: number) => boolean;
  #frames: HeldFrame<Batch>[] = [];
  #first = 0;

  /** @param reserve - asks for memory (negative: gives it back); false refuses */
  constructor(reserve: (bytes: number) => boolean) {
    this.#reserve = reserve;
  }

  /** How many are not applied yet. */
  get size(): number {
    return this.#frames.length - this.#first + (this.applying === undefined ? 0 : 1);
  }

  /**
   * Hold a frame. Returns whether there was memory for it: without, it is held all the same, and the caller is to take
   * frames out until none is left.
   * @param content - kept as it is
   * @param contentBytes - what it takes
   */
  push(seq: bigint, content: Uint8Array | Batch, contentBytes: number, afterGap: boolean): boolean {
    const wanted = contentBytes + FRAME_BYTES;
    const fits = this.#reserve(wanted);
    const bytes = fits ? wanted : 0;
    this.bytes += bytes;
    this.#frames.push({ seq, afterGap, content, bytes });
    return fits;
  }

  /** Take out the oldest. */
  shift(): HeldFrame<Batch> | undefined {
    const frame = this.#frames[this.#first];
    if (frame === undefined) return undefined;
    // Emptied one by one and cut now and then: taking the first of a long array copies the rest.
    if (++this.#first * 2 > this.#frames.length) {
      this.#frames = this.#frames.slice(this.#first);
      this.#first = 0;
    }
    this.bytes -= frame.bytes;
    this.#reserve(-frame.bytes);
    return frame;
  }

  clear(): void {
    this.#reserve(-this.bytes);
    this.#frames = [];
    this.#first = this.bytes = 0;
    this.applying = undefined;
  }
}
