/**
 * Reading a recording: see recording-format.ts for the file.
 * @module
 */
import { type FileHandle, open } from "node:fs/promises";
import { checkName } from "../errors.js";
import type { KvFrame } from "../types.js";
import {
  checkHeader,
  decodeBody,
  decodeLength,
  HEADER_BYTES,
  LENGTH_BYTES,
  recordingError,
} from "./recording-format.js";

/** A recording's frames, in order. Each iteration reads the file from its start. */
export interface Recording extends AsyncIterable<KvFrame> {
  /**
   * Bytes of an unfinished last record, as a writer that was killed leaves; they are passed over. Of the iteration
   * that ended last: 0 before.
   */
  readonly truncatedBytes: number;
}

const CHUNK_BYTES = 256 * 1024;

/**
 * Read a recording, a record at a time. Memory: one record and a chunk of 256 KiB, whatever the file says of lengths.
 *
 * Iterating throws KvBlockError `ERR_KVBLOCK_RECORDING` if the file cannot be read, is no recording, has another
 * version or is damaged before its end.
 */
export function readRecording(path: string): Recording {
  checkName("path", path);
  return new FileRecording(path);
}

class FileRecording implements Recording {
  readonly #path: string;
  truncatedBytes = 0;

  constructor(path: string) {
    this.#path = path;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<KvFrame, void, undefined> {
    const file = await open(this.#path).catch((cause: unknown) => {
      throw recordingError(`cannot open ${this.#path}`, cause);
    });
    try {
      const source = new ByteSource(file, this.#path);
      await source.fill(HEADER_BYTES);
      checkHeader(source.take(HEADER_BYTES));
      for (;;) {
        const offset = source.offset;
        if (source.held < LENGTH_BYTES) await source.fill(LENGTH_BYTES);
        const head = source.take(LENGTH_BYTES);
        const length = head.length < LENGTH_BYTES ? 0 : decodeLength(head, offset);
        if (source.held < length) await source.fill(length);
        const body = source.take(length);
        if (head.length < LENGTH_BYTES || body.length < length) {
          // A header cut short leaves no records: then `offset` is all there is.
          this.truncatedBytes = offset < HEADER_BYTES ? offset : source.offset - offset;
          return;
        }
        yield decodeBody(body, offset);
      }
    } finally {
      await file.close();
    }
  }
}

/** A file's bytes, in runs of asked lengths: waits for the file only where a run is not at hand. */
class ByteSource {
  /** Bytes taken so far. */
  offset = 0;
  readonly #file: FileHandle;
  readonly #path: string;
  /** Read, and not taken yet. */
  #held: Uint8Array = new Uint8Array(0);

  constructor(file: FileHandle, path: string) {
    this.#file = file;
    this.#path = path;
  }

  /** Bytes at hand. */
  get held(): number {
    return this.#held.length;
  }

  /** Read until `length` bytes are at hand, or the file's end. Keeps what was read only: a length that lies costs nothing. */
  async fill(length: number): Promise<void> {
    const parts = [this.#held];
    let held = this.#held.length;
    while (held < length) {
      const chunk = new Uint8Array(CHUNK_BYTES);
      const { bytesRead } = await this.#file.read(chunk).catch((cause: unknown) => {
        throw recordingError(`cannot read ${this.#path}`, cause);
      });
      if (bytesRead === 0) break;
      parts.push(chunk.subarray(0, bytesRead));
      held += bytesRead;
    }
    this.#held = new Uint8Array(held);
    let at = 0;
    for (const part of parts) {
      this.#held.set(part, at);
      at += part.length;
    }
  }

  /** The next `length` bytes, of their own memory; fewer if fewer are at hand. */
  take(length: number): Uint8Array {
    const bytes = this.#held.slice(0, length);
    this.#held = this.#held.subarray(bytes.length);
    this.offset += bytes.length;
    return bytes;
  }
}
