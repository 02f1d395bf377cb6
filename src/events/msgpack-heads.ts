/**
 * What follows the head byte of a msgpack value of a fixed size.
 * @module
 */

/** Payload bytes after the head of each `0xc4 … 0xdf` type that is neither an array nor a map; -1: a length follows. */
export const FIXED_BYTES: readonly number[] = [
  -1, -1, -1, -1, -1, -1, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17, -1, -1, -1,
];

/** Integer of head `0xcc … 0xd3` whose bytes, known to be present, start at `from`. */
export function fixedInteger(view: DataView, head: number, from: number): number {
  if (head === 0xcc) return view.getUint8(from);
  if (head === 0xcd) return view.getUint16(from);
  if (head === 0xce) return view.getUint32(from);
  if (head === 0xd0) return view.getInt8(from);
  if (head === 0xd1) return view.getInt16(from);
  if (head === 0xd2) return view.getInt32(from);
  const hi = head === 0xcf ? view.getUint32(from) : view.getInt32(from);
  return hi * 0x1_0000_0000 + view.getUint32(from + 4);
}
