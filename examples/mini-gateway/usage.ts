/**
 * The `usage` of an answer that passes by, whole or streamed: nothing is held back, changed or kept but a few bytes.
 * @module
 */

export interface Usage {
  readonly promptTokens: number;
  /** undefined: not said. vLLM says it with --enable-prompt-tokens-details, and leaves out a zero. */
  readonly cachedTokens: number | undefined;
}

const KEY = Buffer.from('"usage"');
const OBJECT = /^"usage"\s*:\s*(\{(?:[^{}]|\{[^{}]*\})*\})/;
const BEGINNING = /^"usage"\s*(?::\s*(?:\{.*)?)?$/s;
/** A usage object is a few hundred bytes. */
const LONGEST = 4096;

export class UsageReader {
  /** The last one seen: streams may repeat it, counting up. */
  usage: Usage | undefined;
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Uint8Array): void {
    const bytes = Buffer.concat([this.#rest, chunk]);
    // An unfinished key, or an unfinished object behind one, is looked at again with the next chunk.
    let restFrom = Math.max(0, bytes.length - KEY.length + 1);
    // Quotes inside JSON texts are escaped, so these bytes are a key, or a whole text that no colon follows.
    for (let at = bytes.indexOf(KEY); at >= 0; at = bytes.indexOf(KEY, at + KEY.length)) {
      const head = bytes.toString("latin1", at, at + LONGEST);
      const found = OBJECT.exec(head);
      if (found !== null) this.#read(found[1]!);
      else if (head.length < LONGEST && BEGINNING.test(head)) {
        restFrom = at;
        break;
      }
    }
    this.#rest = bytes.subarray(restFrom);
  }

  #read(json: string): void {
    let usage: {
      prompt_tokens?: unknown;
      prompt_tokens_details?: { cached_tokens?: unknown } | null;
    };
    try {
      usage = JSON.parse(json);
    } catch {
      return;
    }
    const { prompt_tokens: promptTokens, prompt_tokens_details: details } = usage;
    if (!isCount(promptTokens)) return;
    const cached = details?.cached_tokens;
    this.usage = { promptTokens, cachedTokens: isCount(cached) ? cached : undefined };
  }
}

function isCount(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0;
}
