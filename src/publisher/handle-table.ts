/**
 * One table of a handle map: open addressing with linear probing, where a place that becomes free is filled from behind.
 * @module
 */

/** Words of an entry: the handle, its own key. An own key of 0 is a free place. */
export const STRIDE = 4;
/** Entries fill at most this part of a table. */
export const MAX_LOAD = 0.8;

export class Table {
  readonly words: Uint32Array;
  readonly capacity: number;
  /** How many of a handle's last bits are alike in all its entries: what it is found by. */
  readonly bits: number;
  /** By place, as bits: its block was removed, or the hand found it unheld once. */
  readonly #unheld: Uint8Array;
  #used = 0;

  constructor(capacity: number, bits: number) {
    this.capacity = capacity;
    this.bits = bits;
    this.words = new Uint32Array(capacity * STRIDE);
    this.#unheld = new Uint8Array((capacity + 7) >>> 3);
  }

  static bytesOf(capacity: number): number {
    return capacity * STRIDE * 4 + ((capacity + 7) >>> 3);
  }

  get bytes(): number {
    return Table.bytesOf(this.capacity);
  }

  get isFull(): boolean {
    return this.#used + 1 > this.capacity * MAX_LOAD;
  }

  /** The first word that {@link find} looks at. */
  firstWord(hi: number, lo: number): number {
    return this.words[this.#home(hi, lo)]!;
  }

  /** Offset of the handle's entry, or of the free place where it belongs. */
  find(hi: number, lo: number): number {
    const words = this.words;
    const end = words.length;
    let at = this.#home(hi, lo);
    while ((words[at + 1] !== lo || words[at] !== hi) && (words[at + 2]! | words[at + 3]!) !== 0)
      if ((at += STRIDE) === end) at = 0;
    return at;
  }

  /** Returns whether the handle is new. */
  put(hi: number, lo: number, ownHi: number, ownLo: number): boolean {
    const words = this.words;
    const at = this.find(hi, lo);
    const isNew = !this.#isTaken(at);
    if (isNew) this.#used++;
    words[at] = hi;
    words[at + 1] = lo;
    words[at + 2] = ownHi;
    words[at + 3] = ownLo;
    this.#mark(at / STRIDE, false);
    return isNew;
  }

  /** How many entries have 0 and 1 there in their handle's low lane. */
  countBy(bit: number): [number, number] {
    let ones = 0;
    for (let at = 0; at < this.words.length; at += STRIDE)
      if (this.#isTaken(at) && (this.words[at + 1]! & bit) !== 0) ones++;
    return [this.#used - ones, ones];
  }

  /** Take another's entries, or those whose handles have `value` at `bit`. There is room for them. */
  takeAll(old: Table, bit = 0, value = 0): void {
    const { words } = old;
    for (let from = 0; from < words.length; from += STRIDE) {
      if (!old.#isTaken(from) || (words[from + 1]! & bit) !== value) continue;
      this.put(words[from]!, words[from + 1]!, words[from + 2]!, words[from + 3]!);
      if (old.#isUnheld(from / STRIDE)) this.noteUnheld(words[from]!, words[from + 1]!);
    }
  }

  noteUnheld(hi: number, lo: number): void {
    const at = this.find(hi, lo);
    if (this.#isTaken(at)) this.#mark(at / STRIDE, true);
  }

  /** Remove the handle at `i` of these if it was unheld when that was last looked at. Returns whether it was. */
  removeUnheld(handles: Uint32Array, i: number): boolean {
    const at = this.find(handles[i]!, handles[i + 1]!);
    if (!this.#isTaken(at) || !this.#isUnheld(at / STRIDE)) return false;
    this.remove(at);
    return true;
  }

  /** Returns whether it was found unheld twice. */
  noteHeld(at: number, isHeld: boolean): boolean {
    const place = at / STRIDE;
    const again = !isHeld && this.#isUnheld(place);
    this.#mark(place, !isHeld);
    return again;
  }

  /** Free a place; the entries behind it shift back, so that a probe ends at the first free place. */
  remove(hole: number): void {
    const words = this.words;
    const end = words.length;
    this.#used--;
    for (let at = hole; ; ) {
      if ((at += STRIDE) === end) at = 0;
      if ((words[at + 2]! | words[at + 3]!) === 0) break;
      const wanted = this.#home(words[at]!, words[at + 1]!);
      if (hole <= at ? hole < wanted && wanted <= at : hole < wanted || wanted <= at) continue;
      for (let i = 0; i < STRIDE; i++) words[hole + i] = words[at + i]!;
      this.#mark(hole / STRIDE, this.#isUnheld(at / STRIDE));
      hole = at;
    }
    words[hole] = words[hole + 1] = words[hole + 2] = words[hole + 3] = 0;
    this.#mark(hole / STRIDE, false);
  }

  #isTaken(at: number): boolean {
    return (this.words[at + 2]! | this.words[at + 3]!) !== 0;
  }

  #isUnheld(place: number): boolean {
    return (this.#unheld[place >>> 3]! & (1 << (place & 7))) !== 0;
  }

  #mark(place: number, unheld: boolean): void {
    const bit = 1 << (place & 7);
    if (unheld) this.#unheld[place >>> 3]! |= bit;
    else this.#unheld[place >>> 3]! &= ~bit;
  }

  #home(hi: number, lo: number): number {
    const h = Math.imul((lo >>> 6) ^ Math.imul(hi, 0x85ebca6b), 0x9e3779b1) >>> 0;
    return Math.floor((h * this.capacity) / 2 ** 32) * STRIDE;
  }
}
