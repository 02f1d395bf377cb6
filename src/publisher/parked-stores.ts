/**
 * Stores whose parent is not known yet (`tokens` mode): kept, bounded, until the parent's own store arrives.
 * @module
 */

/** What parking needs of a store event. */
export interface ParkableStore {
  readonly blockKeys: Uint32Array;
  readonly parentKey: readonly [hi: number, lo: number] | null;
  readonly tokenIds: Uint32Array;
}

interface Parked<T> {
  readonly store: T;
  /** Blocks of the store still there: it is cut at the first that the engine removed meanwhile. */
  blocks: number;
  readonly bytes: number;
}

/** Bytes of parked stores that one publisher may keep, and the part of the memory limit that is more than enough. */
const MAX_BYTES = 8 * 2 ** 20;
const SHARE = 32;
/** Stores that hang one from the other: a prompt computed in chunks, turns of a conversation. */
const MAX_CHAIN = 256;

export class ParkedStores<T extends ParkableStore> {
  /** Stores given up because the bound was reached. */
  dropped = 0;
  size = 0;
  readonly #byParent = new Map<bigint, Parked<T>[]>();
  /** The parked copies of a handle: an engine may store a block twice. */
  readonly #byHandle = new Map<bigint, { parked: Parked<T>; block: number }[]>();
  readonly #reserve: (bytes: number) => boolean;
  readonly #maxBytes: number;
  #bytes = 0;

  /**
   * @param reserve - asks for memory (negative: gives it back); false refuses
   * @param memoryLimitBytes - of the whole index
   */
  constructor(
    reserve: (bytes: number) => boolean = () => true,
    memoryLimitBytes: number = Number.POSITIVE_INFINITY,
  ) {
    this.#reserve = reserve;
    this.#maxBytes = Math.min(MAX_BYTES, memoryLimitBytes / SHARE);
  }

  /** Keep a store until {@link take} is asked for its parent. The oldest parents' children are dropped at the bound. */
  park(parentHi: number, parentLo: number, store: T): void {
    const blocks = store.blockKeys.length / 2;
    const parked: Parked<T> = { store, blocks, bytes: 256 + 96 * blocks + 4 * store.tokenIds.length };
    while (!this.#reserve(parked.bytes)) {
      if (this.size === 0) {
        this.dropped++;
        return;
      }
      this.#dropOldest();
    }
    const parent = handle(parentHi, parentLo);
    const siblings = this.#byParent.get(parent);
    if (siblings === undefined) this.#byParent.set(parent, [parked]);
    else siblings.push(parked);
    for (let block = 0; block < blocks; block++) {
      const key = handle(store.blockKeys[2 * block]!, store.blockKeys[2 * block + 1]!);
      const copies = this.#byHandle.get(key);
      if (copies === undefined) this.#byHandle.set(key, [{ parked, block }]);
      else copies.push({ parked, block });
    }
    this.size++;
    this.#bytes += parked.bytes;
    while (this.#bytes > this.#maxBytes) this.#dropOldest();
  }

  /** The stores that waited for this handle, each with the number of its blocks that are still there. */
  take(hi: number, lo: number): { store: T; blocks: number }[] {
    return this.size === 0 ? [] : this.#forget(handle(hi, lo));
  }

  /**
   * A parked store and the parked ones that lead to it, the topmost first: of each the blocks down to the next one's
   * parent. Undefined, if its own blocks are not all there any more, or for an endless chain.
   */
  chainTo(store: T): { store: T; blocks: number }[] | undefined {
    const chain: { store: T; blocks: number }[] = [];
    let next: { parked: Parked<T>; block: number } | undefined = this.#at(
      store.blockKeys.at(-2)!,
      store.blockKeys.at(-1)!,
      store,
    );
    for (; next !== undefined && chain.length < MAX_CHAIN; ) {
      const { parked, block } = next;
      chain.unshift({ store: parked.store, blocks: block + 1 });
      if (parked.store.parentKey === null) return undefined;
      next = this.#at(...parked.store.parentKey);
    }
    return next === undefined && chain.length > 0 ? chain : undefined;
  }

  /** The engine removed a copy of a block that may be parked. Returns whether it was. */
  removed(hi: number, lo: number): boolean {
    const copies = this.size === 0 ? undefined : this.#byHandle.get(handle(hi, lo));
    const found = copies?.findLast(({ parked, block }) => block < parked.blocks) ?? copies?.[0];
    if (found === undefined) return false;
    found.parked.blocks = Math.min(found.parked.blocks, found.block);
    return true;
  }

  /** Whether a store with a block of exactly these tokens is parked. Looks at all of them. */
  has(tokens: Uint32Array): boolean {
    for (const siblings of this.#byParent.values())
      for (const { store, blocks } of siblings)
        for (let block = 0; block < blocks; block++)
          if (tokens.every((id, i) => store.tokenIds[block * tokens.length + i] === id)) return true;
    return false;
  }

  clear(): void {
    this.#reserve(-this.#bytes);
    this.#byParent.clear();
    this.#byHandle.clear();
    this.#bytes = this.size = 0;
  }

  /** A parked copy of a block that is still there; of a certain store, if one is given. */
  #at(hi: number, lo: number, of?: T): { parked: Parked<T>; block: number } | undefined {
    return this.#byHandle
      .get(handle(hi, lo))
      ?.findLast(({ parked, block }) => block < parked.blocks && (of === undefined || parked.store === of));
  }

  #dropOldest(): void {
    this.dropped += this.#forget(this.#byParent.keys().next().value!).length;
  }

  #forget(parent: bigint): Parked<T>[] {
    const children = this.#byParent.get(parent) ?? [];
    this.#byParent.delete(parent);
    for (const { store, bytes } of children) {
      this.size--;
      this.#bytes -= bytes;
      this.#reserve(-bytes);
      for (let i = 0; i < store.blockKeys.length; i += 2) {
        const key = handle(store.blockKeys[i]!, store.blockKeys[i + 1]!);
        const others = this.#byHandle.get(key)?.filter(({ parked }) => parked.store !== store) ?? [];
        if (others.length > 0) this.#byHandle.set(key, others);
        else this.#byHandle.delete(key);
      }
    }
    return children;
  }
}

function handle(hi: number, lo: number): bigint {
  return (BigInt(hi) << 32n) | BigInt(lo);
}
