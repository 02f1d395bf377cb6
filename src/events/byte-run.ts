/**
 * Some bytes that are compared over and over, four at a time.
 * @module
 */

export class ByteRun {
  readonly length: number;
  /** All whole words, big-endian. */
  readonly words: Int32Array;
  /** The last four bytes, where there are as many. */
  readonly last: number;
  /** For runs of fewer. */
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.length = bytes.length;
    this.words = Int32Array.from({ length: bytes.length >>> 2 }, (_, i) => view.getInt32(4 * i));
    this.last = bytes.length < 4 ? 0 : view.getInt32(bytes.length - 4);
    this.bytes = bytes;
  }

  equals({ bytes }: ByteRun): boolean {
    return bytes.length === this.length && bytes.every((byte, i) => byte === this.bytes[i]);
  }
}
