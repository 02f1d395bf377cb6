/**
 * Looks for keys many at a time, so that memory is waited for once and not key by key.
 *
 * A processor goes on to later keys while it waits for memory, as far as its queues reach: about 90 loads or 300 instructions.
 * So reading has a loop of its own that does nothing else, and works on arrays that the closure holds: V8 compiles their
 * addresses into the code, and spares the four loads for each element of an array that it is handed.
 * @module
 */
import { type Directory, mixKey, REF, SHARD_BITS, STRIDE, WARMTH, WARMTH_BITS } from "./shard.js";

/** Keys at once: their lines and pages stay in the nearest caches until they are looked for. */
export const AHEAD = 64;

interface Ahead {
  /** Read where keys from `from` on, {@link AHEAD} of them or up to `end`, are looked for. */
  readAhead(directory: Directory, keys: Uint32Array, from: number, end: number): void;
  /**
   * The sets of these keys' entries, 0 where there is none. Good until the next call.
   * @param warm - whether the entries are dropped last at the memory limit
   */
  setsOf(directory: Directory, keys: Uint32Array, from: number, end: number, warm: boolean): Uint32Array;
}

const ahead: Ahead = (() => {
  const shards = new Uint16Array(AHEAD + 1);
  const firsts = new Uint32Array(AHEAD + 1);
  const nexts = new Uint32Array(AHEAD + 1);
  const sets = new Uint32Array(AHEAD);
  /** What was read. Of no meaning, but what is not used would not be read. */
  const read = { words: 0 };

  /** An entry is mostly at the first or the second place that is looked at: 24 bytes, one line or two. */
  function place(masks: Uint32Array, keys: Uint32Array, from: number, count: number): void {
    for (let i = 0; i < count; i++) {
      const mixed = mixKey(keys[2 * (from + i)]!, keys[2 * (from + i) + 1]!);
      const shard = mixed >>> (32 - SHARD_BITS);
      const mask = masks[shard]!;
      shards[i] = shard;
      firsts[i] = (mixed & mask) * STRIDE;
      nexts[i] = ((mixed + 1) & mask) * STRIDE + REF;
    }
    // They are read in twos: the other of the last, where their number is odd.
    shards[count] = shards[0]!;
    firsts[count] = firsts[0]!;
    nexts[count] = nexts[0]!;
  }

  function readPlaces(tables: readonly Uint32Array[], count: number): void {
    let sum = 0;
    for (let i = 0; i < count; i += 2) {
      const table = tables[shards[i]!]!;
      const other = tables[shards[i + 1]!]!;
      sum ^= table[firsts[i]!]! ^ table[nexts[i]!]! ^ other[firsts[i + 1]!]! ^ other[nexts[i + 1]!]!;
    }
    read.words = sum;
  }

  function find(
    tables: readonly Uint32Array[],
    keys: Uint32Array,
    from: number,
    count: number,
    warm: boolean,
  ): void {
    for (let i = 0; i < count; i++) {
      const table = tables[shards[i]!]!;
      const hi = keys[2 * (from + i)]!;
      const lo = keys[2 * (from + i) + 1]!;
      let at = firsts[i]!;
      let ref = table[at + REF]!;
      while (ref !== 0 && (table[at + 1] !== lo || table[at] !== hi)) {
        if ((at += STRIDE) === table.length) at = 0;
        ref = table[at + REF]!;
      }
      if (warm && ref !== 0 && (ref & WARMTH) !== WARMTH) table[at + REF] = (ref | WARMTH) >>> 0;
      sets[i] = ref >>> WARMTH_BITS;
    }
  }

  function readAhead(directory: Directory, keys: Uint32Array, from: number, end: number): void {
    const count = Math.min(AHEAD, end - from);
    place(directory.masks, keys, from, count);
    readPlaces(directory.words, count);
  }

  return {
    readAhead,
    setsOf: (directory, keys, from, end, warm) => {
      readAhead(directory, keys, from, end);
      find(directory.words, keys, from, Math.min(AHEAD, end - from), warm);
      return sets;
    },
  };
})();

export const readAhead: Ahead["readAhead"] = ahead.readAhead;
export const setsOf: Ahead["setsOf"] = ahead.setsOf;
