/**
 * Byte-pair encoding of one piece: the adjacent pair of lowest rank merges first, the leftmost among equals.
 *
 * Short pieces, nearly all, are scanned for the lowest rank; long ones use a heap, so that a word of a megabyte takes
 * n log n and not n². Both do what `merge_all` of Hugging Face's tokenizers does (`models/bpe/word.rs`).
 * @module
 */
import { type MergeTable, NO_RANK } from "./merge-table.js";
import type { TokenSink } from "./token-sink.js";

/** Bytes up to which scanning is faster than a heap; measured: equal at about 150. */
const SCANNED = 128;

/** A heap's entry is rank × 2^32 + position in one double, exact below 2^53: hence ranks below 2^21. */
const RANK = 2 ** 32;
export const MAX_MERGES: number = 2 ** 21;

const scannedIds = new Int32Array(SCANNED);
const scannedRanks = new Int32Array(SCANNED);

/** Encode the first `length` bytes. */
export function mergeBytes(table: MergeTable, bytes: Uint8Array, length: number, sink: TokenSink): void {
  if (length > SCANNED) mergeByHeap(table, bytes, length, sink);
  else mergeByScan(table, bytes, length, sink);
}

function mergeByScan(table: MergeTable, bytes: Uint8Array, length: number, sink: TokenSink): void {
  const ids = scannedIds;
  const ranks = scannedRanks;
  const last = length - 1;
  for (let i = 0; i < last; i++) {
    ids[i] = table.byteIds[bytes[i]!]!;
    ranks[i] = table.bytePairRank(bytes[i]!, bytes[i + 1]!);
  }
  ids[last] = table.byteIds[bytes[last]!]!;
  let count = length;
  for (;;) {
    let lowest = NO_RANK;
    let at = 0;
    for (let i = 0; i < count - 1; i++)
      if (ranks[i]! < lowest) {
        lowest = ranks[i]!;
        at = i;
      }
    if (lowest === NO_RANK) break;
    count--;
    for (let i = at + 1; i < count; i++) {
      ids[i] = ids[i + 1]!;
      ranks[i] = ranks[i + 1]!;
    }
    const merged = table.mergedId(lowest);
    ids[at] = merged;
    if (at < count - 1) ranks[at] = table.rank(merged, ids[at + 1]!);
    if (at > 0) ranks[at - 1] = table.rank(ids[at - 1]!, merged);
  }
  for (let i = 0; i < count; i++) sink.push(ids[i]!);
}

function mergeByHeap(table: MergeTable, bytes: Uint8Array, length: number, sink: TokenSink): void {
  const ids = new Int32Array(length);
  const next = new Int32Array(length);
  const previous = new Int32Array(length);
  // Rank of the pair that begins at each symbol: what a heap entry must still agree with when it is taken.
  const ranks = new Int32Array(length).fill(NO_RANK);
  const heap: number[] = [];
  for (let i = 0; i < length; i++) {
    ids[i] = table.byteIds[bytes[i]!]!;
    next[i] = i + 1;
    previous[i] = i - 1;
    if (i + 1 < length) enter(i, table.bytePairRank(bytes[i]!, bytes[i + 1]!));
  }

  function enter(at: number, rank: number): void {
    ranks[at] = rank;
    if (rank !== NO_RANK) push(heap, rank * RANK + at);
  }

  while (heap.length > 0) {
    const entry = pop(heap);
    const rank = Math.floor(entry / RANK);
    const at = entry - rank * RANK;
    if (ranks[at] !== rank) continue;
    const gone = next[at]!;
    const after = next[gone]!;
    ranks[gone] = NO_RANK;
    ids[at] = table.mergedId(rank);
    next[at] = after;
    if (after < length) {
      previous[after] = at;
      enter(at, table.rank(ids[at]!, ids[after]!));
    } else ranks[at] = NO_RANK;
    const before = previous[at]!;
    if (before >= 0) enter(before, table.rank(ids[before]!, ids[at]!));
  }
  for (let i = 0; i < length; i = next[i]!) sink.push(ids[i]!);
}

function push(heap: number[], entry: number): void {
  let at = heap.length;
  heap.push(entry);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (heap[parent]! <= entry) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = entry;
}

function pop(heap: number[]): number {
  const lowest = heap[0]!;
  const entry = heap.pop()!;
  const size = heap.length;
  if (size === 0) return lowest;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= size) break;
    if (child + 1 < size && heap[child + 1]! < heap[child]!) child++;
    if (heap[child]! >= entry) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = entry;
  return lowest;
}
