/**
 * Sampled tokens as text, piece by piece, up to a stop string.
 * @module
 */
import type { Sampled } from "./core.js";
import type { EngineTokenizer } from "./tokenizer.js";

/** What became certain with some tokens. */
export interface TextPiece {
  readonly text: string;
  /** Tokens sampled so far. */
  readonly completionTokens: number;
  readonly cachedTokens: number;
  readonly finishReason: "length" | "stop" | null;
  /** The stop string that ended it. */
  readonly stopReason: string | null;
}

/**
 * Text may hold back its end: half a character, or what could be the beginning of a stop string.
 * Ending the iteration ends the generation.
 */
export async function* textPieces(
  samples: AsyncIterable<Sampled>,
  tokenizer: EngineTokenizer,
  stops: readonly string[],
): AsyncGenerator<TextPiece, void, void> {
  const decoder = new TextDecoder();
  const heldBack = Math.max(0, ...stops.map((stop) => stop.length - 1));
  let completionTokens = 0;
  let pending = "";
  for await (const { token, finishReason, cachedTokens } of samples) {
    completionTokens++;
    pending += decoder.decode(tokenizer.tokenBytes(token), { stream: finishReason === null });
    const piece = { completionTokens, cachedTokens };
    const stop = firstStop(pending, stops);
    if (stop !== null) {
      const text = pending.slice(0, pending.indexOf(stop));
      yield { ...piece, text, finishReason: "stop", stopReason: stop };
      return;
    }
    const certain = finishReason === null ? Math.max(0, pending.length - heldBack) : pending.length;
    yield { ...piece, text: pending.slice(0, certain), finishReason, stopReason: null };
    pending = pending.slice(certain);
  }
}

function firstStop(text: string, stops: readonly string[]): string | null {
  let first: string | null = null;
  for (const stop of stops)
    if (text.includes(stop) && (first === null || text.indexOf(stop) < text.indexOf(first))) first = stop;
  return first;
}
