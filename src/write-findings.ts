/**
 * What the write path and its feeds have to tell: the words of their diagnostics.
 * @module
 */
import type { Finding } from "./diagnostics.js";
import type { EventBatch, Repair } from "./events/index.js";
import { LIFE_MS, type Publisher } from "./publisher-state.js";
import { MAX_PUBLISHERS } from "./publishers.js";
import type { KvFrame } from "./types.js";

type Who = Pick<Finding, "pod" | "model" | "dataParallelRank">;

const whose = ({ pod, model, dataParallelRank }: Who): Who => ({ pod, model, dataParallelRank });

export function sequenceGap(publisher: Publisher, seq: bigint): Finding {
  const { pod, gaps } = publisher;
  return {
    code: "sequence-gap",
    severity: "warning",
    message: `${pod}: ${publisher.lostFrames} event frames were lost in ${gaps} gaps; what it held before is suspect.`,
    fix: "Raise the engine's hwm and the subscription's receiveHighWaterMark, and keep the host's event loop free; a restart of the engine or a cache reset makes its history complete again.",
    ...whose(publisher),
    evidence: { lastSeq: seq.toString(), lostFrames: Number(publisher.lostFrames), gaps },
  };
}

export function engineRestarted(publisher: Publisher, seq: bigint): Finding {
  return {
    code: "engine-restarted",
    severity: "info",
    message: `${publisher.pod}: the engine process was restarted; what the old one held is void.`,
    fix: "Nothing, if the restart was meant.",
    ...whose(publisher),
    evidence: { seq: seq.toString(), generation: publisher.generation },
  };
}

/** So many in quick succession are no accident; fewer may be an engine that is being set up. */
export const QUICK_RESTARTS = 8;

export function publishedTwice(publisher: Publisher): Finding {
  const { pod, dataParallelRank, quickRestarts } = publisher;
  return {
    code: "pod-published-twice",
    severity: "warning",
    message: `${pod}: ${quickRestarts} restarts in a row, each within ${LIFE_MS / 1000} s of the one before: likely two engines publish as this pod and rank ${dataParallelRank}, so that each voids what the other holds; or the engine keeps crashing.`,
    fix: "Give each engine a pod name of its own (its topic, or pod in subscribe()), and each data-parallel rank its own number.",
    ...whose(publisher),
    evidence: { restartsInARow: quickRestarts, restarts: publisher.restarts },
  };
}

export function joinedLate(publisher: Publisher, seq: bigint): Finding {
  return {
    code: "joined-late",
    severity: "info",
    message: `${publisher.pod}: the first frame seen is number ${seq}; blocks announced before are not known.`,
    fix: "Start the router before the engines. In exact mode what matters comes back by itself as prompts are stored.",
    ...whose(publisher),
    evidence: { firstSeq: seq.toString() },
  };
}

/** @param lost - events of known types are missing now */
export function eventsSkipped(who: Who, { skipped, failed }: EventBatch, lost: boolean): Finding {
  const first = skipped[0];
  return {
    code: "events-skipped",
    severity: lost ? "warning" : "info",
    message:
      first === undefined
        ? `${who.pod}: an event batch could not be read to its end (${failed!.reason} at byte ${failed!.offset}).`
        : `${who.pod}: ${skipped.length} events of a batch were skipped; the first: ${first.reason} (${first.detail}).`,
    fix: "Compare the engine's version with docs/wire-format.md; report a newer event format with a recording.",
    ...whose(who),
    evidence: { reason: first?.reason ?? failed!.reason, detail: first?.detail ?? null },
  };
}

export function ambiguousBlocks(publisher: Publisher): Finding {
  return {
    code: "extra-keys-missing",
    severity: "warning",
    message: `${publisher.pod}: blocks of equal tokens have different hashes; this engine's events do not say their salt, image or adapter, so neither is credited.`,
    fix: "Upgrade vLLM to a version whose events carry extra_keys (PR 33304, 2026), or configure the exact hash algorithm and seed.",
    ...whose(publisher),
    evidence: { ambiguousBlocks: publisher.ambiguous.size },
  };
}

export function orphansParked(publisher: Publisher): Finding {
  const { size, dropped } = publisher.parked;
  return {
    code: "orphans-parked",
    severity: "warning",
    message: `${publisher.pod}: ${size} stores wait for a parent that was never announced; they score nothing until it is.`,
    fix: "Start the router before the engines, or give the engine a known PYTHONHASHSEED so that its hashes can be reproduced.",
    ...whose(publisher),
    evidence: { parkedStores: size, droppedStores: dropped },
  };
}

export function frameTooLarge({ payload, source }: KvFrame, maxFrameBytes: number): Finding {
  return {
    code: "frame-rejected",
    severity: "error",
    message: `A frame of ${payload.length} bytes was skipped; at most ${maxFrameBytes} are read.`,
    fix: "Raise maxFrameBytes.",
    source,
    evidence: { source: source ?? null, bytes: payload.length },
  };
}

export function tooManyPublishers({ payload, source }: KvFrame): Finding {
  return {
    code: "frame-rejected",
    severity: "error",
    message: `A frame of a new pod was skipped: ${MAX_PUBLISHERS} publishers, or as many as the memory limit has room for, are known already.`,
    fix: "Remove pods that are gone with removePod.",
    source,
    evidence: { source: source ?? null, bytes: payload.length },
  };
}

export function topicUnusable({ topic, source }: KvFrame): Finding {
  const shown = topic.slice(0, 100);
  return {
    code: "topic-unusable",
    severity: "error",
    message: `Frames with topic ${JSON.stringify(shown)} name no pod and model, so they are not applied.`,
    fix: 'Give pod and model to subscribe(), or set the engine\'s "topic" in --kv-events-config to kv@<pod>@<model>.',
    source,
    evidence: { topic: shown, source: source ?? null },
  };
}

export function malformedMessage(error: Error, source: string): Finding {
  return {
    code: "frame-rejected",
    severity: "warning",
    message: `A message from ${source} is no event frame: ${error.message}`,
    fix: "Check that the endpoint is the engine's event publisher.",
    source,
    evidence: { source },
  };
}

export function replayIncomplete(repair: Repair, endpoint: string): Finding {
  const { state, start, until, replayed, error } = repair;
  const why = error instanceof Error ? `: ${error.message}` : "";
  return {
    code: "replay-incomplete",
    severity: "warning",
    message: `The engine at ${endpoint} gave ${replayed} of the frames ${start} … ${until - 1n} that were asked for${why}; they are not asked for again, and the history stays incomplete.`,
    fix: "Check replay_endpoint in the engine's --kv-events-config and replayEndpoint here; raise its buffer_steps if it keeps too few.",
    source: endpoint,
    evidence: { endpoint, state, start: start.toString(), until: until.toString(), replayed },
  };
}

/** @param given - the pod and model that were given for its frames */
export function subscriptionFailed(
  error: unknown,
  endpoints: readonly string[],
  given: Pick<Who, "pod" | "model">,
): Finding {
  const { pod, model } = given;
  const source = endpoints.length === 0 ? undefined : endpoints.join(", ");
  const to = source ?? (pod === undefined ? "a source" : `a source of ${pod}`);
  return {
    code: "subscription-failed",
    severity: "error",
    message: `The subscription to ${to} ended: ${error instanceof Error ? error.message : String(error)}`,
    fix: "Subscribe again.",
    pod,
    model,
    source,
    evidence: { endpoints },
  };
}

export function memoryLimit(limitBytes: number, usedBytes: number, droppedEntries: number): Finding {
  return {
    code: "memory-limit",
    severity: "warning",
    message: `The index reached its limit of ${limitBytes} bytes; the coldest blocks are dropped.`,
    fix: "Raise memoryLimitBytes: about 40 bytes per block at 1 to 4 holders, and 5 per further holder.",
    evidence: { limitBytes, usedBytes, droppedEntries },
  };
}
