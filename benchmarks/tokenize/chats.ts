/** A conversation that grows by a turn, of about so many tokens, made of a corpus. */
import type { ChatMessage } from "kvblock";
import { CORPORA } from "./corpora.js";

type Message = ChatMessage & { content: string };

/** Characters of a question and of an answer. */
const QUESTION = 600;
const ANSWER = 2400;

export class GrowingChat {
  readonly messages: Message[] = [{ role: "system", content: "You are a helpful assistant. ".repeat(40) }];
  readonly #text = CORPORA.prose();
  #at = 0;

  constructor(tokens: number) {
    const length = (): number => this.messages.reduce((sum, { content }) => sum + content.length, 0);
    while (length() < tokens * 4) this.turn();
  }

  /** Another question, and the answer to the last one. */
  turn(): void {
    if (this.messages.length > 1) this.messages.push({ role: "assistant", content: this.#take(ANSWER) });
    this.messages.push({ role: "user", content: this.#take(QUESTION) });
  }

  #take(length: number): string {
    if (this.#at + length > this.#text.length) this.#at = 1 + (this.#at % 97);
    return this.#text.slice(this.#at, (this.#at += length));
  }
}

/** The text that Qwen's template makes of it. */
export function chatMl(messages: readonly Message[]): string {
  const parts = messages.map(({ role, content }) => `<|im_start|>${role}\n${content}<|im_end|>\n`);
  return `${parts.join("")}<|im_start|>assistant\n`;
}
