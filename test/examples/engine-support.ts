/**
 * An engine for tests of its HTTP API: one token per byte, no time for anything.
 * @module
 */
import type { ChatMessage } from "kvblock";
import { type Engine, type EngineOptions, startEngine } from "../../examples/engine/engine.js";
import type { EngineTokenizer } from "../../examples/engine/tokenizer.js";

export const END = 256;
export const START = 257;
export const utf8 = (text: string): number[] => [...new TextEncoder().encode(text)];

export const byteTokenizer: EngineTokenizer = {
  encode: (text) => utf8(text),
  encodeChat: (messages: readonly ChatMessage[]) => [
    ...messages.flatMap(({ role, content }) => [START, ...utf8(`${role}\n${content}`), END, ...utf8("\n")]),
    START,
    ...utf8("assistant\n"),
  ],
  tokenBytes: (token) => (token < END ? Uint8Array.of(token) : new Uint8Array(0)),
  isSpecial: (token) => token >= END,
};

export const INSTANT = {
  requestOverheadMs: 0,
  prefillTokensPerSecond: Number.POSITIVE_INFINITY,
  decodeStepMs: 0,
};

export function startByteEngine(options: Partial<EngineOptions> = {}): Promise<Engine> {
  return startEngine({
    model: "base",
    tokenizer: byteTokenizer,
    maxModelLen: 400,
    blockSize: 4,
    seed: "0",
    timing: INSTANT,
    ...options,
  });
}

export interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: JSON of any shape
  body: any;
}

export async function post(
  engine: Engine,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(engine.url + path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text === "" ? null : JSON.parse(text) };
}
