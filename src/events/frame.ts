/**
 * A ZeroMQ message of an engine's event stream → a frame. Three parts: topic (UTF-8), sequence number (8 bytes,
 * big-endian), payload (one msgpack event batch). Source: vLLM `kv_events.py`, `ZmqEventPublisher`.
 * @module
 */
import { KvBlockError, typeMistake } from "../errors.js";
import type { KvFrame } from "../types.js";

const SEQ_BYTES = 8;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Read one message.
 *
 * @param parts - as received, topic first
 * @param receivedAt - milliseconds since the epoch
 * @param source - where it came from, for diagnostics
 * @returns a frame whose payload shares the third part's memory
 * @throws KvBlockError `ERR_KVBLOCK_FRAME` if it is not an event message
 */
export function parseFrame(parts: readonly Uint8Array[], receivedAt: number, source?: string): KvFrame {
  if (!Array.isArray(parts)) throw typeMistake("parts", "an array of Uint8Array", parts);
  if (typeof receivedAt !== "number") throw typeMistake("receivedAt", "number", receivedAt);
  const [topic, seq, payload]: readonly Uint8Array[] = parts;
  if (parts.length !== 3 || topic === undefined || seq === undefined || payload === undefined)
    throw wrongParts(parts.length);
  const frame: KvFrame = {
    topic: decodeTopic(topic),
    seq: decodeSeq(seq),
    payload: plainBytes(payload),
    receivedAt,
  };
  if (source !== undefined) frame.source = source;
  return frame;
}

/** @throws KvBlockError `ERR_KVBLOCK_FRAME` if not UTF-8 */
export function decodeTopic(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw notAFrame("a topic in UTF-8", cause);
  }
}

/**
 * Not by a view, which would be made for each frame: 116 ns, and 12 so (measured, Node 20).
 * @throws KvBlockError `ERR_KVBLOCK_FRAME` if not 8 bytes
 */
export function decodeSeq(bytes: Uint8Array, from = 0, to: number = bytes.length): bigint {
  if (to - from !== SEQ_BYTES) throw notAFrame(`a sequence number of ${SEQ_BYTES} bytes, got ${to - from}`);
  const high = word(bytes, from);
  const low = BigInt(word(bytes, from + 4));
  return high === 0 ? low : (BigInt(high) << 32n) | low;
}

/** 4 bytes, big-endian. */
function word(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** The same memory without Node's Buffer methods, whose `slice` aliases where Uint8Array's copies. */
export function plainBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function wrongParts(count: number): KvBlockError {
  return notAFrame(`3 parts (topic, sequence number, payload), got ${count}`);
}

/** The error of a message whose parts together are too large. */
export function oversized(bytes: number, maxFrameBytes: number): KvBlockError {
  return new KvBlockError(
    "ERR_KVBLOCK_FRAME",
    `a message of ${bytes} bytes is over maxFrameBytes (${maxFrameBytes})`,
  );
}

/** The error of a message that is not what it should be. */
export function notAFrame(expected: string, cause?: unknown): KvBlockError {
  return new KvBlockError("ERR_KVBLOCK_FRAME", `not a KV event message: expected ${expected}`, { cause });
}
