/**
 * The topic of an event stream, by llm-d's convention: `kv@<pod>@<model>`.
 * @module
 */
import { checkName, rangeMistake } from "../errors.js";

const PREFIX = "kv@";

/** What a topic names; null where it does not. */
export interface TopicNames {
  readonly pod: string | null;
  readonly model: string | null;
}

/**
 * Read a topic. The pod (a name, `ip` or `ip:port`) ends at the next `@`; the model is the rest and may hold `@` and
 * `/`. Any other topic, vLLM's empty default included, names neither.
 */
export function parseTopic(topic: string): TopicNames {
  if (!topic.startsWith(PREFIX)) return { pod: null, model: null };
  const split = topic.indexOf("@", PREFIX.length);
  const pod = split < 0 ? topic.slice(PREFIX.length) : topic.slice(PREFIX.length, split);
  const model = split < 0 ? "" : topic.slice(split + 1);
  return { pod: pod === "" ? null : pod, model: model === "" ? null : model };
}

/**
 * Write the topic that {@link parseTopic} reads.
 * @throws TypeError or RangeError if a name is not a non-empty string, RangeError if the pod holds `@`
 */
export function formatTopic(pod: string, model: string): string {
  if (checkName("pod", pod).includes("@")) throw rangeMistake("pod", 'a name without "@"', pod);
  return `${PREFIX}${pod}@${checkName("model", model)}`;
}
