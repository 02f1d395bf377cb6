/**
 * A connection's bytes, as they come → parts of messages, and commands: flags (1 byte), size (1 or 8 bytes, big-endian),
 * body. Source: ZeroMQ RFC 23, "traffic".
 * @module
 */
import { Breach, COMMAND, LONG, MORE } from "./protocol.js";

const SHORT_HEAD = 2;
const LONG_HEAD = 9;
const NOTHING = new Uint8Array(0);
/** A part that came in pieces has memory for all of it at once up to here; beyond, as much again as has come. */
const TRUSTED_BYTES = 1024 * 1024;

/** Reads one part after the other: `next`, then `bytes` from `from` to `to`. */
export class PartReader {
  flags = 0;
  /** Where the part is. It is overwritten when its connection reads on, unless {@link isOwn}. */
  bytes: Uint8Array = NOTHING;
  from = 0;
  to = 0;
  /** The part came in pieces, so that it is in memory of its own. */
  isOwn = false;
  readonly #maxBytes: number;
  #chunk: Uint8Array = NOTHING;
  #at = 0;
  #end = 0;
  /** The beginning of a part, its head too, whose rest has not come. */
  #begun: Uint8Array = NOTHING;
  #begunBytes = 0;

  /** @param maxBytes - largest part */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** What was read next from the connection. There must be none left of what was before: see {@link next}. */
  feed(chunk: Uint8Array, from: number, to: number): void {
    this.#chunk = chunk;
    this.#at = from;
    this.#end = to;
  }

  /**
   * The next part; false if the rest of it has not come.
   * @throws Breach if it is none, or too large
   */
  next(): boolean {
    if (this.#begunBytes > 0) return this.#finish();
    const head = headOf(this.#chunk, this.#at, this.#end);
    if (head === 0) return this.#begin(0);
    const size = sizeOf(this.#chunk, this.#at);
    this.#check(this.#chunk[this.#at]!, size);
    const from = this.#at + head;
    if (size > this.#end - from) return this.#begin(head + size);
    this.flags = this.#chunk[this.#at]!;
    this.bytes = this.#chunk;
    this.from = from;
    this.to = from + size;
    this.isOwn = false;
    this.#at = this.to;
    return true;
  }

  #check(flags: number, size: number): void {
    if ((flags & ~(MORE | LONG | COMMAND)) !== 0) throw new Breach("the peer breaks ZMTP's framing");
    if (size > this.#maxBytes) throw new Breach(`a message over maxFrameBytes (${this.#maxBytes})`);
  }

  /** Keep what there is of a part. @param bytes - head and body; 0: not known yet */
  #begin(bytes: number): false {
    const have = this.#end - this.#at;
    if (have > 0) {
      this.#begun = new Uint8Array(roomFor(have, Math.max(bytes, LONG_HEAD)));
      this.#append(have);
    }
    return false;
  }

  #finish(): boolean {
    let head = headOf(this.#begun, 0, this.#begunBytes);
    for (; head === 0 && this.#at < this.#end; head = headOf(this.#begun, 0, this.#begunBytes))
      this.#append(1);
    if (head === 0) return false;
    const size = sizeOf(this.#begun, 0);
    this.#check(this.#begun[0]!, size);
    const missing = head + size - this.#begunBytes;
    const come = Math.min(missing, this.#end - this.#at);
    if (this.#begun.length < this.#begunBytes + come) {
      const grown = new Uint8Array(roomFor(this.#begunBytes + come, head + size));
      grown.set(this.#begun.subarray(0, this.#begunBytes));
      this.#begun = grown;
    }
    this.#append(come);
    if (come < missing) return false;
    this.flags = this.#begun[0]!;
    this.bytes = this.#begun;
    this.from = head;
    this.to = head + size;
    this.isOwn = true;
    this.#begun = NOTHING;
    this.#begunBytes = 0;
    return true;
  }

  #append(count: number): void {
    this.#begun.set(this.#chunk.subarray(this.#at, this.#at + count), this.#begunBytes);
    this.#begunBytes += count;
    this.#at += count;
  }
}

/** The length of the head at `at`; 0 if it has not come whole. */
function headOf(bytes: Uint8Array, at: number, end: number): number {
  if (end - at < SHORT_HEAD) return 0;
  if ((bytes[at]! & LONG) === 0) return SHORT_HEAD;
  return end - at < LONG_HEAD ? 0 : LONG_HEAD;
}

/** Infinity where it is more than a number holds. */
function sizeOf(bytes: Uint8Array, at: number): number {
  if ((bytes[at]! & LONG) === 0) return bytes[at + 1]!;
  if (bytes[at + 1] !== 0 || (bytes[at + 2]! & 0xe0) !== 0) return Number.POSITIVE_INFINITY;
  let size = 0;
  for (let i = at + 1; i < at + LONG_HEAD; i++) size = size * 256 + bytes[i]!;
  return size;
}

/** A peer that announces much and sends little takes little. */
function roomFor(have: number, whole: number): number {
  return whole <= TRUSTED_BYTES ? whole : Math.min(whole, Math.max(TRUSTED_BYTES, 2 * have));
}
