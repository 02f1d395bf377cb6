/**
 * Room for the holders of blocks that have more than fit into their entry: lists of small chunks in one array.
 *
 * A chunk is {@link CHUNK} words: `[next chunk, holder, holder, holder]`, filled from the front. Only the first chunk of a
 * list may have room. A free holder place is 0, and so is the end of a list: chunk 0 is never used.
 * @module
 */

/** Words in a chunk: 5.3 bytes per holder. Longer chunks save hops and waste room at four holders, the common case. */
export const CHUNK = 4;

export class HolderChunks {
  words: Uint32Array;
  #used = 0;
  /** First chunk never used yet. */
  #end = CHUNK;
  #free = 0;

  /** @param chunks - how many fit */
  constructor(chunks: number) {
    this.words = new Uint32Array((chunks + 1) * CHUNK);
  }

  get used(): number {
    return this.#used;
  }

  get hasRoom(): boolean {
    return (this.#used + 2) * CHUNK <= this.words.length;
  }

  /** How many chunks fit. */
  get capacity(): number {
    return this.words.length / CHUNK - 1;
  }

  /** A new list's or a longer list's first chunk; {@link hasRoom} must hold. */
  take(next: number): number {
    this.#used++;
    let chunk = this.#free;
    if (chunk !== 0) this.#free = this.words[chunk]!;
    else {
      chunk = this.#end;
      this.#end += CHUNK;
    }
    this.words[chunk] = next;
    return chunk;
  }

  give(chunk: number): void {
    this.#used--;
    this.words.fill(0, chunk, chunk + CHUNK);
    this.words[chunk] = this.#free;
    this.#free = chunk;
  }

  giveList(first: number): void {
    for (let chunk = first; chunk !== 0; ) {
      const next = this.words[chunk]!;
      this.give(chunk);
      chunk = next;
    }
  }

  /** Add a holder to a list. Returns the list's first chunk, which may be another than before. */
  append(first: number, word: number): number {
    for (let i = first + 1; i < first + CHUNK; i++) {
      if (this.words[i] !== 0) continue;
      this.words[i] = word;
      return first;
    }
    const chunk = this.take(first);
    this.words[chunk + 1] = word;
    return chunk;
  }

  /** Take some holder off a list: the last of its first chunk, which stays even when it is empty then. */
  pop(first: number): number {
    let last = first + CHUNK - 1;
    while (this.words[last] === 0) last--;
    const word = this.words[last]!;
    this.words[last] = 0;
    return word;
  }

  /** Copy a list from another array of chunks. Returns its first chunk here. */
  copyList(from: HolderChunks, first: number): number {
    let head = 0;
    let last = 0;
    for (let chunk = first; chunk !== 0; chunk = from.words[chunk]!) {
      const copy = this.take(0);
      for (let i = 1; i < CHUNK; i++) this.words[copy + i] = from.words[chunk + i]!;
      if (last === 0) head = copy;
      else this.words[last] = copy;
      last = copy;
    }
    return head;
  }
}
