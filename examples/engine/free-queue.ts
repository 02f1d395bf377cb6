/**
 * The free physical blocks in the order in which they will be taken: a doubly linked list on typed arrays.
 *
 * Follows vLLM v1's `FreeKVCacheBlockQueue` (`vllm/v1/core/kv_cache_utils.py`): taken at the front, freed at the back,
 * and a block that is hit again is unlinked from the middle, each in constant time.
 * @module
 */

/** Block ids 1 … numBlocks-1 are listed at first, in that order; 0 is the list's own sentinel (vLLM's null block). */
export class FreeQueue {
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  #length: number;

  constructor(numBlocks: number) {
    this.#next = Int32Array.from({ length: numBlocks }, (_, block) => (block + 1) % numBlocks);
    this.#previous = Int32Array.from(
      { length: numBlocks },
      (_, block) => (block + numBlocks - 1) % numBlocks,
    );
    this.#length = numBlocks - 1;
  }

  get length(): number {
    return this.#length;
  }

  /** Take the front block; the caller has checked that there is one. */
  shift(): number {
    const block = this.#next[0]!;
    this.remove(block);
    return block;
  }

  remove(block: number): void {
    const next = this.#next[block]!;
    const previous = this.#previous[block]!;
    this.#next[previous] = next;
    this.#previous[next] = previous;
    this.#length--;
  }

  /** Put blocks at the back, keeping their order: they are taken last. */
  append(blocks: readonly number[]): void {
    for (const block of blocks) this.#insertAfter(this.#previous[0]!, block);
  }

  /** Put blocks at the front, keeping their order: they are taken first. */
  prepend(blocks: readonly number[]): void {
    let after = 0;
    for (const block of blocks) {
      this.#insertAfter(after, block);
      after = block;
    }
  }

  /** The blocks from front to back. */
  *[Symbol.iterator](): Generator<number> {
    for (let block = this.#next[0]!; block !== 0; block = this.#next[block]!) yield block;
  }

  #insertAfter(previous: number, block: number): void {
    const next = this.#next[previous]!;
    this.#next[previous] = block;
    this.#previous[block] = previous;
    this.#next[block] = next;
    this.#previous[next] = block;
    this.#length++;
  }
}
