/**
 * `kvblock/events`: an engine's bytes → frames → decoded events.
 * @module
 */
export { BatchPool } from "./batch-pool.js";
export type { CurveClient, CurveKey, CurveServer } from "./curve.js";
export { decodeEventBatch, decodeInSteps } from "./decode.js";
export type {
  AllBlocksCleared,
  BatchFailure,
  BatchFailureReason,
  BlockRemoved,
  BlockStored,
  EventBatch,
  KvEvent,
  SkippedEvent,
  SkipReason,
} from "./event-types.js";
export { parseFrame } from "./frame.js";
export { type Recording, readRecording } from "./recording-reader.js";
export { createRecording, type RecordingWriter } from "./recording-writer.js";
export type { Repair, ReplayPolicy } from "./repairing-feed.js";
export { encodeReplayRequest, parseReplayReply, type ReplayReply } from "./replay.js";
export { type EventSocket, openEventSocket } from "./subscriber.js";
export type { EventSocketOptions } from "./subscriber-options.js";
export { formatTopic, parseTopic, type TopicNames } from "./topic.js";
export type { EndpointState, TransportSnapshot } from "./transport.js";
