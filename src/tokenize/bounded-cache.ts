/**
 * The one place that names `lru-cache`: what was used least recently goes first.
 * @module
 */
import { LRUCache } from "lru-cache";

export type Bound<K, V> =
  | { readonly maxEntries: number }
  | { readonly maxBytes: number; readonly bytesOf: (value: V, key: K) => number };

export class BoundedCache<K extends {}, V extends {}> {
  readonly #cache: LRUCache<K, V>;

  constructor(bound: Bound<K, V>) {
    this.#cache =
      "maxEntries" in bound
        ? new LRUCache({ max: bound.maxEntries })
        : new LRUCache({ maxSize: bound.maxBytes, sizeCalculation: bound.bytesOf });
  }

  /** Of all entries, where the bound is in bytes. */
  get bytes(): number {
    return this.#cache.calculatedSize;
  }

  get(key: K): V | undefined {
    return this.#cache.get(key);
  }

  /** An entry that is larger than the bound is not kept. */
  set(key: K, value: V): void {
    this.#cache.set(key, value);
  }
}
