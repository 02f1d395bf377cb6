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

const CHUNK_BYTES = 64 * 1024;

/**
 * Read a recording, a record at a time. Memory: one record and a chunk of 64 KiB, whatever the file says of lengths.
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
      checkHeader(await source.take(HEADER_BYTES));
      for (;;) {
        const offset = source.offset;
        const head = await source.take(LENGTH_BYTES);
        const length = head.length < LENGTH_BYTES ? 0 : decodeLength(head, offset);
        const body = await source.take(length);
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

/** A file's bytes, in runs of asked lengths. */
class ByteSource {
  /** Bytes taken so far. */
  offset = 0;
  readonly #file: FileHandle;
  readonly #path: string;
  #chunk: Uint8Array = new Uint8Array(0);

  constructor(file: FileHandle, path: string) {
    this.#file = file;
    this.#path = path;
  }

  /** The next `length` bytes, of their own memory; fewer at the file's end. */
  async take(length: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let missing = length;
    // Only what was read is kept, so a length that lies costs nothing.
    while (missing > 0 && (this.#chunk.length > 0 || (await this.#fill()))) {
      parts.push(this.#chunk.subarray(0, missing));
      missing -= parts.at(-1)!.length;
      this.#chunk = this.#chunk.subarray(parts.at(-1)!.length);
    }
    const bytes = new Uint8Array(length - missing);
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    this.offset += bytes.length;
    return bytes;
  }

  /** Read the next chunk; false at the file's end. */
  async #fill(): Promise<boolean> {
    const chunk = new Uint8Array(CHUNK_BYTES);
    const { bytesRead } = await this.#file.read(chunk).catch((cause: unknown) => {
      throw recordingError(`cannot read ${this.#path}`, cause);
    });
    this.#chunk = chunk.subarray(0, bytesRead);
    return bytesRead > 0;
  }
}
