/**
 * The engine's replay protocol, as bytes. A DEALER sends `["", start]` and receives what the engine still has from
 * `start` on, then an end mark.
 *
 * | dialect | one batch | end mark |
 * |---|---|---|
 * | vLLM before PR 45177, SGLang | `["", seq, payload]` | `["", ff×8, ""]` |
 * | vLLM after | `["", topic, seq, payload]` | `["", "", ff×8, ""]` |
 * | early drafts | | `["", ""]` |
 *
 * Source: vLLM `kv_events.py`, `ZmqEventPublisher._service_replay`.
 * @module
 */
import { rangeMistake, typeMistake } from "../errors.js";
import { decodeSeq, decodeTopic, notAFrame, plainBytes } from "./frame.js";

const END_SEQ = 0xffff_ffff_ffff_ffffn;

/** One message of a replay: a batch, or the mark that no more follow. */
export type ReplayReply =
  | {
      readonly type: "batch";
      /** Null in the dialect that does not send it. */
      readonly topic: string | null;
      readonly seq: bigint;
      /** Shares the message's memory. */
      readonly payload: Uint8Array;
    }
  | { readonly type: "end" };

/**
 * The request for every batch from `start` on: the parts for a DEALER, the empty delimiter included.
 * @throws TypeError if not a bigint, RangeError if not within 0 … 2^64-1
 */
export function encodeReplayRequest(start: bigint): [delimiter: Uint8Array, start: Uint8Array] {
  if (typeof start !== "bigint") throw typeMistake("start", "bigint", start);
  if (start < 0n || start > END_SEQ) throw rangeMistake("start", "bigint 0 … 2^64-1", start);
  const seq = new Uint8Array(8);
  new DataView(seq.buffer).setBigUint64(0, start);
  return [new Uint8Array(0), seq];
}

/**
 * Read one reply, of either dialect, as a DEALER sees it (delimiter first) or a REQ (without).
 * @throws KvBlockError `ERR_KVBLOCK_FRAME` if it is no reply
 */
export function parseReplayReply(parts: readonly Uint8Array[]): ReplayReply {
  if (!Array.isArray(parts)) throw typeMistake("parts", "an array of Uint8Array", parts);
  if (parts.length <= 2 && parts.every((part: Uint8Array) => part.byteLength === 0)) return { type: "end" };
  // Read from the end: a leading empty part is a delimiter or an empty topic, which only the count tells apart.
  const payload = parts.at(-1);
  const seqPart = parts.at(-2);
  if (parts.length > 4 || payload === undefined || seqPart === undefined)
    throw notAFrame(`a replay reply of 2 to 4 parts, got ${parts.length}`);
  const seq = decodeSeq(seqPart);
  if (seq === END_SEQ && payload.byteLength === 0) return { type: "end" };
  const head = parts.length === 2 ? undefined : parts.at(-3)!;
  const isTopic = parts.length === 4 || (head !== undefined && head.byteLength > 0);
  return { type: "batch", topic: isTopic ? decodeTopic(head!) : null, seq, payload: plainBytes(payload) };
}
