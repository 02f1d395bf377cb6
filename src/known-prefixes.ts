/**
 * The block keys of prefixes that pods were found to hold, so that a chat's next turn hashes its new blocks alone.
 *
 * The keys of some blocks without extra keys follow from the digest before them and their tokens. One SHA-256 over these
 * finds them again: 3 µs for 64 blocks of 16 tokens, where hashing them one after the other takes 21 to 40 (Node 20, x64; of
 * 256 tokens 40 and 90). What one finds is right as long as nobody finds two inputs of one SHA-256, on which the engines'
 * own blocks rest too. Chains over XXH3 and XXH64 are hardly slower than it (6 and 4 µs), and are hashed every time.
 *
 * Bounded in bytes and counted towards the memory limit; what was used least recently goes first. No tokens are kept.
 * @module
 */
import { sha256Text } from "./hash/index.js";
import type { KeyClass } from "./key-classes.js";

/** The block index's. */
export interface SharedMemory {
  readonly memoryLimitBytes: number;
  /** Asks for bytes (negative: gives them back); false refuses. */
  reserve(bytes: number): boolean;
}

/** All together take no more than this, and of the memory limit no more than the part one in so many. */
const MAX_BYTES = 16 * 2 ** 20;
const SHARE = 32;
/** The most blocks that are remembered as one. */
export const LONGEST_PIECE = 64;
/** Words of a piece: its keys, and the digest of its last block. */
const KEY_WORDS = 2 * LONGEST_PIECE;
const PIECE_WORDS = KEY_WORDS + 8;
/** Pieces are kept in pages of so many: with arrays of its own, one takes 1,100 bytes (measured, Node 20). */
const PAGE = 64;
/** With a piece's fingerprint and its place in the map, which take 140 bytes (measured, Node 20). */
const PAGE_BYTES = PAGE * (4 * PIECE_WORDS + 160);
/** Tokens of a block. Larger ones are rare, and not measured. */
const MAX_BLOCK_SIZE = 256;
const CLASS_BYTES = 4;

export class KnownPrefixes {
  readonly #maxBytes: number;
  readonly #memory: SharedMemory;
  /** Numbers of pieces by fingerprint; the most recently used last. */
  readonly #pieces = new Map<string, number>();
  readonly #pages: Uint32Array[] = [];
  /** Two classes may share digests, and still cut the tokens differently. */
  readonly #classes = new WeakMap<KeyClass, number>();
  #classCount = 0;
  #input = new Uint8Array(0);

  constructor(memory: SharedMemory) {
    this.#maxBytes = Math.min(MAX_BYTES, memory.memoryLimitBytes / SHARE);
    this.#memory = memory;
  }

  /** Of the pages. */
  get bytes(): number {
    return this.#pages.length * PAGE_BYTES;
  }

  /** Whether finding a prefix's keys is quicker than hashing it. */
  pays({ algorithm, chain }: KeyClass): boolean {
    return algorithm !== null && !algorithm.startsWith("xxhash") && chain.blockSize <= MAX_BLOCK_SIZE;
  }

  /**
   * @param parent - the digest before the blocks
   * @param tokens - of whole blocks without extra keys, {@link LONGEST_PIECE} at most
   * @param keys - gets their keys, as pairs `[hi, lo]`, from `at` on
   * @returns the digest of the last of them; undefined if they are not known
   */
  find(
    keyClass: KeyClass,
    parent: Uint8Array,
    tokens: Uint32Array,
    keys: Uint32Array,
    at: number,
  ): Uint8Array | undefined {
    if (this.#pieces.size === 0) return undefined;
    const fingerprint = this.#fingerprint(keyClass, parent, tokens);
    const piece = this.#pieces.get(fingerprint);
    if (piece === undefined) return undefined;
    this.#pieces.delete(fingerprint);
    this.#pieces.set(fingerprint, piece);
    const page = this.#pages[Math.floor(piece / PAGE)]!;
    const from = (piece % PAGE) * PIECE_WORDS;
    const { blockSize, digestBytes } = keyClass.chain;
    const words = 2 * (tokens.length / blockSize);
    for (let i = 0; i < words; i++) keys[at + i] = page[from + i]!;
    return new Uint8Array(page.buffer, 4 * (from + KEY_WORDS), digestBytes).slice();
  }

  /**
   * Remember blocks as {@link find} takes them.
   * @param last - the digest of the last of them
   */
  add(
    keyClass: KeyClass,
    parent: Uint8Array,
    tokens: Uint32Array,
    keys: Uint32Array,
    last: Uint8Array,
  ): void {
    const fingerprint = this.#fingerprint(keyClass, parent, tokens);
    const piece = this.#pieces.get(fingerprint) ?? this.#room();
    if (piece === undefined) return;
    const page = this.#pages[Math.floor(piece / PAGE)]!;
    const from = (piece % PAGE) * PIECE_WORDS;
    page.set(keys, from);
    new Uint8Array(page.buffer, 4 * (from + KEY_WORDS)).set(last);
    this.#pieces.delete(fingerprint);
    this.#pieces.set(fingerprint, piece);
  }

  /** The number of a piece to write: a new one where there is memory, else the one that was used least recently. */
  #room(): number | undefined {
    const { size } = this.#pieces;
    if (size < this.#pages.length * PAGE) return size;
    if (this.bytes + PAGE_BYTES <= this.#maxBytes && this.#memory.reserve(PAGE_BYTES)) {
      this.#pages.push(new Uint32Array(PAGE * PIECE_WORDS));
      return size;
    }
    for (const [oldest, piece] of this.#pieces) {
      this.#pieces.delete(oldest);
      return piece;
    }
    return undefined;
  }

  /** The class, which tells how long the rest's parts are; the parent; the tokens. */
  #fingerprint(keyClass: KeyClass, parent: Uint8Array, tokens: Uint32Array): string {
    const tokensAt = CLASS_BYTES + parent.length;
    const length = tokensAt + tokens.byteLength;
    if (this.#input.length < length) this.#input = new Uint8Array(length);
    const input = this.#input;
    const number = this.#numberOf(keyClass);
    for (let i = 0; i < CLASS_BYTES; i++) input[i] = number >>> (8 * i);
    input.set(parent, CLASS_BYTES);
    input.set(new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength), tokensAt);
    return sha256Text(input.length === length ? input : input.subarray(0, length));
  }

  #numberOf(keyClass: KeyClass): number {
    let number = this.#classes.get(keyClass);
    if (number === undefined) this.#classes.set(keyClass, (number = this.#classCount++));
    return number;
  }
}
