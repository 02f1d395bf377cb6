/**
 * A cursor over msgpack bytes (github.com/msgpack/msgpack, spec.md), reading straight into numbers and typed arrays.
 *
 * A reader that finds another type than asked returns undefined (or -1) and stays where it is; bytes that end early
 * raise a {@link BrokenSignal}. No declared length is believed beyond the bytes present: n elements take at least n
 * bytes. Nothing recurses.
 * @module
 */
import { ByteCursor } from "./byte-cursor.js";
import type { EventRoom } from "./event-room.js";
import { FIXED_BYTES, fixedInteger } from "./msgpack-heads.js";
import { BrokenSignal } from "./signals.js";
import { wireWord } from "./wire-words.js";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes of a string or byte string that are looked at: no name, key or digest of an engine is longer. */
const MAX_TEXT = 65_536;

export class MsgpackCursor extends ByteCursor {
  /** What is read goes into its events and lists. */
  readonly room: EventRoom;

  /** @param isKept - it reads one payload after the other */
  constructor(room: EventRoom, isKept = false) {
    super(isKept);
    this.room = room;
  }

  /** Take a nil if one is next. */
  takeNil(): boolean {
    if (this.peek() !== 0xc0) return false;
    this.at++;
    return true;
  }

  /** Take so many nils if they are next. */
  takeNils(count: number): boolean {
    const end = this.at + count;
    for (let at = this.at; at < end; at++) if (this.bytes[at] !== 0xc0) return false;
    this.at = end;
    return true;
  }

  /** Take an array's head: its element count, or -1 if another type is next. */
  arrayLength(): number {
    const head = this.peek();
    if (head >= 0x90 && head <= 0x9f) return this.#count(head & 0x0f, 1, 1);
    if (head === 0xdc) return this.#count(this.uint(this.at + 1, 2), 3, 1);
    if (head === 0xdd) return this.#count(this.uint(this.at + 1, 4), 5, 1);
    return -1;
  }

  /** Take a map's head: its entry count, or -1 if another type is next. */
  mapLength(): number {
    const head = this.peek();
    if (head >= 0x80 && head <= 0x8f) return this.#count(head & 0x0f, 1, 2);
    if (head === 0xde) return this.#count(this.uint(this.at + 1, 2), 3, 2);
    if (head === 0xdf) return this.#count(this.uint(this.at + 1, 4), 5, 2);
    return -1;
  }

  /**
   * Take a string; one of the wire's own words comes without decoding. Undefined too for invalid UTF-8, and for one that
   * is longer than any engine's.
   */
  string(): string | undefined {
    const head = this.peek();
    const before = this.at;
    let start: number;
    if (head >= 0xa0 && head <= 0xbf) start = this.body(head & 0x1f, 1);
    else if (head >= 0xd9 && head <= 0xdb) {
      const width = 1 << (head - 0xd9);
      start = this.body(this.uint(before + 1, width), 1 + width);
    } else return undefined;
    const word = wireWord(this.view, start, this.at - start);
    if (word !== undefined) return word;
    try {
      if (this.at - start <= MAX_TEXT) return utf8.decode(this.bytes.subarray(start, this.at));
    } catch {
      // not UTF-8
    }
    this.at = before;
    return undefined;
  }

  /** Take a byte string: a copy. Undefined too for one that is longer than any digest. */
  binary(): Uint8Array | undefined {
    const head = this.peek();
    if (head < 0xc4 || head > 0xc6) return undefined;
    const width = 1 << (head - 0xc4);
    const before = this.at;
    const start = this.body(this.uint(before + 1, width), 1 + width);
    if (this.at - start <= MAX_TEXT) return this.bytes.slice(start, this.at);
    this.at = before;
    return undefined;
  }

  /** Take an integer that a JS number holds exactly. */
  integer(): number | undefined {
    const head = this.peek();
    if (head <= 0x7f || head >= 0xe0) {
      this.at++;
      return head <= 0x7f ? head : head - 0x100;
    }
    if (head < 0xcc || head > 0xd3) return undefined;
    const from = this.need(1 + FIXED_BYTES[head - 0xc4]!) + 1;
    const value = fixedInteger(this.view, head, from);
    if (!Number.isSafeInteger(value)) return undefined;
    this.at = from + FIXED_BYTES[head - 0xc4]!;
    return value;
  }

  /** Take a number: float, or integer (rounded beyond 2^53). */
  number(): number | undefined {
    const head = this.peek();
    if (head === 0xca || head === 0xcb) {
      const from = this.need(head === 0xca ? 5 : 9) + 1;
      this.at = from + (head === 0xca ? 4 : 8);
      return head === 0xca ? this.view.getFloat32(from) : this.view.getFloat64(from);
    }
    if (head !== 0xcf && head !== 0xd3) return this.integer();
    const from = this.need(9) + 1;
    this.at = from + 8;
    return fixedInteger(this.view, head, from);
  }

  /**
   * Take a block hash into `out[index]`, `out[index + 1]` as `[hi, lo]` of its low 64 bits: any 64-bit integer, or
   * bytes of a digest's length (8, or one or several digests of 16 or 32).
   * @returns false if another value is next
   */
  hash(out: Uint32Array, index: number): boolean {
    const head = this.peek();
    const view = this.view;
    if (head === 0xcf || head === 0xd3) {
      const from = this.need(9) + 1;
      out[index] = view.getUint32(from);
      out[index + 1] = view.getUint32(from + 4);
      this.at = from + 8;
      return true;
    }
    if (head >= 0xc4 && head <= 0xc6) {
      const before = this.at;
      const width = 1 << (head - 0xc4);
      const length = this.uint(before + 1, width);
      this.body(length, 1 + width);
      if (length !== 8 && (length === 0 || length % 16 !== 0)) {
        this.at = before;
        return false;
      }
      out[index] = view.getUint32(this.at - 8);
      out[index + 1] = view.getUint32(this.at - 4);
      return true;
    }
    const value = this.integer(); // 32 bits or fewer: the 64-bit heads are above
    if (value === undefined) return false;
    out[index] = value < 0 ? 0xffffffff : 0;
    out[index + 1] = value >>> 0;
    return true;
  }

  /**
   * Fill `out[from]` … `out[to - 1]` from the next elements, which must be block hashes.
   * @returns false if one is not
   */
  hashes(out: Uint32Array, from: number, to: number): boolean {
    const bytes = this.bytes;
    const view = this.view;
    const last = this.end - 9;
    for (let i = from; i < to; i += 2) {
      const at = this.at;
      if (at <= last && bytes[at] === 0xcf) {
        out[i] = view.getUint32(at + 1);
        out[i + 1] = view.getUint32(at + 5);
        this.at = at + 9;
      } else if (!this.hash(out, i)) return false;
    }
    return true;
  }

  /**
   * Fill `out[from]` … `out[to - 1]` from the next elements, which must be integers 0 … 2^32-1.
   * @returns where it ended: before `to` if another value is next
   */
  uint32s(out: Uint32Array, from: number, to: number): number {
    const bytes = this.bytes;
    const view = this.view;
    const last = this.end - 5;
    let at = this.at;
    let i = from;
    for (; i < to; i++) {
      const head = at <= last ? bytes[at]! : 0xc1;
      const narrower = 0xce - head;
      if (narrower >>> 1 === 0) {
        // 32 or 16 bits, without a branch between them: of random ids either is as likely (measured: 2.4 times as fast).
        out[i] = view.getUint32(at + 1) >>> (narrower << 4);
        at += 5 - 2 * narrower;
      } else if (head <= 0x7f) {
        out[i] = head;
        at += 1;
      } else if (head === 0xcc) {
        out[i] = bytes[at + 1]!;
        at += 2;
      } else {
        // Other spellings of the same number, other types, and the last bytes.
        this.at = at;
        const value = this.integer();
        if (value === undefined || value < 0 || value > 0xffffffff) {
          this.at = at;
          return i;
        }
        out[i] = value;
        at = this.at;
      }
    }
    this.at = at;
    return i;
  }

  /**
   * Pass over `pending` values of any type and depth, or the first `limit` of what is in them.
   * @returns how many are still to be passed; counts of nested ones are added, so no stack is needed
   */
  skip(pending: number, limit: number): number {
    for (let left = limit; pending > 0 && left > 0; left--) {
      pending--;
      const head = this.peek();
      if (head <= 0x7f || head >= 0xe0 || head === 0xc0 || head === 0xc2 || head === 0xc3) this.at++;
      else if (head === 0xc1) throw new BrokenSignal("invalid-byte", this.at);
      else if (head <= 0x8f || head >= 0xde) pending += 2 * this.mapLength();
      else if (head <= 0x9f || head >= 0xdc) pending += this.arrayLength();
      else if (head <= 0xbf) this.body(head & 0x1f, 1);
      else this.#skipSized(head);
      if (pending > this.end - this.at) throw new BrokenSignal("truncated", this.end);
    }
    return pending;
  }

  /** Pass over a byte string, extension, number or long string: heads `0xc4 … 0xdb`. */
  #skipSized(head: number): void {
    const fixed = FIXED_BYTES[head - 0xc4]!;
    if (fixed >= 0) this.body(fixed, 1);
    else {
      const isExtension = head >= 0xc7 && head <= 0xc9;
      const width = 1 << (head - (head >= 0xd9 ? 0xd9 : isExtension ? 0xc7 : 0xc4));
      this.body(this.uint(this.at + 1, width) + (isExtension ? 1 : 0), 1 + width);
    }
  }

  /** Take a container's head, whose `count` elements take at least `bytesEach` bytes each. */
  #count(count: number, headLength: number, bytesEach: number): number {
    this.need(headLength + count * bytesEach);
    this.at += headLength;
    return count;
  }
}
