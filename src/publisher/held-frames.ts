/**
 * Frames of a publisher that wait, in order, until its hashing is known. They are kept as the bytes that came: events
 * take several times as much once they are decoded.
 * @module
 */

/** A frame that waits. */
export interface HeldFrame {
  readonly seq: bigint;
  readonly payload: Uint8Array;
  /** Frames were lost before it. */
  readonly afterGap: boolean;
  readonly bytes: number;
}

/** What one takes beside its payload, about. */
const FRAME_BYTES = 256;

export class HeldFrames {
  /** What is held, as reserved. */
  bytes = 0;
  readonly #reserve: (bytes: number) => boolean;
  #frames: HeldFrame[] = [];
  #first = 0;

  /** @param reserve - asks for memory (negative: gives it back); false refuses */
  constructor(reserve: (bytes: number) => boolean) {
    this.#reserve = reserve;
  }

  get size(): number {
    return this.#frames.length - this.#first;
  }

  /**
   * Hold a frame; its payload is copied. Returns whether there was memory for it: without, it is held all the same, and
   * the caller is to take frames out until none is left.
   */
  push(seq: bigint, payload: Uint8Array, afterGap: boolean): boolean {
    const wanted = payload.length + FRAME_BYTES;
    const fits = this.#reserve(wanted);
    const bytes = fits ? wanted : 0;
    this.bytes += bytes;
    this.#frames.push({ seq, payload: payload.slice(), afterGap, bytes });
    return fits;
  }

  /** The oldest, which is held no more. */
  shift(): HeldFrame | undefined {
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
  }
}
