/**
 * `kvblock/events`: an engine's bytes → frames → decoded events.
 * @module
 */
export { decodeEventBatch } from "./decode.js";
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
export { encodeReplayRequest, parseReplayReply, type ReplayReply } from "./replay.js";
export { formatTopic, parseTopic, type TopicNames } from "./topic.js";
