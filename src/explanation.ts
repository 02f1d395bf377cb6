/**
 * What {@link Indexer.explain} answers: types, and the words for people.
 * @module
 */
import type { ExtraKeysEra, HashAlgorithm, PublisherState } from "./types.js";

/**
 * Why a pod's match ends where it ends.
 *
 * - `matched-all`: every full block of the prompt is matched
 * - `cap`: everything usable is matched; the engine computes the last token itself, and with drafting one block more
 * - `suspect`: everything usable is matched, and from `block` on a lost frame may have removed it
 * - `removed`: the engine removed the block's last copy; `seq`, `at` and `tier` while remembered (the last 65,536 removals
 *   of all pods, fewer under a small memory limit)
 * - `cleared`, `restarted`: it held the block, or anything at all, until its cache was cleared or its process restarted
 * - `dropped`: it held the block, which was dropped at the memory limit and is there still, unless it was removed since
 * - `given-up`: it held the block, which was suspect until the cache had turned over, and was given up
 * - `tier-doubted`: it is in `tier` alone, which stores and never removes (the diagnostic `tier-never-removes`)
 * - `group-missing`: `groups` names the full-attention groups that do not hold it, where others do
 * - `salt-or-lora`: with another cacheSalt, loraName or multimodal more would match: `differs`, `wouldMatch`
 * - `extra-keys`: this engine's events do not say, or the options lack, what `differs` names, so it cannot be looked up
 * - `ambiguous`: it has several blocks of these tokens that its events do not tell apart
 * - `parked`: a store with the block's tokens waits for a parent that was never announced (`tokens` mode)
 * - `block-size`: the prompt has no whole block before its last token, or no event told the pod's block size
 * - `unknown-hash`: how it hashes is not settled, or not proved and nothing matched
 * - `unknown-pod`, `model`: no events of the pod, or of the model from any pod
 * - `never-stored`: nothing of it was heard; with `complete: false` it may be there all the same
 */
export type ExplainReason =
  | "matched-all"
  | "cap"
  | "suspect"
  | "removed"
  | "cleared"
  | "restarted"
  | "dropped"
  | "given-up"
  | "tier-doubted"
  | "group-missing"
  | "salt-or-lora"
  | "extra-keys"
  | "ambiguous"
  | "parked"
  | "block-size"
  | "unknown-hash"
  | "unknown-pod"
  | "model"
  | "never-stored";

/** What a request may name beside its tokens. */
export type RequestExtra = "cacheSalt" | "loraName" | "multimodal";

/** Where a match ends, and why. */
export interface MatchEnd {
  readonly reason: ExplainReason;
  /** The first block that is not matched (`suspect`: that is suspect), counted from 0; null where all are. */
  readonly block: number | null;
  /** The frame that removed, cleared or restarted, as a decimal string. */
  readonly seq?: string;
  /** When its batch was made, milliseconds since the epoch by the engine's clock. */
  readonly at?: number;
  /** The tier that the block was removed from, or is in. */
  readonly tier?: string;
  readonly groups?: readonly number[];
  readonly differs?: readonly RequestExtra[];
  /** Blocks that would match otherwise. */
  readonly wouldMatch?: number;
}

/** One candidate's explanation, as plain JSON. */
export interface PodExplanation {
  readonly pod: string;
  /** null if nothing is known of the pod. */
  readonly dataParallelRank: number | null;
  readonly state: PublisherState;
  readonly complete: boolean;
  readonly mode: "exact" | "tokens" | "undecided" | null;
  /** How its blocks are keyed; null while unknown. `algorithm` is null for keys over tokens; sizes are in tokens. */
  readonly keys: {
    readonly algorithm: HashAlgorithm | null;
    readonly blockSize: number;
    readonly hashBlockSize: number;
    readonly extraKeys: ExtraKeysEra;
  } | null;
  /** Blocks that the engine could reuse at most: `floor((tokens - 1) / blockSize)`, one fewer with drafting. */
  readonly usable: number;
  /** As {@link PodScore.blocks}. */
  readonly matched: number;
  readonly implied: number;
  readonly suspect: number;
  readonly end: MatchEnd;
  /** The same in a sentence or two. */
  readonly message: string;
}

/** All candidates' explanations: in the caller's order, or by model, pod and rank as they were first heard. */
export interface Explanation {
  readonly model: string;
  readonly promptTokens: number;
  readonly pods: readonly PodExplanation[];
  /** Where no pod is explained: why. */
  readonly message: string;
}

/** The explanation in words. Never names a salt. */
export function explainedMessage(one: Omit<PodExplanation, "message">, model: string): string {
  const { pod, dataParallelRank, usable, matched, end } = one;
  const who = dataParallelRank === null || dataParallelRank === 0 ? pod : `${pod} rank ${dataParallelRank}`;
  const doubt = one.complete ? "" : " Its history is incomplete.";
  return `${who}: ${matched} of ${usable} usable blocks match. ${whyOf(end, one, model)}${doubt}`;
}

function whyOf(
  end: MatchEnd,
  { state, mode }: Pick<PodExplanation, "state" | "mode">,
  model: string,
): string {
  const block = `Block ${end.block}`;
  const frame = end.seq === undefined ? "" : ` by frame ${end.seq}${timeOf(end.at)}`;
  const what = (end.differs ?? []).join(" and ");
  switch (end.reason) {
    case "matched-all":
      return "That is every whole block of the prompt.";
    case "cap":
      return "That is all an engine can reuse: it computes the last token itself.";
    case "suspect":
      return `From block ${end.block} on a lost frame may have removed them.`;
    case "removed":
      return `${block} was removed${end.tier === undefined ? "" : ` from ${end.tier}`}${frame || ", by a frame that is not remembered"}.`;
    case "cleared":
      return `${block} was not stored again since the cache was cleared${frame}.`;
    case "restarted":
      return `${block} was not stored again since the engine was restarted, as seen${frame || " long ago"}.`;
    case "given-up":
      return `${block} was suspect since frames were lost, and was given up.`;
    case "dropped":
      return `${block} was dropped here at the memory limit (memoryLimitBytes), which the engine knows nothing of.`;
    case "tier-doubted":
      return `${block} counts for nothing in ${end.tier}, which stores and never removes.`;
    case "group-missing":
      return `${block} is not held by attention group ${(end.groups ?? []).join(", ")}, and all must hold it.`;
    case "salt-or-lora":
      return `With another ${what}, ${end.wouldMatch} blocks would match.`;
    case "extra-keys":
      return `A prompt with this ${what} cannot be looked up there.`;
    case "ambiguous":
      return `${block} stands for several blocks of equal tokens that its events do not tell apart.`;
    case "parked":
      return `A store with the tokens of block ${end.block} waits for a parent that was never announced.`;
    case "block-size":
      return mode === null || end.block === null
        ? "No event told its block size."
        : "The prompt has no whole block before its last token.";
    case "unknown-hash":
      return state === "catching-up"
        ? "How it hashes is not settled, so its frames wait."
        : "How it hashes is configured and nothing has proved it.";
    case "unknown-pod":
      return `Nothing was heard of a pod of this name that serves ${JSON.stringify(model)}.`;
    case "model":
      return `No pod announces the model ${JSON.stringify(model)}.`;
    case "never-stored":
      return `${block} was never stored, as far as was heard.`;
  }
}

function timeOf(at: number | undefined): string {
  const date = new Date(at ?? Number.NaN);
  return Number.isNaN(date.getTime()) ? "" : ` of ${date.toISOString()}`;
}
