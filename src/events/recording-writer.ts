/**
 * Writing a recording: see recording-format.ts for the file.
 * @module
 */
import { type FileHandle, open } from "node:fs/promises";
import { checkName, KvBlockError } from "../errors.js";
import type { KvFrame } from "../types.js";
import { encodeHeader, encodeRecord, recordingError } from "./recording-format.js";

/** An open recording file. */
export interface RecordingWriter extends AsyncDisposable {
  /**
   * Append one frame, as it is now: it may change afterwards.
   *
   * Frames are written in the order of the calls. The promise resolves at once while little is waiting and else when
   * the disk has caught up: await it to keep memory bounded.
   *
   * @throws TypeError or RangeError if it is no frame; KvBlockError `ERR_KVBLOCK_RECORDING` if this or an earlier
   *   frame could not be written, `ERR_KVBLOCK_CLOSED` after `close`
   */
  write(frame: KvFrame): Promise<void>;
  /** Write what is waiting and close the file. May be called again. Throws as `write` does. */
  close(): Promise<void>;
}

/** Waiting bytes from which `write` holds its caller. */
const HIGH_WATER_BYTES = 1024 * 1024;
/** Owner only: payloads hold prompts. */
const FILE_MODE = 0o600;

/**
 * Make a recording file, readable by its owner only since it holds prompts' tokens.
 * @throws KvBlockError `ERR_KVBLOCK_RECORDING` if the file exists or cannot be made
 */
export async function createRecording(path: string): Promise<RecordingWriter> {
  checkName("path", path);
  let file: FileHandle;
  try {
    // "x": an existing file would keep its mode, and a recording made before would be lost.
    file = await open(path, "wx", FILE_MODE);
  } catch (cause) {
    const exists = (cause as NodeJS.ErrnoException).code === "EEXIST";
    throw recordingError(exists ? `${path} exists already` : `cannot make ${path}`, cause);
  }
  return new FileRecordingWriter(file, path);
}

class FileRecordingWriter implements RecordingWriter {
  readonly #file: FileHandle;
  readonly #path: string;
  #waiting: Uint8Array[] = [encodeHeader()];
  #waitingBytes = 0;
  #flushing: Promise<void> | null;
  #failure: KvBlockError | null = null;
  #closing: Promise<void> | null = null;

  constructor(file: FileHandle, path: string) {
    this.#file = file;
    this.#path = path;
    this.#flushing = this.#flush();
  }

  async write(frame: KvFrame): Promise<void> {
    if (this.#closing !== null) throw new KvBlockError("ERR_KVBLOCK_CLOSED", `${this.#path} is closed`);
    if (this.#failure !== null) throw this.#failure;
    const record = encodeRecord(frame);
    this.#waiting.push(record);
    this.#waitingBytes += record.length;
    this.#flushing ??= this.#flush();
    if (this.#waitingBytes < HIGH_WATER_BYTES) return;
    await this.#flushing;
    if (this.#failure !== null) throw this.#failure;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await this.#flushing;
    await this.#file.close().catch((cause: unknown) => {
      this.#failure ??= recordingError(`cannot close ${this.#path}`, cause);
    });
    if (this.#failure !== null) throw this.#failure;
  }

  /** Write until nothing waits. Never rejects: who wrote last may not be listening, so the failure is kept. */
  async #flush(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const batch = this.#waiting.length === 1 ? this.#waiting[0]! : Buffer.concat(this.#waiting);
        this.#waiting = [];
        this.#waitingBytes = 0;
        await this.#file.appendFile(batch);
      }
    } catch (cause) {
      this.#failure = recordingError(`cannot write ${this.#path}`, cause);
      this.#waiting = [];
    }
    this.#flushing = null;
  }
}
