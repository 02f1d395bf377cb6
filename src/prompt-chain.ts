/**
 * A prompt's block keys, a stretch of blocks at a time. What is known of a prefix is not hashed again.
 * @module
 */
import type { KeyClass } from "./key-classes.js";
import { type KnownPrefixes, LONGEST_PIECE } from "./known-prefixes.js";
import type { LookupMemory } from "./lookup-memory.js";
import type { QueryKeys } from "./query-keys.js";

/** Blocks of the first stretch; each further one is twice as long, up to the last. */
const FIRST_STRETCH = 8;
const LONGEST_STRETCH = 256;
export interface PromptChainOptions {
  readonly tokens: Uint32Array;
  /** How many of its blocks are hashed at most. */
  readonly blocks: number;
  readonly keyClass: KeyClass;
  readonly extraKeys: QueryKeys;
  /** Undefined: everything is hashed. */
  readonly known?: KnownPrefixes | undefined;
  /** What keys are written to, to be read while the lookup goes on. Undefined: memory of their own. */
  readonly memory?: LookupMemory | undefined;
}

/** Blocks that were hashed in one go. */
interface Hashed {
  readonly from: number;
  readonly parent: Uint8Array | undefined;
  readonly digests: Uint8Array;
  readonly keys: Uint32Array;
}

export class PromptChain {
  readonly #tokens: Uint32Array;
  readonly #blocks: number;
  readonly #keyClass: KeyClass;
  readonly #extraKeys: QueryKeys;
  /** Undefined where it would save nothing. */
  readonly #known: KnownPrefixes | undefined;
  readonly #memory: LookupMemory | undefined;
  /** What a prompt's first unknown piece is followed by is not looked for: most likely it is new too. */
  #isKnown = true;
  readonly #hashed: Hashed[] = [];
  /** Digests of the blocks from `from` on, made elsewhere. */
  #supplied: { readonly from: number; readonly digests: Uint8Array } | undefined;
  #newBlocks = 0;
  #at = 0;
  #stretch = FIRST_STRETCH;
  #parent: Uint8Array | undefined;

  constructor({ tokens, blocks, keyClass, extraKeys, known, memory }: PromptChainOptions) {
    this.#tokens = tokens;
    this.#blocks = blocks;
    this.#keyClass = keyClass;
    this.#extraKeys = extraKeys;
    this.#known = known?.pays(keyClass) ? known : undefined;
    this.#memory = memory;
  }

  /** Blocks whose keys were given. */
  get at(): number {
    return this.#at;
  }

  get isDone(): boolean {
    return this.#at >= this.#blocks;
  }

  /** The keys of the next stretch, as pairs `[hi, lo]`. */
  next(): Uint32Array {
    const from = this.#at;
    const to = Math.min(this.#blocks, from + this.#stretch);
    this.#stretch = Math.min(2 * this.#stretch, LONGEST_STRETCH);
    const words = 2 * (to - from);
    const keys = this.#memory?.words(words) ?? new Uint32Array(words);
    if (this.#known !== undefined) this.#find(this.#known, from, to, keys);
    if (this.#at < to) this.#hash(from, to, keys);
    return keys;
  }

  /**
   * What is left to be hashed, once so many blocks in a row were not known: tokens of whole blocks, and the digest before
   * them. Undefined where that would save nothing, or is more than tokens.
   */
  remainder(newBlocks: number): { readonly tokens: Uint32Array; readonly parent: Uint8Array } | undefined {
    if (this.#known === undefined || this.#supplied !== undefined || this.#newBlocks < newBlocks)
      return undefined;
    if (!this.#canKnow(this.#at, this.#blocks)) return undefined;
    return { tokens: this.#tokensOf(this.#at, this.#blocks), parent: this.#parent! };
  }

  /** The digests of the {@link remainder}. */
  supply(digests: Uint8Array): void {
    this.#supplied = { from: this.#at, digests };
  }

  /** The keys of all blocks that are left. */
  rest(): Uint32Array {
    const keys = new Uint32Array(2 * (this.#blocks - this.#at));
    for (let at = 0; at < keys.length; ) {
      const some = this.next();
      keys.set(some, at);
      at += some.length;
    }
    return keys;
  }

  /** Whether there may be something to {@link remember}. */
  get isNew(): boolean {
    return this.#hashed.length > 0;
  }

  /** Remember what was hashed of the first `held` blocks, so that it will be known. */
  remember(held: number): void {
    const { digestBytes } = this.#keyClass.chain;
    for (const { from, parent, digests, keys } of this.#hashed) {
      const to = Math.min(held, from + keys.length / 2);
      for (let at = from, end = pieceEnd(at); end <= to; at = end, end = pieceEnd(end)) {
        if (!this.#canKnow(at, end)) continue;
        const before =
          at === from ? parent! : digests.subarray((at - from - 1) * digestBytes, (at - from) * digestBytes);
        const own = keys.subarray(2 * (at - from), 2 * (end - from));
        const last = digests.subarray((end - from - 1) * digestBytes, (end - from) * digestBytes);
        this.#known!.add(this.#keyClass, before, this.#tokensOf(at, end), own, last);
      }
    }
  }

  /** Keys of a stretch up to the first piece that is not known; those with extra keys are hashed on the way. */
  #find(known: KnownPrefixes, from: number, to: number, keys: Uint32Array): void {
    while (this.#isKnown) {
      const at = this.#at;
      const end = pieceEnd(at);
      if (end > to) return;
      if (this.#canKnow(at, end)) {
        const last = known.find(
          this.#keyClass,
          this.#parent!,
          this.#tokensOf(at, end),
          keys,
          2 * (at - from),
        );
        if (last === undefined) this.#isKnown = false;
        else {
          this.#parent = last;
          this.#at = end;
          this.#newBlocks = 0;
        }
      } else this.#hash(from, end, keys);
    }
  }

  /** Hash up to a block, into the keys of the stretch that begins at `from`. */
  #hash(from: number, to: number, keys: Uint32Array): void {
    const at = this.#at;
    const { chain } = this.#keyClass;
    const hashes = chain.blockSize / chain.hashBlockSize;
    const parent = this.#parent;
    const digests =
      this.#suppliedOf(at, to) ??
      chain.hashTokens(this.#tokensOf(at, to), {
        parent,
        extraKeys: this.#extraKeys?.slice(at * hashes, to * hashes),
        out: this.#memory?.bytes((to - at) * chain.digestBytes),
      });
    const own = chain.toKeys(digests, keys.subarray(2 * (at - from), 2 * (to - from)));
    if (this.#known !== undefined && at > 0) this.#hashed.push({ from: at, parent, digests, keys: own });
    this.#parent = digests.slice(digests.length - chain.digestBytes);
    this.#at = to;
    this.#newBlocks += to - at;
  }

  #suppliedOf(from: number, to: number): Uint8Array | undefined {
    if (this.#supplied === undefined) return undefined;
    const { from: first, digests } = this.#supplied;
    const { digestBytes } = this.#keyClass.chain;
    return digests.subarray((from - first) * digestBytes, (to - first) * digestBytes);
  }

  /** The first stretch is hashed before anything is known of a prompt: one that nobody holds costs that and no more. */
  #canKnow(from: number, end: number): boolean {
    if (from === 0) return false;
    if (this.#extraKeys === undefined) return true;
    const { blockSize, hashBlockSize } = this.#keyClass.chain;
    const hashes = blockSize / hashBlockSize;
    for (let hash = from * hashes; hash < end * hashes; hash++)
      if ((this.#extraKeys[hash]?.length ?? 0) > 0) return false;
    return true;
  }

  #tokensOf(from: number, to: number): Uint32Array {
    const { blockSize } = this.#keyClass.chain;
    return this.#tokens.subarray(from * blockSize, to * blockSize);
  }
}

/** Where the piece that begins at a block ends: pieces begin at the same blocks in every prompt, as the stretches do. */
function pieceEnd(from: number): number {
  return from + Math.min(from + FIRST_STRETCH, LONGEST_PIECE);
}
