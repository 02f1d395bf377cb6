/**
 * Reading a recording: see recording-format.ts for the file.
 * @module
 */
import { type FileHandle, open } from "node:fs/promises";
import { checkName } from "../errors.js";
import type { KvFrame } from "../types.js";
import { plainBytes } from "./frame.js";
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
/** Room before a chunk for the beginning of the record that it goes on with. */
const HEADROOM = 16 * 1024;

/**
 * Read a recording. Memory: twice a record and three chunks of 256 KiB, of what is there, whatever the file says of lengths; frames
 * of a chunk share its memory, so one that is kept keeps the chunk.
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

  [Symbol.asyncIterator](): AsyncIterator<KvFrame, void, undefined> {
    return new OneByOne(this.#batches());
  }

  /** Frames that are at hand together. */
  async *#batches(): AsyncGenerator<readonly KvFrame[], void, undefined> {
    const file = await open(this.#path).catch((cause: unknown) => {
      throw recordingError(`cannot open ${this.#path}`, cause);
    });
    try {
      const source = new ByteSource(file, this.#path);
      await source.fill(HEADER_BYTES);
      checkHeader(source.take(HEADER_BYTES));
      let damage: { readonly error: unknown } | undefined;
      for (;;) {
        const frames: KvFrame[] = [];
        // How many bytes are missing for the next record's length, or for its body.
        let wanted = LENGTH_BYTES;
        try {
          for (;;) {
            wanted = LENGTH_BYTES;
            if (source.held < wanted) break;
            wanted += decodeLength(source.peek(LENGTH_BYTES), source.offset);
            if (source.held < wanted) break;
            const { offset } = source;
            frames.push(decodeBody(source.take(wanted).subarray(LENGTH_BYTES), offset));
          }
        } catch (error) {
          damage = { error };
        }
        if (frames.length > 0) yield frames;
        if (damage !== undefined) throw damage.error;
        await source.fill(wanted);
        if (source.held >= wanted) continue;
        // A header cut short leaves no records: then all there is was taken for it.
        this.truncatedBytes = source.offset < HEADER_BYTES ? source.offset : source.held;
        return;
      }
    } finally {
      await file.close();
    }
  }
}

/** Batches' frames, without a wait between those of one batch: a generator would make three promises for each. */
class OneByOne implements AsyncIterableIterator<KvFrame, void, undefined> {
  readonly #batches: AsyncGenerator<readonly KvFrame[], void, undefined>;
  #frames: readonly KvFrame[] = [];
  #next = 0;
  /** The last of what was asked for, as long as it is waited for. */
  #waiting: Promise<unknown> | undefined;

  constructor(batches: AsyncGenerator<readonly KvFrame[], void, undefined>) {
    this.#batches = batches;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<KvFrame, void>> {
    const frame = this.#waiting === undefined ? this.#frames[this.#next] : undefined;
    if (frame === undefined) return this.#inTurn(() => this.#read());
    this.#next++;
    return Promise.resolve({ done: false, value: frame });
  }

  return(): Promise<IteratorResult<KvFrame, void>> {
    return this.#inTurn(async () => {
      this.#frames = [];
      await this.#batches.return();
      return { done: true, value: undefined };
    });
  }

  async #read(): Promise<IteratorResult<KvFrame, void>> {
    if (this.#next >= this.#frames.length) {
      const batch = await this.#batches.next();
      if (batch.done === true) return batch;
      this.#frames = batch.value;
      this.#next = 0;
    }
    return { done: false, value: this.#frames[this.#next++]! };
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const run = this.#waiting === undefined ? task() : this.#waiting.then(task, task);
    this.#waiting = run;
    const done = (): void => {
      if (this.#waiting === run) this.#waiting = undefined;
    };
    run.then(done, done);
    return run;
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
  /** The next chunk. */
  #ahead: Promise<Uint8Array> | undefined;

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
    const chunks: Uint8Array[] = [];
    let held = this.#held.length;
    while (held < length) {
      const chunk = await (this.#ahead ?? this.#read());
      this.#ahead = undefined;
      if (chunk.length === 0) break;
      chunks.push(chunk);
      held += chunk.length;
      // While what is at hand is used.
      this.#ahead = this.#read();
      this.#ahead.catch(() => {}); // told to who waits for it
    }
    this.#held = joined(this.#held, chunks, held);
  }

  /** A chunk behind its headroom; empty at the file's end. */
  async #read(): Promise<Uint8Array> {
    const memory = plainBytes(Buffer.allocUnsafeSlow(HEADROOM + CHUNK_BYTES));
    try {
      const { bytesRead } = await this.#file.read(memory, HEADROOM, CHUNK_BYTES);
      return memory.subarray(HEADROOM, HEADROOM + bytesRead);
    } catch (cause) {
      throw recordingError(`cannot read ${this.#path}`, cause);
    }
  }

  /** The next `length` bytes, which are at hand. */
  peek(length: number): Uint8Array {
    return this.#held.subarray(0, length);
  }

  /** The next `length` bytes; fewer if fewer are at hand. */
  take(length: number): Uint8Array {
    const bytes = this.peek(length);
    this.#held = this.#held.subarray(bytes.length);
    this.offset += bytes.length;
    return bytes;
  }
}

/** What is left of the chunk before, and the next ones: in the next one's memory, where there is room. */
function joined(rest: Uint8Array, chunks: readonly Uint8Array[], length: number): Uint8Array {
  const [chunk] = chunks;
  if (chunk === undefined) return rest;
  if (chunks.length === 1 && rest.length <= HEADROOM) {
    const all = new Uint8Array(chunk.buffer, HEADROOM - rest.length, length);
    all.set(rest);
    return all;
  }
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of [rest, ...chunks]) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
