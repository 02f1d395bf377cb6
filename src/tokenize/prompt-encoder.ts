/**
 * A whole prompt → token ids: split at added tokens, the segments between encoded on their own and remembered.
 *
 * What a segment comes to depends on nothing outside it, so remembering is exact: of a chat that grows by a turn, the
 * new turn alone is encoded.
 * @module
 */
import type { AddedTokens } from "./added-tokens.js";
import type { SegmentMemo } from "./segment-memo.js";
import { TokenSink } from "./token-sink.js";

/** Ids that the model puts around a prompt when asked to add its special tokens. */
export interface Around {
  readonly before: Uint32Array;
  readonly after: Uint32Array;
}

export interface PromptEncoderParts {
  readonly addedTokens: AddedTokens;
  readonly around: Around;
  readonly memo: SegmentMemo;
  /** Ids of a text without added tokens. */
  readonly encodeSegment: (text: string) => Uint32Array;
}

export class PromptEncoder {
  readonly #parts: PromptEncoderParts;
  readonly #sink = new TokenSink();

  constructor(parts: PromptEncoderParts) {
    this.#parts = parts;
  }

  /** @param text - well-formed */
  encode(text: string, addSpecialTokens: boolean): Uint32Array {
    const { addedTokens, around } = this.#parts;
    const sink = this.#sink;
    sink.length = 0;
    if (addSpecialTokens) sink.pushAll(around.before);
    addedTokens.split(
      text,
      (segment) => sink.pushAll(this.#segment(segment)),
      (id) => sink.push(id),
    );
    if (addSpecialTokens) sink.pushAll(around.after);
    return sink.take();
  }

  #segment(text: string): Uint32Array {
    const { memo, encodeSegment } = this.#parts;
    const known = memo.get(text);
    if (known !== undefined) return known;
    const ids = encodeSegment(text);
    memo.set(text, ids);
    return ids;
  }
}
