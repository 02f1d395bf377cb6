/**
 * The prompts that were scored last, found by what they end with: what an orphaned store may be the end of.
 *
 * Bounded in bytes and counted towards the memory limit; the oldest are dropped first. Nothing is hashed here but one
 * block's tokens: keys are computed when a prompt is held against a store, which is rare.
 * @module
 */
import type { KeyClass } from "./key-classes.js";
import type { ModelRequest } from "./prompt-walk.js";
import { isAlike } from "./query-keys.js";

/** A prompt as it was scored. */
export interface RecentPrompt extends ModelRequest {
  readonly tokens: Uint32Array;
  /** Its blocks' own keys, by key class, once they were asked for. */
  readonly keys: Map<KeyClass, Uint32Array>;
  /** How often it was scored and not seen to be served since. */
  due: number;
  /** The number of the lookup that scored it last. */
  readonly at: number;
}

interface Kept extends RecentPrompt {
  readonly bytes: number;
  /** What it is found by: one for each block size. */
  readonly ends: number[];
}

/** All prompts together take no more than this, and of the memory limit no more than the part one in so many. */
const MAX_BYTES = 8 * 2 ** 20;
const SHARE = 32;
/** One and its keys take about so much beside its tokens. */
const PROMPT_BYTES = 512;
/** Of prompts that end alike so many are looked at. With more nobody can tell whose a store is. */
const MAX_ALIKE = 16;
/** A prompt is served within so many lookups, if at all: those that wait for their engines are fewer. */
const MAX_AGE = 256;

export class RecentPrompts {
  readonly #maxBytes: number;
  readonly #reserve: (bytes: number) => boolean;
  /** Oldest first. */
  readonly #prompts = new Set<Kept>();
  readonly #byEnd = new Map<number, Kept[]>();
  /** How many are of each model. */
  readonly #models = new Map<string, number>();
  #bytes = 0;
  #lookups = 0;

  /**
   * @param memoryLimitBytes - of the whole index
   * @param reserve - asks for memory (negative: gives it back); false refuses
   */
  constructor(memoryLimitBytes: number, reserve: (bytes: number) => boolean) {
    this.#maxBytes = Math.min(MAX_BYTES, memoryLimitBytes / SHARE);
    this.#reserve = reserve;
  }

  /** Remember a prompt, or that it was asked for again. The tokens are copied. */
  add(request: ModelRequest, tokens: Uint32Array, blockSizes: Iterable<number>): void {
    const { model, loraName, cacheSalt, multimodal } = request;
    this.#lookups++;
    // Its keys take as much as its tokens at a block size of 2, and less at any other.
    const bytes = PROMPT_BYTES + 8 * tokens.length + PROMPT_BYTES * multimodal.length;
    if (bytes > this.#maxBytes) return;
    const ends = Array.from(blockSizes, (blockSize) => endOf(tokens, blockSize));
    const known = this.#byEnd
      .get(ends[0] ?? 0)
      ?.find((other) => other.model === model && isSame(other.tokens, tokens) && isAlike(other, request));
    if (known !== undefined) this.#forget(known);
    while (this.#bytes + bytes > this.#maxBytes && this.#prompts.size > 0)
      this.#forget(this.#prompts.values().next().value!);
    if (!this.#reserve(bytes)) return;
    this.#bytes += bytes;
    this.#models.set(model, (this.#models.get(model) ?? 0) + 1);
    const kept: Kept = {
      model,
      tokens: known?.tokens ?? tokens.slice(),
      loraName,
      cacheSalt,
      multimodal: multimodal.map((item) => ({ ...item })),
      keys: known?.keys ?? new Map(),
      due: (known !== undefined && this.isRecent(known) ? known.due : 0) + 1,
      at: this.#lookups,
      bytes,
      ends,
    };
    this.#prompts.add(kept);
    for (const end of ends) {
      const alike = this.#byEnd.get(end);
      if (alike === undefined) this.#byEnd.set(end, [kept]);
      else alike.push(kept);
    }
  }

  /**
   * Prompts whose last full block may be the last of these tokens, the newest first. None, where there are too many: one
   * that is not looked at could be another's.
   */
  endingWith(model: string, tokens: Uint32Array, blockSize: number): readonly RecentPrompt[] {
    const found = (this.#byEnd.get(endOf(tokens, blockSize)) ?? []).filter((one) => one.model === model);
    return found.length > MAX_ALIKE ? [] : found.reverse();
  }

  /** Whether an engine may still be about to serve it. */
  isRecent({ at }: RecentPrompt): boolean {
    return this.#lookups - at < MAX_AGE;
  }

  /** Whether prompts of the model are remembered. */
  has(model: string): boolean {
    return this.#models.has(model);
  }

  /** Nothing of the model is asked for any more. */
  forgetModel(model: string): void {
    if (!this.#models.has(model)) return;
    for (const prompt of this.#prompts) if (prompt.model === model) this.#forget(prompt);
  }

  #forget(prompt: Kept): void {
    this.#prompts.delete(prompt);
    this.#bytes -= prompt.bytes;
    this.#reserve(-prompt.bytes);
    const others = this.#models.get(prompt.model)! - 1;
    if (others > 0) this.#models.set(prompt.model, others);
    else this.#models.delete(prompt.model);
    for (const end of prompt.ends) {
      const left = this.#byEnd.get(end)!.filter((other) => other !== prompt);
      if (left.length > 0) this.#byEnd.set(end, left);
      else this.#byEnd.delete(end);
    }
  }
}

/** A few bits of the last full block's tokens. */
export function endOf(tokens: Uint32Array, blockSize: number): number {
  const end = tokens.length - (tokens.length % blockSize);
  let bits = blockSize;
  for (let i = Math.max(0, end - blockSize); i < end; i++) {
    bits = Math.imul(bits ^ tokens[i]!, 0x9e3779b1);
    bits ^= bits >>> 15;
  }
  return bits;
}

export function isSame(a: Uint32Array, b: Uint32Array): boolean {
  if (a.length !== b.length) return false;
  // From the end: prompts of one system prompt differ there.
  for (let i = a.length - 1; i >= 0; i--) if (a[i] !== b[i]) return false;
  return true;
}
