/**
 * Memory for the shards' tables. Small ones of one size are in pieces of memory with a place for each of many shards: the
 * allocator, which may take milliseconds for a table (`lookup-memory.ts`), is asked a few times and not by each shard, at
 * any time, as it happens to be full.
 * @module
 */

/** Tables of up to so many words share pieces: those of 800,000 blocks together, 12 MiB. */
const SHARED_WORDS = 3 * 1024;
/** Words of a piece: 768 KiB, which is zeroed in a quarter of a millisecond. */
const PIECE_WORDS = 64 * SHARED_WORDS;
/** A place that a shard has left is given back with the piece's last: below this limit the memory could be missed. */
const MIN_LIMIT_BYTES = 64 * 2 ** 20;

interface Piece {
  readonly memory: ArrayBuffer;
  /** Shards whose tables are here. */
  users: number;
  /** Shards whose tables were here. */
  readonly left: Set<number>;
}

export class ShardMemory {
  /** Bytes of places that were left and are not given back. */
  leftBytes = 0;
  readonly #shards: number;
  readonly #isShared: boolean;
  /** By the words of a table, and then by the place of a shard's among all that are so large. */
  readonly #pieces = new Map<number, (Piece | undefined)[]>();

  constructor(shards: number, memoryLimitBytes: number) {
    this.#shards = shards;
    this.#isShared = memoryLimitBytes >= MIN_LIMIT_BYTES;
  }

  /** A table of zeros for a shard that grows. */
  take(shard: number, words: number): Uint32Array {
    if (!this.#isShared || words > SHARED_WORDS) return new Uint32Array(words);
    const tables = Math.min(this.#shards, Math.floor(PIECE_WORDS / words));
    const number = Math.floor(shard / tables);
    let pieces = this.#pieces.get(words);
    if (pieces === undefined) this.#pieces.set(words, (pieces = []));
    const piece = (pieces[number] ??= {
      memory: new ArrayBuffer(4 * words * tables),
      users: 0,
      left: new Set(),
    });
    piece.users++;
    const table = new Uint32Array(piece.memory, 4 * words * (shard % tables), words);
    if (!piece.left.delete(shard)) return table;
    this.leftBytes -= table.byteLength;
    return table.fill(0);
  }

  /** The shard has another table now. */
  give(shard: number, table: Uint32Array): void {
    const pieces = this.#pieces.get(table.length);
    const number = pieces?.findIndex((piece) => piece?.memory === table.buffer) ?? -1;
    if (number < 0) return;
    const piece = pieces![number]!;
    piece.left.add(shard);
    this.leftBytes += table.byteLength;
    if (--piece.users > 0) return;
    this.leftBytes -= piece.left.size * table.byteLength;
    pieces![number] = undefined;
  }
}
