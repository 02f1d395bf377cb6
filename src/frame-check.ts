/**
 * Whether what a host hands over is a frame.
 * @module
 */
import { checkInteger, rangeMistake, typeMistake } from "./errors.js";
import type { KvFrame } from "./types.js";

/**
 * Frames come from anywhere: JSON has no bigint, and a worker's message may be another object.
 * @throws TypeError or RangeError for the first field that is not what it should be
 */
export function checkFrame(frame: KvFrame): void {
  if (typeof frame !== "object" || frame === null) throw typeMistake("frame", "a KvFrame", frame);
  const { topic, seq, payload, receivedAt, pod, model, dataParallelRank } = frame;
  if (typeof topic !== "string") throw typeMistake("frame.topic", "string", topic);
  if (typeof seq !== "bigint") throw typeMistake("frame.seq", "bigint", seq);
  if (!(payload instanceof Uint8Array)) throw typeMistake("frame.payload", "Uint8Array", payload);
  if (typeof receivedAt !== "number")
    throw typeMistake("frame.receivedAt", "milliseconds as a number", receivedAt);
  if (!Number.isFinite(receivedAt)) throw rangeMistake("frame.receivedAt", "finite milliseconds", receivedAt);
  if (pod !== undefined && typeof pod !== "string") throw typeMistake("frame.pod", "string", pod);
  if (model !== undefined && typeof model !== "string") throw typeMistake("frame.model", "string", model);
  if (dataParallelRank !== undefined)
    checkInteger("frame.dataParallelRank", dataParallelRank, 0, 0xffff_ffff);
}
