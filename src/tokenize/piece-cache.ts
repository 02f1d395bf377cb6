/**
 * Pieces that were merged before → their tokens, in a fixed number of bytes.
 *
 * An entry is 64 bytes, so that a look-up reads one or two cache lines: up to 16 UTF-16 units of text, read where they
 * stand in the prompt, and up to 7 token ids. A Map of strings would make a string for every word, keep the prompts alive
 * that these are slices of, and is bounded in entries only.
 * @module
 */
import type { TokenSink } from "./token-sink.js";

/** UTF-16 units of a piece that can be held; words of prose and code have 5 on average. */
export const MAX_UNITS = 16;

const MAX_IDS = 7;
const WORDS = 16;

/** Entries, a power of 2: 4 MiB. */
const ENTRIES = 1 << 16;

export class PieceCache {
  /** Of each entry: [ids << 8 | units, the ids, the text in 8 words]. */
  readonly #words = new Uint32Array(ENTRIES * WORDS);
  readonly #units = new Uint16Array(this.#words.buffer);
  #slot = 0;
  /** Which of a pair of entries the next addition replaces. */
  #side = 0;

  get bytes(): number {
    return this.#words.byteLength;
  }

  /** Push the piece's tokens, if it is held. Else `add` may follow, for the same piece. */
  find(units: Uint16Array, start: number, end: number, sink: TokenSink): boolean {
    let hash = 0;
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ units[i]!, 0x9e37_79b1);
    // The high bits have seen every unit; the pair of an entry is its neighbour.
    this.#slot = (hash ^ (hash >>> 15)) >>> 16;
    return (
      this.#match(this.#slot, units, start, end, sink) || this.#match(this.#slot ^ 1, units, start, end, sink)
    );
  }

  /** Keep what the piece came to; one with more than 7 tokens is not kept. */
  add(units: Uint16Array, start: number, end: number, ids: Uint32Array): void {
    if (ids.length > MAX_IDS) return;
    const entry = this.#slot ^ this.#side;
    this.#side ^= 1;
    this.#words[entry * WORDS] = (ids.length << 8) | (end - start);
    this.#words.set(ids, entry * WORDS + 1);
    const text = entry * 2 * WORDS + WORDS;
    for (let i = start; i < end; i++) this.#units[text + i - start] = units[i]!;
  }

  #match(entry: number, units: Uint16Array, start: number, end: number, sink: TokenSink): boolean {
    const at = entry * WORDS;
    const head = this.#words[at]!;
    if ((head & 0xff) !== end - start) return false;
    const held = this.#units;
    const text = at * 2 + WORDS - start;
    for (let i = start; i < end; i++) if (held[text + i] !== units[i]) return false;
    for (let i = at + 1, last = at + (head >>> 8); i <= last; i++) sink.push(this.#words[i]!);
    return true;
  }
}
