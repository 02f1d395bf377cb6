/**
 * The recording file, version 1: raw frames as they were received, for replaying a stream without its engine.
 * All numbers big-endian.
 *
 *     file    = header record*
 *     header  = 89 "KVREC" 0d 0a (8 bytes; an edited or converted file no longer matches), version u32
 *     record  = length u32 (of the body), body
 *     body    = receivedAt f64, seq u64, fields u8, dataParallelRank u32 (0 unless its bit is set),
 *               topic text, [source text], [pod text], [model text] (each if its bit is set), payload (the rest)
 *     text    = length u32 (bytes), UTF-8
 *     fields  = bit 0 source, bit 1 pod, bit 2 model, bit 3 dataParallelRank
 * @module
 */
import { checkInteger, checkOptions, KvBlockError, rangeMistake, typeMistake } from "../errors.js";
import type { KvFrame } from "../types.js";

/** Largest body that is written, and believed when read: 256 MiB. */
const MAX_RECORD_BYTES = 256 * 1024 * 1024;

export const LENGTH_BYTES = 4;
export const HEADER_BYTES = 12;
const MAGIC: readonly number[] = [0x89, 0x4b, 0x56, 0x52, 0x45, 0x43, 0x0d, 0x0a];
const VERSION = 1;

/** Body bytes before the topic's length. */
const FIXED_BYTES = 8 + 8 + 1 + 4;
const MIN_BODY_BYTES: number = FIXED_BYTES + LENGTH_BYTES;

const TEXT_FIELDS = ["source", "pod", "model"] as const;
const RANK_BIT = 8;
const ALL_BITS = 15;
const MAX_U32 = 0xffffffff;
const MAX_SEQ = 0xffff_ffff_ffff_ffffn;

const FRAME_FIELDS: readonly (keyof KvFrame)[] = [
  "topic",
  "seq",
  "payload",
  "receivedAt",
  "source",
  "pod",
  "model",
  "dataParallelRank",
];

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The header of a new file. */
export function encodeHeader(): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  header.set(MAGIC);
  new DataView(header.buffer).setUint32(MAGIC.length, VERSION);
  return header;
}

/**
 * Check a file's first bytes, or as many of them as it has.
 * @throws KvBlockError `ERR_KVBLOCK_RECORDING` if they begin no recording, or one of another version
 */
export function checkHeader(header: Uint8Array): void {
  if (MAGIC.some((byte, i) => i < header.length && header[i] !== byte))
    throw recordingError("this file is no recording");
  if (header.length < HEADER_BYTES) return;
  const version = new DataView(header.buffer, header.byteOffset).getUint32(MAGIC.length);
  if (version !== VERSION)
    throw recordingError(`this recording has version ${version}; this release reads version ${VERSION}`);
}

/** A body's length from a record's first four bytes. */
export function decodeLength(bytes: Uint8Array, offset: number): number {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  if (length < MIN_BODY_BYTES || length > MAX_RECORD_BYTES)
    throw recordingError(`a record of ${length} bytes at offset ${offset}: the file is damaged`);
  return length;
}

/**
 * One frame as a record, its length included.
 * @throws TypeError or RangeError if it is no frame
 */
export function encodeRecord(frame: KvFrame): Uint8Array {
  checkFrame(frame);
  const texts = [frame.topic, ...TEXT_FIELDS.map((name) => frame[name])].map((text) =>
    text === undefined ? undefined : encoder.encode(text),
  );
  const textBytes = texts.reduce(
    (sum, text) => sum + (text === undefined ? 0 : LENGTH_BYTES + text.length),
    0,
  );
  const length = FIXED_BYTES + textBytes + frame.payload.length;
  if (length > MAX_RECORD_BYTES)
    throw rangeMistake("frame", `at most ${MAX_RECORD_BYTES} bytes`, frame.payload);
  const record = new Uint8Array(LENGTH_BYTES + length);
  const view = new DataView(record.buffer);
  view.setUint32(0, length);
  view.setFloat64(4, frame.receivedAt);
  view.setBigUint64(12, frame.seq);
  const bits = TEXT_FIELDS.reduce((all, name, i) => all | (frame[name] === undefined ? 0 : 1 << i), 0);
  view.setUint8(20, bits | (frame.dataParallelRank === undefined ? 0 : RANK_BIT));
  view.setUint32(21, frame.dataParallelRank ?? 0);
  let at = LENGTH_BYTES + FIXED_BYTES;
  for (const text of texts) {
    if (text === undefined) continue;
    view.setUint32(at, text.length);
    record.set(text, at + LENGTH_BYTES);
    at += LENGTH_BYTES + text.length;
  }
  record.set(frame.payload, at);
  return record;
}

/**
 * Read one body.
 * @param offset - of its record in the file, for messages
 * @returns a frame that shares the body's memory
 * @throws KvBlockError `ERR_KVBLOCK_RECORDING` if its lengths or texts do not fit
 */
export function decodeBody(body: Uint8Array, offset: number): KvFrame {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const bits = view.getUint8(16);
  if (bits > ALL_BITS) throw damaged(offset);
  let at = FIXED_BYTES;
  const takeText = (): string => {
    const start = at + LENGTH_BYTES;
    if (start > body.length || view.getUint32(at) > body.length - start) throw damaged(offset);
    at = start + view.getUint32(at);
    try {
      return decoder.decode(body.subarray(start, at));
    } catch (cause) {
      throw damaged(offset, cause);
    }
  };
  const topic = takeText();
  const texts: Partial<Record<(typeof TEXT_FIELDS)[number], string>> = {};
  for (const [i, name] of TEXT_FIELDS.entries()) if (bits & (1 << i)) texts[name] = takeText();
  return {
    topic,
    seq: view.getBigUint64(8),
    payload: body.subarray(at),
    receivedAt: view.getFloat64(0),
    ...texts,
    ...(bits & RANK_BIT && { dataParallelRank: view.getUint32(17) }),
  };
}

/** The error of a file that cannot be read or written. */
export function recordingError(message: string, cause?: unknown): KvBlockError {
  return new KvBlockError("ERR_KVBLOCK_RECORDING", message, { cause });
}

function damaged(offset: number, cause?: unknown): KvBlockError {
  return recordingError(`the record at offset ${offset} is damaged`, cause);
}

function checkFrame(frame: KvFrame): void {
  checkOptions("frame", frame, FRAME_FIELDS);
  const { topic, seq, payload, receivedAt, dataParallelRank } = frame;
  if (typeof topic !== "string") throw typeMistake("topic", "string", topic);
  if (typeof seq !== "bigint") throw typeMistake("seq", "bigint", seq);
  if (seq < 0n || seq > MAX_SEQ) throw rangeMistake("seq", "bigint 0 … 2^64-1", seq);
  if (!(payload instanceof Uint8Array)) throw typeMistake("payload", "Uint8Array", payload);
  if (typeof receivedAt !== "number") throw typeMistake("receivedAt", "number", receivedAt);
  for (const name of TEXT_FIELDS)
    if (frame[name] !== undefined && typeof frame[name] !== "string")
      throw typeMistake(name, "string", frame[name]);
  if (dataParallelRank !== undefined) checkInteger("dataParallelRank", dataParallelRank, 0, MAX_U32);
}
