/**
 * A publisher as {@link Indexer.pods} shows it.
 * @module
 */
import type { Publisher } from "./publisher-state.js";
import type { PodStatus } from "./types.js";

/** @param blocks - that it holds, by the name of their tier */
export function statusOf(publisher: Publisher, blocks: ReadonlyMap<string, number>, now: number): PodStatus {
  const { mode, lastFrameAt } = publisher;
  return {
    pod: publisher.pod,
    model: publisher.model,
    dataParallelRank: publisher.dataParallelRank,
    state: publisher.state,
    complete: publisher.complete && publisher.frames > 0,
    generation: publisher.generation,
    mode,
    algorithm: mode === "exact" ? (publisher.hashed?.algorithm ?? null) : null,
    blockSize: publisher.blockSize,
    blocks: Object.fromEntries(blocks),
    lastSeq: publisher.sequence.last?.toString() ?? null,
    lastEventAgeMs: lastFrameAt === null ? null : Math.max(0, now - lastFrameAt),
    frames: publisher.frames,
    gaps: publisher.gaps,
    lostFrames: Number(publisher.lostFrames),
    duplicateFrames: publisher.duplicateFrames,
    lateFrames: publisher.lateFrames,
    restarts: publisher.restarts,
    heldFrames: publisher.held.size,
    parkedStores: publisher.parked.size,
  };
}
