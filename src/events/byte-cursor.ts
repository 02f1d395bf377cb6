/**
 * A place in a payload's bytes, which moves on as they are read.
 * @module
 */
import type { ByteRun } from "./byte-run.js";
import { BrokenSignal } from "./signals.js";

/** Payloads up to here are copied to where the last one was: making two views of one takes longer, and leaves garbage. */
const COPIED_BYTES = 16_384;

const NOTHING = new Uint8Array(0);
const NOTHING_VIEW = new DataView(NOTHING.buffer);

export class ByteCursor {
  /** Offset of the next byte. */
  at = 0;
  /** Where whoever reads in steps is to pause, and how much further the next time. */
  pauseAt = 0;
  stepBytes = 0;
  protected bytes: Uint8Array = NOTHING;
  protected view: DataView = NOTHING_VIEW;
  protected end = 0;
  readonly #own: Uint8Array | undefined;
  readonly #ownView: DataView | undefined;

  /** @param isKept - it reads one payload after the other */
  constructor(isKept: boolean) {
    if (!isKept) return;
    this.#own = new Uint8Array(COPIED_BYTES);
    this.#ownView = new DataView(this.#own.buffer);
  }

  /** Go to the beginning of a payload, which stays as it is while it is read. */
  begin(payload: Uint8Array, stepBytes: number = Number.POSITIVE_INFINITY): this {
    this.at = 0;
    this.stepBytes = this.pauseAt = stepBytes;
    this.end = payload.length;
    if (this.#own !== undefined && payload.length <= COPIED_BYTES) {
      this.#own.set(payload);
      this.bytes = this.#own;
      this.view = this.#ownView!;
      return this;
    }
    // Plain: a Buffer's own `slice` would alias, and mixed classes would slow the loops.
    const isPlain = payload.constructor === Uint8Array;
    this.bytes = isPlain ? payload : new Uint8Array(payload.buffer, payload.byteOffset, payload.length);
    this.view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    return this;
  }

  /** Keep no payload. */
  leave(): void {
    this.bytes = NOTHING;
    this.view = NOTHING_VIEW;
    this.end = this.at = 0;
  }

  get atEnd(): boolean {
    return this.at === this.end;
  }

  /** The next byte, without taking it. */
  peek(): number {
    if (this.at >= this.end) throw new BrokenSignal("truncated", this.end);
    return this.bytes[this.at]!;
  }

  /** Take these bytes if they are next. */
  takeRun({ length, words, last, bytes }: ByteRun): boolean {
    const { at, view } = this;
    if (length > this.end - at) return false;
    if (length < 4) {
      for (let i = 0; i < length; i++) if (this.bytes[at + i] !== bytes[i]) return false;
    } else {
      for (let i = 0; i < words.length; i++) if (view.getInt32(at + 4 * i) !== words[i]) return false;
      if (view.getInt32(at + length - 4) !== last) return false;
    }
    this.at = at + length;
    return true;
  }

  /** A copy of some bytes before here. */
  copy(from: number, to: number): Uint8Array {
    return this.bytes.slice(from, to);
  }

  /** Require `length` bytes from here; gives the offset here. */
  protected need(length: number): number {
    if (length > this.end - this.at) throw new BrokenSignal("truncated", this.end);
    return this.at;
  }

  /** Take a head of `headLength` bytes and a body of `length`; gives the body's offset. */
  protected body(length: number, headLength: number): number {
    const start = this.need(headLength + length) + headLength;
    this.at = start + length;
    return start;
  }

  /** Unsigned integer of 1, 2 or 4 bytes. */
  protected uint(at: number, width: number): number {
    if (at + width > this.end) throw new BrokenSignal("truncated", this.end);
    if (width === 1) return this.view.getUint8(at);
    return width === 2 ? this.view.getUint16(at) : this.view.getUint32(at);
  }
}
