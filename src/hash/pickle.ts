/**
 * Pickle, protocol 5, byte for byte as CPython 3.8 and later write it: what vLLM's `sha256` and `xxhash` hash.
 *
 *     80 05                          PROTO 5
 *     95 <u64 LE n> <n bytes>        FRAME; a frame of 64 KiB or more ends where the next value begins
 *
 *     None          4e               str  < 256 bytes    8c <u8>  data 94
 *     int 0..255    4b <u8>          str                 58 <u32> data 94
 *     int 0..65535  4d <u16>         bytes < 256         43 <u8>  data 94
 *     int i32       4a <i32>         bytes               42 <u32> data 94
 *     int else      8a <u8 n> data   tuple of 0          29
 *     seen before   68 <u8>          tuple of 1 2 3      items, 85 86 87, 94
 *     seen before   6a <u32>         tuple of more       28, items, 74 94
 *     end           2e
 *
 * Numbers are little-endian. `94` (MEMOIZE) numbers the objects 0, 1, 2 … in the order written. A str or bytes of
 * 64 KiB or more stands between two frames; a frame of less than 4 bytes goes without its header.
 *
 * Pickle writes an *object* it has seen as a reference, but an equal other object again in full. An engine's keys are
 * decoded off a socket, each to an object of its own, and so written in full each time. But decoding gives one and the
 * same object for each str and bytes that is empty or of one (Latin-1) character: those are referenced.
 * Source: CPython `Modules/_pickle.c` (`save`, `_Pickler_OpcodeBoundary`). Vectors: test/vectors/serialization.json.
 * @module
 */
import type { BlockFormat, PlainValue } from "./format.js";
import { Scratch } from "./scratch.js";
import type { HashKey } from "./tagged-keys.js";
import { utf8Length, writeUtf8 } from "./utf8.js";

const FRAME_TARGET = 65536;
const FRAME_HEADER_BYTES = 9;
const FRAME_MIN_BYTES = 4;
const MEMOIZE = 0x94;

/** Writes one pickle at a time. */
export class PickleFormat implements BlockFormat {
  readonly #out: Scratch = new Scratch();
  /** Offset of the open frame's first byte, after the room kept for its header. */
  #frame = 0;
  /** Objects memoized so far. */
  #memoized = 0;
  /** Memo index of each one-object-only value; null until there is one, which is nearly always. */
  #shared: Map<string, number> | null = null;

  /** The pickle of any value; a view, valid until the next call. */
  value(value: PlainValue): Uint8Array {
    this.#begin();
    this.#save(value);
    return this.#end();
  }

  /** The pickle of `(parent, tokens, extra)`. */
  block(
    parent: Uint8Array,
    parentAt: number,
    parentLength: number,
    tokens: Uint32Array,
    start: number,
    count: number,
    extra: readonly HashKey[] | null,
  ): Uint8Array {
    this.#begin();
    this.#bytes(parent, parentAt, parentLength);
    this.#tokens(tokens, start, count);
    this.#save(extra);
    this.#opcode(0x87);
    this.#memoize();
    return this.#end();
  }

  #begin(): void {
    const out = this.#out;
    out.at = 0;
    const bytes = out.reserve(2);
    bytes[0] = 0x80;
    bytes[1] = 5;
    out.at = 2;
    this.#memoized = 0;
    this.#shared = null;
    this.#openFrame();
  }

  #end(): Uint8Array {
    this.#opcode(0x2e);
    this.#closeFrame();
    return this.#out.written();
  }

  #openFrame(): void {
    this.#out.reserve(FRAME_HEADER_BYTES);
    this.#frame = this.#out.at += FRAME_HEADER_BYTES;
  }

  #closeFrame(): void {
    const { bytes, at } = this.#out;
    const header = this.#frame - FRAME_HEADER_BYTES;
    const length = at - this.#frame;
    if (length < FRAME_MIN_BYTES) {
      bytes.copyWithin(header, this.#frame, at);
      this.#out.at -= FRAME_HEADER_BYTES;
      return;
    }
    bytes[header] = 0x95;
    writeU32(bytes, header + 1, length);
    writeU32(bytes, header + 5, 0);
  }

  /** Where a value begins, a full frame ends. */
  #boundary(): void {
    if (this.#out.at - this.#frame < FRAME_TARGET) return;
    this.#closeFrame();
    this.#openFrame();
  }

  #opcode(opcode: number): void {
    const out = this.#out;
    out.reserve(1)[out.at++] = opcode;
  }

  #memoize(): void {
    this.#opcode(MEMOIZE);
    this.#memoized++;
  }

  #save(value: PlainValue): void {
    if (typeof value === "string") this.#text(value);
    else if (value instanceof Uint8Array) this.#bytes(value, 0, value.length);
    else {
      this.#boundary();
      if (value === null) this.#opcode(0x4e);
      else if (typeof value === "object") this.#tuple(value);
      else this.#integer(value);
    }
  }

  #tuple(items: readonly PlainValue[]): void {
    if (items.length > 3) this.#opcode(0x28);
    for (const [i, item] of items.entries()) {
      // vLLM's tag is a constant of its code: one object, however many items a block has.
      if (i === 0 && item === "mm" && items.length === 3) this.#text(item, true);
      else this.#save(item);
    }
    this.#opcode(TUPLE_END[items.length] ?? 0x74);
    if (items.length > 0) this.#memoize();
  }

  #tokens(tokens: Uint32Array, start: number, count: number): void {
    this.#boundary();
    if (count > 3) this.#opcode(0x28);
    const out = this.#out;
    // At most 7 bytes each, and a frame header for every 64 KiB.
    let bytes = out.reserve(7 * count + FRAME_HEADER_BYTES * (1 + Math.ceil((7 * count) / FRAME_TARGET)));
    let at = out.at;
    for (let i = start, end = start + count; i < end; i++) {
      if (at - this.#frame >= FRAME_TARGET) {
        out.at = at;
        this.#boundary();
        ({ bytes, at } = out);
      }
      const token = tokens[i]!;
      if (token < 0x100) {
        bytes[at] = 0x4b;
        bytes[at + 1] = token;
        at += 2;
      } else if (token < 0x10000) {
        bytes[at] = 0x4d;
        bytes[at + 1] = token;
        bytes[at + 2] = token >>> 8;
        at += 3;
      } else if (token < 0x80000000) {
        bytes[at] = 0x4a;
        writeU32(bytes, at + 1, token);
        at += 5;
      } else {
        bytes[at] = 0x8a;
        bytes[at + 1] = 5;
        writeU32(bytes, at + 2, token);
        bytes[at + 6] = 0;
        at += 7;
      }
    }
    out.at = at;
    this.#opcode(TUPLE_END[count] ?? 0x74);
    if (count > 0) this.#memoize();
  }

  #integer(value: number | bigint): void {
    const out = this.#out;
    if (value >= 0 && value < 0x10000) {
      const small = Number(value);
      const bytes = out.reserve(3);
      const wide = small >= 0x100;
      bytes[out.at++] = wide ? 0x4d : 0x4b;
      bytes[out.at++] = small;
      if (wide) bytes[out.at++] = small >>> 8;
    } else if (value >= -0x80000000 && value < 0x80000000) {
      const bytes = out.reserve(5);
      bytes[out.at] = 0x4a;
      writeU32(bytes, out.at + 1, Number(value));
      out.at += 5;
    } else this.#long(BigInt(value));
  }

  /** LONG1: the shortest two's complement, little-endian. */
  #long(value: bigint): void {
    const digits: number[] = [];
    let rest = value;
    let last: number;
    do {
      last = Number(rest & 0xffn);
      digits.push(last);
      rest >>= 8n;
    } while (!(rest === 0n && last < 0x80) && !(rest === -1n && last >= 0x80));
    this.#opcode(0x8a);
    this.#opcode(digits.length);
    for (const digit of digits) this.#opcode(digit);
  }

  #text(
    text: string,
    shared: boolean = text === "" || (text.length === 1 && text.charCodeAt(0) < 0x100),
  ): void {
    this.#boundary();
    if (shared && this.#reference(`str ${text}`)) return;
    const length = utf8Length(text);
    this.#head(length, 0x8c, 0x58);
    const out = this.#out;
    writeUtf8(text, out.reserve(length), out.at);
    this.#payloadEnd(length);
  }

  #bytes(data: Uint8Array, from: number, length: number): void {
    this.#boundary();
    if (length < 2 && this.#reference(`bytes ${length === 0 ? "" : data[from]}`)) return;
    this.#head(length, 0x43, 0x42);
    const out = this.#out;
    const bytes = out.reserve(length);
    for (let i = 0, at = out.at; i < length; i++) bytes[at + i] = data[from + i]!;
    this.#payloadEnd(length);
  }

  /** Write a reference to a value that was written before; else remember that it is written now. */
  #reference(key: string): boolean {
    this.#shared ??= new Map();
    const index = this.#shared.get(key);
    if (index === undefined) {
      this.#shared.set(key, this.#memoized);
      return false;
    }
    const out = this.#out;
    const bytes = out.reserve(5);
    if (index < 0x100) {
      bytes[out.at] = 0x68;
      bytes[out.at + 1] = index;
      out.at += 2;
    } else {
      bytes[out.at] = 0x6a;
      writeU32(bytes, out.at + 1, index);
      out.at += 5;
    }
    return true;
  }

  #head(length: number, short: number, long: number): void {
    if (length >= FRAME_TARGET) this.#closeFrame();
    const out = this.#out;
    const bytes = out.reserve(5);
    if (length < 0x100) {
      bytes[out.at] = short;
      bytes[out.at + 1] = length;
      out.at += 2;
    } else {
      bytes[out.at] = long;
      writeU32(bytes, out.at + 1, length);
      out.at += 5;
    }
  }

  #payloadEnd(length: number): void {
    this.#out.at += length;
    if (length >= FRAME_TARGET) this.#openFrame();
    this.#memoize();
  }
}

/** EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3; longer ones end with TUPLE. */
const TUPLE_END: readonly number[] = [0x29, 0x85, 0x86, 0x87];

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}
