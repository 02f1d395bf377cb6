/**
 * Which prompts go on from which: turns of one conversation begin alike, and a thread that had one remembers its segments.
 * @module
 */
import type { ChatMessage } from "./types.js";

/** Characters of a text that are looked at, spread over its beginning. */
const SAMPLES = 64;
const BEGINNING = 4096;
/** Messages of a chat: to the first of the user's, since all share the system prompt. */
const MESSAGES = 4;
/** FNV-1a's. */
const BASIS = 0x811c9dc5;
const PRIME = 0x01000193;

/** A number that prompts with one beginning share. */
export function affinityOfText(text: string, bits: number = BASIS): number {
  const end = Math.min(text.length, BEGINNING);
  const step = Math.max(1, Math.floor(end / SAMPLES));
  let mixed = bits;
  for (let i = 0; i < end; i += step) mixed = Math.imul(mixed ^ text.charCodeAt(i), PRIME);
  return mixed ^ (mixed >>> 15);
}

/** A number that the turns of a conversation share. */
export function affinityOfChat(messages: readonly ChatMessage[]): number {
  let bits = BASIS;
  for (const message of messages.slice(0, MESSAGES)) {
    const content: unknown = message?.content;
    const [first] = Array.isArray(content) ? (content as unknown[]) : [{ text: content }];
    const { text } = (first ?? {}) as { text?: unknown };
    if (typeof text === "string") bits = affinityOfText(text, bits);
    if (message?.role === "user") break;
  }
  return bits;
}
