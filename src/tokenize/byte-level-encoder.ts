/**
 * Byte-level BPE: text without added tokens → token ids.
 * @module
 */
import { AddedTokens, isNormalized } from "./added-tokens.js";
import type { ByteLevelModel, NormalForm, SplitStep } from "./byte-level-model.js";
import { ByteTokens } from "./byte-tokens.js";
import { mergeBytes } from "./merge.js";
import { MergeTable } from "./merge-table.js";
import { MAX_UNITS, PieceCache } from "./piece-cache.js";
import { PieceSplitter } from "./pieces.js";
import { TokenSink } from "./token-sink.js";

const FIRST_CAPACITY = 4096;

/** Scratch that one long prompt blew up is given back. */
const MAX_KEPT = 1 << 20;

export class ByteLevelEncoder {
  readonly #forms: readonly NormalForm[];
  /** Added tokens that are looked for in the normalized text. */
  readonly #addedTokens: AddedTokens;
  readonly #splitter: PieceSplitter;
  readonly #table: MergeTable;
  readonly #whole: ByteTokens | undefined;
  readonly #cache = new PieceCache();
  readonly #sink = new TokenSink();
  #units = new Uint16Array(FIRST_CAPACITY);
  #bytes = new Uint8Array(FIRST_CAPACITY);

  /**
   * @param compile - a pattern of tokenizer.json as a global, Unicode-aware one of JavaScript's
   * @throws Error for a pattern or merge that is broken
   */
  constructor(model: ByteLevelModel, compile: (pattern: SplitStep["pattern"]) => RegExp) {
    this.#forms = model.normalForms;
    this.#addedTokens = new AddedTokens(model.addedTokens.filter(isNormalized), ({ content }) =>
      this.#normalize(content),
    );
    this.#splitter = new PieceSplitter(
      model.steps.map(({ pattern, keepsGaps }) => ({ pattern: compile(pattern), keepsGaps })),
    );
    this.#table = new MergeTable(model.vocabulary, model.byteIds, model.merges);
    if (model.ignoreMerges) this.#whole = new ByteTokens(model.vocabulary);
  }

  /** @param text - well-formed, without added tokens other than normalized ones */
  encode(text: string): Uint32Array {
    this.#addedTokens.split(
      this.#normalize(text),
      (segment) => this.#segment(segment),
      (id) => this.#sink.push(id),
    );
    return this.#sink.take();
  }

  #normalize(text: string): string {
    let normalized = text;
    for (const form of this.#forms) normalized = normalized.normalize(form);
    return normalized;
  }

  #segment(text: string): void {
    if (this.#units.length < text.length) this.#units = new Uint16Array(text.length * 2);
    const units = this.#units;
    for (let i = 0; i < text.length; i++) units[i] = text.charCodeAt(i);
    this.#splitter.split(text, (start, end) => this.#piece(units, start, end));
    if (units.length > MAX_KEPT) this.#units = new Uint16Array(FIRST_CAPACITY);
  }

  #piece(units: Uint16Array, start: number, end: number): void {
    const sink = this.#sink;
    if (end - start > MAX_UNITS) {
      this.#merge(units, start, end);
      return;
    }
    if (this.#cache.find(units, start, end, sink)) return;
    const before = sink.length;
    this.#merge(units, start, end);
    this.#cache.add(units, start, end, sink.from(before));
  }

  #merge(units: Uint16Array, start: number, end: number): void {
    const length = this.#toUtf8(units, start, end);
    const id = this.#whole?.find(this.#bytes, length) ?? -1;
    if (id !== -1) this.#sink.push(id);
    else mergeBytes(this.#table, this.#bytes, length, this.#sink);
    if (this.#bytes.length > MAX_KEPT) this.#bytes = new Uint8Array(FIRST_CAPACITY);
  }

  /** Write a piece of well-formed text to `#bytes`. @returns its length there */
  #toUtf8(units: Uint16Array, start: number, end: number): number {
    if (this.#bytes.length < (end - start) * 3) this.#bytes = new Uint8Array((end - start) * 3);
    const bytes = this.#bytes;
    let at = 0;
    for (let i = start; i < end; i++) {
      const unit = units[i]!;
      if (unit < 0x80) bytes[at++] = unit;
      else if (unit < 0x800) {
        bytes[at++] = 0xc0 | (unit >> 6);
        bytes[at++] = 0x80 | (unit & 0x3f);
      } else if (unit < 0xd800 || unit > 0xdfff) {
        bytes[at++] = 0xe0 | (unit >> 12);
        bytes[at++] = 0x80 | ((unit >> 6) & 0x3f);
        bytes[at++] = 0x80 | (unit & 0x3f);
      } else {
        const point = 0x10000 + ((unit & 0x3ff) << 10) + (units[++i]! & 0x3ff);
        bytes[at++] = 0xf0 | (point >> 18);
        bytes[at++] = 0x80 | ((point >> 12) & 0x3f);
        bytes[at++] = 0x80 | ((point >> 6) & 0x3f);
        bytes[at++] = 0x80 | (point & 0x3f);
      }
    }
    return at;
  }
}
