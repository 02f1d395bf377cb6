/**
 * A text → the pieces that are merged on their own, by the tokenizer's own patterns.
 * @module
 */

/** A compiled step: see `SplitStep`. */
export interface PieceStep {
  readonly pattern: RegExp;
  readonly keepsGaps: boolean;
}

interface Step {
  /** Matches at one place, and by `test` makes neither an array nor a string of what it found. */
  readonly here: RegExp;
  /** Finds the next match, past a gap. */
  readonly onwards: RegExp;
  readonly keepsGaps: boolean;
}

export class PieceSplitter {
  readonly #steps: readonly Step[];

  /** @throws RangeError for a pattern that matches the empty text: how that splits is not stated anywhere */
  constructor(steps: readonly PieceStep[]) {
    this.#steps = steps.map(({ pattern, keepsGaps }) => {
      if (new RegExp(pattern.source, pattern.flags).test(""))
        throw new RangeError("a pattern matches nothing");
      const flags = pattern.flags.replace(/[gy]/g, "");
      return {
        here: new RegExp(pattern.source, `${flags}y`),
        onwards: new RegExp(pattern.source, `${flags}g`),
        keepsGaps,
      };
    });
  }

  /** Hand over where each piece starts and ends, in order. */
  split(text: string, onPiece: (start: number, end: number) => void): void {
    this.#split(text, 0, 0, onPiece);
  }

  #split(text: string, base: number, depth: number, onPiece: (start: number, end: number) => void): void {
    const step = this.#steps[depth];
    if (step === undefined) {
      if (text !== "") onPiece(base, base + text.length);
      return;
    }
    const { here, onwards, keepsGaps } = step;
    const isLast = depth === this.#steps.length - 1;
    const piece = (start: number, end: number): void => {
      if (isLast) onPiece(base + start, base + end);
      else this.#split(text.slice(start, end), base + start, depth + 1, onPiece);
    };
    let at = 0;
    while (at < text.length) {
      here.lastIndex = at;
      if (here.test(text) && here.lastIndex > at) {
        // The next step may use this very pattern only on another text, so its state is not kept.
        const end = here.lastIndex;
        piece(at, end);
        at = end;
        continue;
      }
      onwards.lastIndex = at;
      let match = onwards.exec(text);
      while (match !== null && match[0] === "") {
        onwards.lastIndex++;
        match = onwards.exec(text);
      }
      const gapEnd = match?.index ?? text.length;
      if (keepsGaps && gapEnd > at) piece(at, gapEnd);
      at = gapEnd;
    }
  }
}
