/**
 * Whose a frame is: from its topic, and what its batch says of the rank, to its publisher.
 * @module
 */
import type { BlockIndex, Tiers } from "./block-index/index.js";
import { type EventBatch, parseTopic, type TopicNames } from "./events/index.js";
import type { Models } from "./models.js";
import { PUBLISHER_BYTES, Publisher } from "./publisher-state.js";
import { MAX_PUBLISHERS, type Publishers } from "./publishers.js";
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

/** A topic as it was read: the same few come again with every frame. */
interface KnownTopic {
  readonly names: TopicNames;
  /** Its last sender, and the names that the sender's frame brought along itself. */
  publisher: Publisher | undefined;
  pod: string | undefined;
  model: string | undefined;
}

/** Topics that are remembered, and none that is longer. */
const MAX_TOPICS = 4096;
const MAX_LENGTH = 512;

export class Senders {
  readonly #options: SendersOptions;
  readonly #topics = new Map<string, KnownTopic>();

  constructor(options: SendersOptions) {
    this.#options = options;
  }

  /** The frame's publisher, made if it is new. */
  of(frame: KvFrame, batch: EventBatch): Publisher | Nobody {
    const topic = this.#topics.get(frame.topic) ?? this.#read(frame.topic);
    const { publisher } = topic;
    if (publisher !== undefined && isFrom(publisher, topic, frame, batch)) return publisher;
    const found = this.#find(frame, topic.names, batch);
    topic.publisher = found instanceof Publisher ? found : undefined;
    topic.pod = frame.pod;
    topic.model = frame.model;
    return found;
  }

  /** A pod was removed: what is remembered of topics holds nobody of it. */
  forgetRemoved(): void {
    for (const topic of this.#topics.values()) if (topic.publisher?.removed) topic.publisher = undefined;
  }

  #read(topic: string): KnownTopic {
    const known = { names: parseTopic(topic), publisher: undefined, pod: undefined, model: undefined };
    if (this.#topics.size >= MAX_TOPICS) this.#topics.clear();
    if (topic.length <= MAX_LENGTH) this.#topics.set(topic, known);
    return known;
  }

  #find(frame: KvFrame, names: TopicNames, batch: EventBatch): Publisher | Nobody {
    const pod = frame.pod ?? names.pod;
    const named = frame.model ?? names.model;
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

/** Whether a frame is from its topic's last sender, for sure. */
function isFrom(
  publisher: Publisher,
  { pod, model }: KnownTopic,
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
