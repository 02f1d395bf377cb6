/**
 * Whose a frame is: from its topic, and what its batch says of the rank, to its publisher.
 * @module
 */
import type { BlockIndex, Tiers } from "./block-index/index.js";
import type { EventBatch } from "./events/index.js";
import type { Models } from "./models.js";
import { PUBLISHER_BYTES, Publisher } from "./publisher-state.js";
import { MAX_PUBLISHERS, type Publishers } from "./publishers.js";
import { Topics } from "./topics.js";
import type { KvFrame } from "./types.js";

export interface SendersOptions {
  readonly index: BlockIndex;
  readonly tiers: Tiers;
  readonly models: Models;
  readonly publishers: Publishers;
}

/** A frame that is nobody's, and why. */
export type Nobody =
  | { readonly reason: "topic-unusable" | "too-many-publishers" }
  | { readonly reason: "unreadable"; readonly pod: string; readonly model: string };

/** A topic's last sender, and the names that its frame brought along itself. */
interface LastSender {
  readonly publisher: Publisher;
  readonly pod: string | undefined;
  readonly model: string | undefined;
}

/** Topics whose last sender is remembered. */
const MAX_TOPICS = 4096;

export class Senders {
  readonly #options: SendersOptions;
  readonly #topics = new Topics();
  readonly #last = new Map<string, LastSender>();

  constructor(options: SendersOptions) {
    this.#options = options;
  }

  /** The frame's publisher, made if it is new. */
  of(frame: KvFrame, batch: EventBatch): Publisher | Nobody {
    const last = this.#last.get(frame.topic);
    if (last !== undefined && isFrom(last, frame, batch)) return last.publisher;
    const found = this.#find(frame, batch);
    if (!(found instanceof Publisher)) return found;
    if (this.#last.size >= MAX_TOPICS) this.#last.clear();
    this.#last.set(frame.topic, { publisher: found, pod: frame.pod, model: frame.model });
    return found;
  }

  #find(frame: KvFrame, batch: EventBatch): Publisher | Nobody {
    const topic = this.#topics.read(frame.topic);
    const pod = frame.pod ?? topic.pod;
    const named = frame.model ?? topic.model;
    if (pod === null || named === null || pod === "" || named === "") return { reason: "topic-unusable" };
    const { publishers, models } = this.#options;
    const { model } = models.resolve(named);
    const rank = frame.dataParallelRank ?? batch.dataParallelRank ?? this.#rankOfBroken(pod, model, batch);
    if (Number.isNaN(batch.ts) || rank === undefined) return { reason: "unreadable", pod, model };
    return publishers.find(pod, model, rank) ?? this.#make(pod, model, rank);
  }

  #make(pod: string, model: string, rank: number): Publisher | Nobody {
    const { publishers, models, index, tiers } = this.#options;
    if (publishers.size >= MAX_PUBLISHERS || !index.reserve(PUBLISHER_BYTES))
      return { reason: "too-many-publishers" };
    const identity = { pod, model, dataParallelRank: rank, owner: publishers.nextOwner() };
    const publisher = new Publisher(identity, models.settings(model), index, tiers);
    publishers.add(publisher);
    return publisher;
  }

  /** The rank where the batch does not say: 0, but a batch that broke off before saying it may be any known rank's. */
  #rankOfBroken(pod: string, model: string, batch: EventBatch): number | undefined {
    if (batch.failed === null || batch.failed.reason === "trailing-bytes") return 0;
    const ranks = this.#options.publishers.ofPod(model, pod);
    return ranks.length > 1 ? undefined : (ranks[0]?.dataParallelRank ?? 0);
  }
}

/** Whether a frame of the same topic is from the same sender, for sure. */
function isFrom(
  { publisher, pod, model }: LastSender,
  frame: KvFrame,
  { failed, dataParallelRank }: EventBatch,
): boolean {
  return (
    failed === null &&
    !publisher.removed &&
    (frame.dataParallelRank ?? dataParallelRank ?? 0) === publisher.dataParallelRank &&
    frame.pod === pod &&
    frame.model === model
  );
}
