/**
 * The merges of a byte-level BPE model as numbers: (left id, right id) → rank, and rank → merged id.
 *
 * Open addressing on one typed array. A Map keyed by a number above 2^31 boxes each key, and strings cost more than the
 * merge itself.
 * @module
 */

/** Rank of a pair that does not merge: above every rank. */
export const NO_RANK = 0x7fff_ffff;

/** `Ġ t`, or in newer files `["Ġ", "t"]`. */
export type Merge = string | readonly [string, string];

export function mergedPair(merge: Merge): readonly [left: string, right: string] {
  if (typeof merge !== "string") return merge;
  const space = merge.indexOf(" ");
  return space < 0 ? [merge, ""] : [merge.slice(0, space), merge.slice(space + 1)];
}

export class MergeTable {
  /** Id of each byte as a token. */
  readonly byteIds: Int32Array;
  readonly #mergedIds: Int32Array;
  /** Ranks of byte pairs, `first << 8 | second`: where every piece begins. */
  readonly #bytePairRanks: Int32Array = new Int32Array(1 << 16).fill(NO_RANK);
  /** Slots of left id, right id, rank; left is -1 in an empty one. */
  readonly #slots: Int32Array;
  readonly #mask: number;

  /** @throws RangeError for a merge that the vocabulary lacks */
  constructor(vocabulary: ReadonlyMap<string, number>, byteIds: Int32Array, merges: readonly Merge[]) {
    this.byteIds = byteIds;
    this.#mergedIds = new Int32Array(merges.length);
    const capacity = 2 ** Math.ceil(Math.log2(Math.max(16, merges.length * 1.6)));
    this.#mask = capacity - 1;
    this.#slots = new Int32Array(capacity * 3).fill(-1);
    const tokens: string[] = [];
    for (const [token, id] of vocabulary) tokens[id] = token;
    let merged = -1;
    for (let rank = 0; rank < merges.length; rank++) {
      // A list from outside, which may be too short.
      const [left, right = ""] = mergedPair(merges[rank]!);
      // Mostly the merges made the tokens, one after the other: to compare is quicker than to find.
      merged++;
      if (!isJoined(tokens[merged], left, right)) merged = idOf(vocabulary, left + right);
      this.#mergedIds[rank] = merged;
      this.#add(idOf(vocabulary, left), idOf(vocabulary, right), rank);
    }
    for (let first = 0; first < 256; first++)
      for (let second = 0; second < 256; second++)
        this.#bytePairRanks[(first << 8) | second] = this.rank(byteIds[first]!, byteIds[second]!);
  }

  /** Rank of a pair, or {@link NO_RANK}. */
  rank(left: number, right: number): number {
    const slots = this.#slots;
    const mask = this.#mask;
    let at = hash(left, right) & mask;
    for (;;) {
      const slot = at * 3;
      const held = slots[slot]!;
      if (held === left && slots[slot + 1] === right) return slots[slot + 2]!;
      if (held === -1) return NO_RANK;
      at = (at + 1) & mask;
    }
  }

  bytePairRank(first: number, second: number): number {
    return this.#bytePairRanks[(first << 8) | second]!;
  }

  /** Id of the token that the merge of this rank makes. */
  mergedId(rank: number): number {
    return this.#mergedIds[rank]!;
  }

  /** A pair that is listed twice has its last rank, as in the official library's map. */
  #add(left: number, right: number, rank: number): void {
    const slots = this.#slots;
    let at = hash(left, right) & this.#mask;
    for (; slots[at * 3] !== -1; at = (at + 1) & this.#mask)
      if (slots[at * 3] === left && slots[at * 3 + 1] === right) break;
    slots[at * 3] = left;
    slots[at * 3 + 1] = right;
    slots[at * 3 + 2] = rank;
  }
}

function hash(left: number, right: number): number {
  const mixed = Math.imul(left, 0x9e37_79b1) ^ Math.imul(right, 0x85eb_ca6b);
  return mixed ^ (mixed >>> 15);
}

function isJoined(token: string | undefined, left: string, right: string): boolean {
  return (
    token !== undefined &&
    token.length === left.length + right.length &&
    token.startsWith(left) &&
    token.endsWith(right)
  );
}

function idOf(vocabulary: ReadonlyMap<string, number>, token: string): number {
  const id = vocabulary.get(token);
  if (id === undefined) throw new RangeError("a merge names a token that the vocabulary lacks");
  return id;
}
