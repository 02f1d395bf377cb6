/**
 * `/v1/completions` and `/v1/chat/completions`: every prompt's answers generated at once, whole or streamed.
 * @module
 */
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { CacheRequest } from "./block-manager.js";
import type { EngineCore } from "./core.js";
import { badRequest, sendJson } from "./http.js";
import type { Sampling } from "./sampling.js";
import {
  type ChoiceText,
  type Envelope,
  streamChunk,
  type Usage,
  usageChunk,
  usageOf,
  wholeResponse,
} from "./shapes.js";
import { type TextPiece, textPieces } from "./text-stream.js";
import type { EngineTokenizer } from "./tokenizer.js";

/** What a request asks for, tokenized. */
export interface Generations {
  readonly prompts: readonly CacheRequest[];
  readonly sampling: Sampling;
  readonly envelope: Envelope;
}

export interface GenerationHost {
  readonly core: EngineCore;
  readonly tokenizer: EngineTokenizer;
  readonly maxModelLen: number;
  /** Report `prompt_tokens_details`, as vLLM does with `--enable-prompt-tokens-details`. */
  readonly reportsCached: boolean;
}

/** @throws ApiError 400 if a prompt and what it may generate exceed the model's length, before anything is sent */
export async function answer(
  host: GenerationHost,
  generations: Generations,
  response: ServerResponse,
): Promise<void> {
  const { prompts, sampling, envelope } = generations;
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  const choices = prompts.flatMap((prompt, number) => {
    const maxTokens = tokensLeft(prompt.tokens.length, sampling.maxTokens, host.maxModelLen);
    return Array.from({ length: sampling.n }, (_, own) => {
      const samples = host.core.generate(
        { ...prompt, maxTokens, ignoreEos: sampling.ignoreEos },
        gone.signal,
      );
      return {
        index: number * sampling.n + own,
        pieces: textPieces(samples, host.tokenizer, sampling.stops),
      };
    });
  });
  const counts = new Counts(prompts, sampling.n);
  if (sampling.stream) {
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache",
    });
    const write = async (data: string): Promise<void> => {
      if (!response.write(`data: ${data}\n\n`)) await once(response, "drain", { signal: gone.signal });
    };
    await Promise.all(
      choices.map(async ({ index, pieces }) => {
        const none = { index, finishReason: null, stopReason: null };
        let first = true;
        for await (const piece of pieces) {
          counts.add(index, piece);
          if (first && envelope.endpoint === "chat")
            await write(JSON.stringify(streamChunk(envelope, { ...none, text: null })));
          first = false;
          if (piece.text !== "" || piece.finishReason !== null)
            await write(JSON.stringify(streamChunk(envelope, { ...piece, index })));
        }
      }),
    ).catch((error: unknown) => {
      if (!gone.signal.aborted) throw error;
    });
    if (gone.signal.aborted) return;
    if (sampling.includeUsage)
      await write(JSON.stringify(usageChunk(envelope, counts.usage(host.reportsCached))));
    response.end("data: [DONE]\n\n");
  } else {
    const texts = await Promise.all(
      choices.map(async ({ index, pieces }): Promise<ChoiceText> => {
        let text = "";
        let last: TextPiece | undefined;
        for await (const piece of pieces) {
          counts.add(index, piece);
          text += piece.text;
          last = piece;
        }
        return {
          index,
          text,
          finishReason: last?.finishReason ?? null,
          stopReason: last?.stopReason ?? null,
        };
      }),
    );
    if (gone.signal.aborted) return;
    sendJson(response, 200, wholeResponse(envelope, texts, counts.usage(host.reportsCached)));
  }
}

/** Tokens of all prompts and choices; a prompt counts once however many answers it gets. */
class Counts {
  readonly #prompts: readonly CacheRequest[];
  readonly #n: number;
  readonly #completion: number[] = [];
  readonly #cached: number[] = [];

  constructor(prompts: readonly CacheRequest[], n: number) {
    this.#prompts = prompts;
    this.#n = n;
  }

  add(index: number, piece: TextPiece): void {
    this.#completion[index] = piece.completionTokens;
    if (index % this.#n === 0) this.#cached[index / this.#n] = piece.cachedTokens;
  }

  usage(reportsCached: boolean): Usage {
    const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);
    return usageOf(
      sum(this.#prompts.map(({ tokens }) => tokens.length)),
      sum(this.#completion),
      sum(this.#cached),
      reportsCached,
    );
  }
}

function tokensLeft(promptTokens: number, wanted: number | null, maxModelLen: number): number {
  const left = maxModelLen - promptTokens;
  if (left < 1)
    throw badRequest(
      `This model's maximum context length is ${maxModelLen} tokens. However, your request has ${promptTokens} input tokens. Please reduce the length of the input messages.`,
      "input_tokens",
    );
  if (wanted !== null && wanted > left)
    throw badRequest(
      `'max_tokens' or 'max_completion_tokens' is too large: ${wanted}. This model's maximum context length is ${maxModelLen} tokens and your request has ${promptTokens} input tokens (${wanted} > ${maxModelLen} - ${promptTokens}).`,
      "max_tokens",
    );
  return wanted ?? left;
}
