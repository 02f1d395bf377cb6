/**
 * Room for lists of words: pages of equal pieces, one size of piece a page, that are given back when they are empty.
 * Growing never copies anything.
 * @module
 */

/** Words of a page, at least {@link MIN_PIECES} pieces. */
const PAGE_WORDS = 2048;
const MIN_PIECES = 4;
const KEPT_SIZE = 8;
/** A piece's address is its page's number and its own number within the page. */
const INDEX_BITS = 11;
const INDEX_MASK: number = 2 ** INDEX_BITS - 1;
/** Of a page's own bookkeeping, about. */
const PAGE_BYTES = 160;

interface Page {
  readonly words: Uint32Array;
  /** Words of a piece. */
  readonly size: number;
  readonly pieces: number;
  used: number;
  /** Pieces from here on were never used. */
  fresh: number;
  /** First of the free ones before, plus 1; each holds the next in its first word. */
  free: number;
  /** Listed among those with room. */
  open: boolean;
}

export class WordPages {
  bytes = 0;
  readonly #pages: (Page | undefined)[] = [];
  readonly #freeNumbers: number[] = [];
  /** By size of piece: pages with room, and some that had. */
  readonly #open = new Map<number, number[]>();

  /** Words of a piece that `count` words fit into: exact up to 8, then at most a quarter more. */
  static sizeFor(count: number): number {
    if (count <= 8) return count;
    const step = 2 ** (29 - Math.clz32(count - 1));
    return Math.ceil(count / step) * step;
  }

  /** Take a piece of {@link sizeFor} words. Returns its address. */
  take(size: number): number {
    let open = this.#open.get(size);
    if (open === undefined) this.#open.set(size, (open = []));
    let number = open.at(-1);
    let page = number === undefined ? undefined : this.#pages[number]!;
    if (page === undefined) {
      page = this.#newPage(size);
      number = this.#freeNumbers.pop() ?? this.#pages.length;
      this.#pages[number] = page;
      open.push(number);
    }
    let index = page.free - 1;
    if (index >= 0) page.free = page.words[index * size]!;
    else index = page.fresh++;
    if (++page.used === page.pieces) {
      open.pop();
      page.open = false;
    }
    return ((number! << INDEX_BITS) | index) >>> 0;
  }

  give(address: number): void {
    const number = address >>> INDEX_BITS;
    const page = this.#pages[number]!;
    const index = address & INDEX_MASK;
    page.words[index * page.size] = page.free;
    page.free = index + 1;
    page.used--;
    const open = this.#open.get(page.size)!;
    if (!page.open) {
      page.open = true;
      open.push(number);
    } else if (page.used === 0 && (open.length > 1 || page.size > KEPT_SIZE)) {
      // One of a common size is kept, so that a page is not made and given back with every set.
      open.splice(open.indexOf(number), 1);
      this.#pages[number] = undefined;
      this.#freeNumbers.push(number);
      this.bytes -= page.words.byteLength + PAGE_BYTES;
    }
  }

  /** The array that a piece is in; it begins at {@link startOf}. */
  wordsOf(address: number): Uint32Array {
    return this.#pages[address >>> INDEX_BITS]!.words;
  }

  startOf(address: number): number {
    return (address & INDEX_MASK) * this.#pages[address >>> INDEX_BITS]!.size;
  }

  #newPage(size: number): Page {
    const pieces = Math.max(MIN_PIECES, Math.floor(PAGE_WORDS / size));
    const words = new Uint32Array(pieces * size);
    this.bytes += words.byteLength + PAGE_BYTES;
    return { words, size, pieces, used: 0, fresh: 0, free: 0, open: true };
  }
}
