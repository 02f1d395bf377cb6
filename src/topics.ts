/**
 * Topics as they were read: the same few come again with every frame.
 * @module
 */
import { parseTopic, type TopicNames } from "./events/index.js";

/** Topics that are remembered, and none that is longer. */
const MAX_TOPICS = 1024;
const MAX_LENGTH = 512;

export class Topics {
  readonly #known = new Map<string, TopicNames>();

  /** See {@link parseTopic}. */
  read(topic: string): TopicNames {
    let names = this.#known.get(topic);
    if (names !== undefined) return names;
    names = parseTopic(topic);
    if (this.#known.size >= MAX_TOPICS) this.#known.clear();
    if (topic.length <= MAX_LENGTH) this.#known.set(topic, names);
    return names;
  }
}
