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
    message: `${pod}: ${publisher.lostFrames} event frames were lost in ${gaps} gaps; what it held before is suspect until its cache has turned over.`,
    fix: `${replayFix(publisher)}Raise the engine's hwm (and receiveHighWaterMark, where libzmq serves the subscription), and keep the host's event loop free; a restart of the engine or a cache reset makes its history complete again.`,
    ...whose(publisher),
    evidence: {
      lastSeq: seq.toString(),
      lostFrames: Number(publisher.lostFrames),
      gaps,
      replay: publisher.history.asksReplay ?? null,
    },
  };
}

/** What can be done so that what was missed is asked for. */
function replayFix({ history: { asksReplay } }: Publisher): string {
  if (asksReplay === undefined) return "";
  return asksReplay
    ? "The engine did not replay them (see replay-incomplete): raise its buffer_steps. "
    : "Give replayEndpoint to subscribe() (the engine's replay_endpoint in --kv-events-config), so that what was missed is asked for. ";
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
const QUICK_RESTARTS = 8;

/** Where each restart comes from another source than the frame before, fewer do. */
const RIVAL_RESTARTS = 3;

export function isPublishedTwice({ quickRestarts, history }: Publisher): boolean {
  return quickRestarts >= QUICK_RESTARTS || history.rivalRestarts >= RIVAL_RESTARTS;
}

export function publishedTwice(publisher: Publisher): Finding {
  const { pod, dataParallelRank, quickRestarts } = publisher;
  const { rivalRestarts, source, sourceBefore } = publisher.history;
  const rivals = rivalRestarts < RIVAL_RESTARTS ? [] : [sourceBefore!, source!];
  const found =
    rivals.length === 0
      ? `${pod}: ${quickRestarts} restarts in a row, each within ${LIFE_MS / 1000} s of the one before: likely two engines publish as this pod and rank ${dataParallelRank}, so that each voids what the other holds; or the engine keeps crashing.`
      : `${pod}: frames of rank ${dataParallelRank} come from ${rivals.join(" and ")} in turn, and each voids what the other holds: two engines, or two data-parallel ranks, publish as one.`;
  return {
    code: "pod-published-twice",
    severity: "warning",
    message: found,
    fix: "Give each engine a pod name of its own (its topic, or pod in subscribe()), and each data-parallel rank its own number; frames that say no rank are taken for rank 0.",
    ...whose(publisher),
    evidence: { restartsInARow: quickRestarts, restarts: publisher.restarts, sources: rivals },
  };
}

/** Under own keys it is graver: nothing that is stored under what was missed can be placed, for as long as it is reused. */
export function joinedLate(publisher: Publisher, seq: bigint): Finding {
  const isBlind = publisher.mode === "tokens";
  const seen = `${publisher.pod}: the first frame seen is number ${seq}; blocks announced before are not known`;
  return {
    code: "joined-late",
    severity: isBlind ? "warning" : "info",
    message: isBlind
      ? `${seen}, nor can blocks that continue them be placed, since its hashes are not reproduced.`
      : `${seen}.`,
    fix: `${replayFix(publisher)}${
      isBlind
        ? "Or give the engine a known PYTHONHASHSEED and --prefix-caching-hash-algo sha256_cbor, and use hash mode auto or exact; or start the router before the engines."
        : "Start the router before the engines. In exact mode what matters comes back by itself as prompts are stored."
    }`,
    ...whose(publisher),
    evidence: {
      firstSeq: seq.toString(),
      mode: publisher.mode,
      replay: publisher.history.asksReplay ?? null,
    },
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
  const given = dropped === 0 ? "" : ` ${dropped} more were given up.`;
  return {
    code: "orphans-parked",
    // Told again when it has come to that.
    severity: dropped === 0 ? "warning" : "error",
    message: `${publisher.pod}: ${size} stores wait for a parent that was never announced; they score nothing until it is.${given}`,
    fix: `${replayFix(publisher)}Start the router before the engines, or give the engine a known PYTHONHASHSEED so that its hashes can be reproduced.`,
    ...whose(publisher),
    evidence: { parkedStores: size, droppedStores: dropped, adoptedParents: publisher.claims.believed },
  };
}

export function duplicatesSwitched(publisher: Publisher): Finding {
  const { capacity, countedCopies = 0 } = publisher.residency;
  return {
    code: "duplicates-switched",
    severity: "warning",
    message: `${publisher.pod}: ${countedCopies} copies of blocks were counted where the engine had filled its cache with about ${capacity}: it announces blocks again when it reuses them, so copies are no longer counted, and what it held is suspect until it has removed as much.`,
    fix: 'Set models[<name>].duplicates to "set", or leave kv_cache_report_mode of the requests at "incremental".',
    ...whose(publisher),
    evidence: { countedCopies, learnedCapacity: capacity },
  };
}

export function tierNeverRemoves(publisher: Publisher): Finding {
  const { capacity, doubtedTiers, doubtedBlocks } = publisher.residency;
  return {
    code: "tier-never-removes",
    severity: "warning",
    message: `${publisher.pod}: ${doubtedTiers.join(", ")} stored ${doubtedBlocks} blocks and removed none, ${Math.floor(doubtedBlocks / Math.max(1, capacity))} times what the engine itself holds; what is there does not count until a removal is seen.`,
    fix: "Upgrade the cache connector (LMCache, offloading) to a version that announces removals, or turn its events off.",
    ...whose(publisher),
    evidence: { tiers: doubtedTiers, storedBlocks: doubtedBlocks, learnedCapacity: capacity },
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
  const asked = until === null ? `from ${start} on` : `${start} … ${until - 1n}`;
  return {
    code: "replay-incomplete",
    severity: "warning",
    message: `The engine at ${endpoint} gave ${replayed} of the frames ${asked} that were asked for${why}; once newer ones came they are not asked for again, and the history stays incomplete.`,
    fix: "Check replay_endpoint in the engine's --kv-events-config and replayEndpoint here; raise its buffer_steps if it keeps too few.",
    source: endpoint,
    evidence: { endpoint, state, start: start.toString(), until: until?.toString() ?? null, replayed },
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
    fix: "Raise memoryLimitBytes: about 26 bytes per block.",
    evidence: { limitBytes, usedBytes, droppedEntries },
  };
}
