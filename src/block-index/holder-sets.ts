/**
 * Sets of holders, each kept once however many blocks have it: the blocks of a request are stored together by the same
 * pods, so there are far fewer sets than blocks, and two blocks have the same holders if they have the same set.
 *
 * A set is a sorted list of holder words, `slot << 12 | count`, under a number; the empty set is 0. It never changes: adding
 * a holder makes another set, or finds the one that there is. Blocks count as references; a set without any is gone.
 * @module
 */
import { WordPages } from "./word-pages.js";

/** Words of one set's own record: references, hash, size, address of its words, stamp, deaths it was checked at. */
const RECORD = 6;
const REFS = 0;
const HASH = 1;
const SIZE = 2;
const ADDRESS = 3;
const STAMP = 4;
const CHECKED = 5;
const RECORDS_PER_PAGE = 512;
const PAGE_SHIFT = 9;

/** Tables by hash, so that growing one is short. */
const TABLES = 64;
const FIRST_TABLE = 16;

export class HolderSets {
  readonly #records: Uint32Array[] = [];
  readonly #pages = new WordPages();
  readonly #tables: Uint32Array[] = Array.from({ length: TABLES }, () => new Uint32Array(FIRST_TABLE));
  readonly #used: number[] = Array<number>(TABLES).fill(0);
  readonly #free: number[] = [];
  #next = 1;
  #stamp = 0;
  #ownBytes = TABLES * FIRST_TABLE * 4;
  /** A set under construction. */
  #draft: Uint32Array = new Uint32Array(64);

  get bytes(): number {
    return this.#ownBytes + this.#pages.bytes;
  }

  sizeOf(set: number): number {
    return set === 0 ? 0 : this.#read(set, SIZE);
  }

  /** Tells this set from another that has its number later. 0 of the empty one, and of one that is gone. */
  stampOf(set: number): number {
    return set === 0 || set >= this.#next ? 0 : this.#read(set, STAMP);
  }

  /** The array that the set's words are in, from {@link startOf} on. Not of the empty set. */
  wordsOf(set: number): Uint32Array {
    return this.#pages.wordsOf(this.#read(set, ADDRESS));
  }

  startOf(set: number): number {
    return this.#pages.startOf(this.#read(set, ADDRESS));
  }

  /** Whether {@link noteChecked} was called for it with this number. */
  wasChecked(set: number, deaths: number): boolean {
    return this.#read(set, CHECKED) === deaths;
  }

  noteChecked(set: number, deaths: number): void {
    this.#write(set, CHECKED, deaths);
  }

  retain(set: number, blocks: number): void {
    if (set !== 0) this.#write(set, REFS, this.#read(set, REFS) + blocks);
  }

  release(set: number, blocks: number): void {
    if (set === 0) return;
    const refs = this.#read(set, REFS) - blocks;
    this.#write(set, REFS, refs);
    if (refs === 0) this.#drop(set);
  }

  /** The set with one word more, whose slot it does not have. Without references, if it is new. */
  plus(set: number, word: number): number {
    const size = this.sizeOf(set);
    const draft = this.#draftOf(size + 1);
    let at = size;
    if (set !== 0) {
      const words = this.wordsOf(set);
      const start = this.startOf(set);
      for (; at > 0 && words[start + at - 1]! > word; at--) draft[at] = words[start + at - 1]!;
      for (let i = 0; i < at; i++) draft[i] = words[start + i]!;
    }
    draft[at] = word;
    return this.#intern(size + 1, (this.#hashOf(set) + mixWord(word)) >>> 0);
  }

  /** The set without the word at `index`. */
  minus(set: number, index: number): number {
    const size = this.sizeOf(set);
    if (size === 1) return 0;
    const words = this.wordsOf(set);
    const start = this.startOf(set);
    const draft = this.#draftOf(size);
    for (let i = 0; i < index; i++) draft[i] = words[start + i]!;
    for (let i = index + 1; i < size; i++) draft[i - 1] = words[start + i]!;
    return this.#intern(size - 1, (this.#hashOf(set) - mixWord(words[start + index]!)) >>> 0);
  }

  /** The set of those words that are to be kept. */
  filtered(set: number, keep: (word: number) => boolean): number {
    const size = this.sizeOf(set);
    if (size === 0) return 0;
    const words = this.wordsOf(set);
    const start = this.startOf(set);
    const draft = this.#draftOf(size);
    let kept = 0;
    let hash = 0;
    for (let i = 0; i < size; i++) {
      const word = words[start + i]!;
      if (!keep(word)) continue;
      draft[kept++] = word;
      hash = (hash + mixWord(word)) >>> 0;
    }
    return kept === size ? set : kept === 0 ? 0 : this.#intern(kept, hash);
  }

  /** The set with another word, of another slot or count, in the place of that at `index`. */
  swapped(set: number, index: number, word: number): number {
    const size = this.sizeOf(set);
    const words = this.wordsOf(set);
    const start = this.startOf(set);
    const draft = this.#draftOf(size);
    let to = 0;
    let placed = false;
    for (let i = 0; i < size; i++) {
      if (i === index) continue;
      const other = words[start + i]!;
      if (!placed && other > word) {
        draft[to++] = word;
        placed = true;
      }
      draft[to++] = other;
    }
    if (!placed) draft[to] = word;
    const hash = (this.#hashOf(set) - mixWord(words[start + index]!) + mixWord(word)) >>> 0;
    return this.#intern(size, hash);
  }

  #read(set: number, field: number): number {
    return this.#records[set >>> PAGE_SHIFT]![(set & (RECORDS_PER_PAGE - 1)) * RECORD + field]!;
  }

  #write(set: number, field: number, value: number): void {
    this.#records[set >>> PAGE_SHIFT]![(set & (RECORDS_PER_PAGE - 1)) * RECORD + field] = value;
  }

  #hashOf(set: number): number {
    return set === 0 ? 0 : this.#read(set, HASH);
  }

  #draftOf(size: number): Uint32Array {
    if (this.#draft.length < size) this.#draft = new Uint32Array(2 * size);
    return this.#draft;
  }

  /** The set of the draft's first words: the one that there is, or a new one. */
  #intern(size: number, hash: number): number {
    const t = hash >>> 26;
    let table = this.#tables[t]!;
    let at = home(hash, table);
    for (; table[at] !== 0; at = (at + 1) & (table.length - 1)) {
      const set = table[at]!;
      if (this.#read(set, HASH) === hash && this.#isDraft(set, size)) return set;
    }
    if ((this.#used[t]! + 1) * 4 > table.length * 3) {
      table = this.#grow(t);
      at = freeIn(table, hash);
    }
    const set = this.#create(size, hash);
    table[at] = set;
    this.#used[t]!++;
    return set;
  }

  #isDraft(set: number, size: number): boolean {
    if (this.#read(set, SIZE) !== size) return false;
    const words = this.wordsOf(set);
    const start = this.startOf(set);
    for (let i = 0; i < size; i++) if (words[start + i] !== this.#draft[i]) return false;
    return true;
  }

  #create(size: number, hash: number): number {
    const set = this.#free.pop() ?? this.#next++;
    if (set >>> PAGE_SHIFT >= this.#records.length) {
      this.#records.push(new Uint32Array(RECORDS_PER_PAGE * RECORD));
      this.#ownBytes += RECORDS_PER_PAGE * RECORD * 4;
    }
    const address = this.#pages.take(WordPages.sizeFor(size));
    const words = this.#pages.wordsOf(address);
    const start = this.#pages.startOf(address);
    for (let i = 0; i < size; i++) words[start + i] = this.#draft[i]!;
    this.#stamp = (this.#stamp + 1) >>> 0 || 1;
    this.#write(set, REFS, 0);
    this.#write(set, HASH, hash);
    this.#write(set, SIZE, size);
    this.#write(set, ADDRESS, address);
    this.#write(set, STAMP, this.#stamp);
    this.#write(set, CHECKED, 0);
    return set;
  }

  #drop(set: number): void {
    const hash = this.#read(set, HASH);
    const t = hash >>> 26;
    const table = this.#tables[t]!;
    let at = home(hash, table);
    while (table[at] !== set) at = (at + 1) & (table.length - 1);
    this.#close(table, at);
    this.#used[t]!--;
    this.#pages.give(this.#read(set, ADDRESS));
    this.#write(set, STAMP, 0);
    this.#free.push(set);
    if (this.#free.length === this.#next - 1 && this.#records.length > 1) this.#giveBack();
  }

  /** Nobody holds anything any more: give the records back, and what the tables have grown by. */
  #giveBack(): void {
    this.#records.length = 1;
    this.#free.length = 0;
    this.#next = 1;
    for (let t = 0; t < TABLES; t++) this.#tables[t] = new Uint32Array(FIRST_TABLE);
    this.#ownBytes = TABLES * FIRST_TABLE * 4 + RECORDS_PER_PAGE * RECORD * 4;
  }

  /** Free a place of a table; those behind it shift back, so that a probe ends at the first free place. */
  #close(table: Uint32Array, hole: number): void {
    const mask = table.length - 1;
    for (let at = hole; ; ) {
      at = (at + 1) & mask;
      const set = table[at]!;
      if (set === 0) break;
      const wanted = home(this.#read(set, HASH), table);
      if (((at - wanted) & mask) < ((at - hole) & mask)) continue;
      table[hole] = set;
      hole = at;
    }
    table[hole] = 0;
  }

  #grow(t: number): Uint32Array {
    const old = this.#tables[t]!;
    const table = new Uint32Array(2 * old.length);
    this.#ownBytes += old.byteLength;
    for (const set of old) if (set !== 0) table[freeIn(table, this.#read(set, HASH))] = set;
    this.#tables[t] = table;
    return table;
  }
}

function home(hash: number, table: Uint32Array): number {
  return hash & 0x3ffffff & (table.length - 1);
}

function freeIn(table: Uint32Array, hash: number): number {
  let at = home(hash, table);
  while (table[at] !== 0) at = (at + 1) & (table.length - 1);
  return at;
}

/** Spreads a word over 32 bits: the sum over a set's words is its hash, whatever their order. */
function mixWord(word: number): number {
  let h = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
