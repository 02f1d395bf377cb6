/** Chats of many turns, about 220 KB of JSON each; every request is a next turn that was never sent before. */
import { seeded } from "../run/random.js";
import { Prose } from "../workload/texts.js";

export const MODEL = "qwen3";
/** Of a request's body. */
export const BODY_BYTES = 220 * 1024;
/** Of a turn: what the user says, and the answer to it. */
const USER = 1500;
const ASSISTANT = 2500;

export interface Message extends Record<string, unknown> {
  role: string;
  content: string;
}

export class Conversations {
  /** The turns so far, the same in all requests of one conversation. */
  readonly histories: readonly (readonly Message[])[];
  readonly #prose: Prose;
  readonly #heads: readonly string[];

  constructor(count: number, seed = 5) {
    this.#prose = new Prose(seeded(seed));
    const system = { role: "system", content: this.#prose.text(8000) };
    this.histories = Array.from({ length: count }, () => this.#history(system));
    this.#heads = this.histories.map(
      (messages) => `{"model":"${MODEL}","max_tokens":1,"messages":${JSON.stringify(messages).slice(0, -1)},`,
    );
  }

  /** A next turn's body. */
  body(conversation: number): string {
    const message = { role: "user", content: this.#prose.text(USER) };
    return `${this.#heads[conversation]}${JSON.stringify(message)}]}`;
  }

  #history(system: Message): Message[] {
    const messages = [system];
    for (let bytes = system.content.length; bytes < BODY_BYTES - USER; ) {
      const turn = [
        { role: "user", content: this.#prose.text(USER) },
        { role: "assistant", content: this.#prose.text(ASSISTANT) },
      ];
      messages.push(...turn);
      bytes += JSON.stringify(turn).length;
    }
    return messages;
  }
}
