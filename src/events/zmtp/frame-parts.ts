/**
 * The parts of one engine's messages → frames, as `parseFrame` makes them of a whole message.
 * @module
 */
import type { KvFrame } from "../../types.js";
import { decodeSeq, decodeTopic, oversized, wrongParts } from "../frame.js";
import type { PartReader } from "./part-reader.js";
import { MORE } from "./protocol.js";

const NONE: Uint8Array = new Uint8Array(0);
/** Bytes of a topic that is remembered. */
const MAX_KNOWN = 512;

export interface FramePartsOptions {
  readonly maxFrameBytes: number;
  readonly topicFilter: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly source: string;
  /** A payload is valid until the frame is done with, not for ever. */
  readonly lendsPayloads: boolean;
}

export class FrameParts {
  readonly #options: FramePartsOptions;
  /** Of the message under way. */
  #parts = 0;
  #bytes = 0;
  #error: Error | undefined;
  #topic = "";
  #seq = 0n;
  #payload: Uint8Array | undefined;
  /** The bytes of `#topic`: an engine has one topic, or a few. */
  #topicBytes = NONE;

  constructor(options: FramePartsOptions) {
    this.#options = options;
  }

  /** Forget a message whose end will not come. */
  reset(): void {
    this.#parts = 0;
    this.#bytes = 0;
    this.#error = undefined;
    this.#payload = undefined;
  }

  /**
   * Take a part.
   * @returns a frame, with a message's last part; not if it is of a topic that nobody asked for
   * @throws KvBlockError `ERR_KVBLOCK_FRAME`, with the last part, if the message is no event message
   */
  add(part: PartReader): KvFrame | undefined {
    this.#bytes += part.to - part.from;
    switch (++this.#parts) {
      case 1:
        this.#readTopic(part);
        break;
      case 2:
        this.#readSeq(part);
        break;
      case 3:
        this.#payload = this.#payloadOf(part);
        break;
    }
    return (part.flags & MORE) === 0 ? this.#end() : undefined;
  }

  #end(): KvFrame | undefined {
    const parts = this.#parts;
    const bytes = this.#bytes;
    const error = this.#error;
    const payload = this.#payload;
    this.reset();
    const { maxFrameBytes, topicFilter, now, source } = this.#options;
    if (bytes > maxFrameBytes) throw oversized(bytes, maxFrameBytes);
    if (parts !== 3 || payload === undefined) throw wrongParts(parts);
    if (error !== undefined) throw error;
    // Publishers filter; one that does not would be heard.
    if (topicFilter !== "" && !this.#topic.startsWith(topicFilter)) return undefined;
    return { topic: this.#topic, seq: this.#seq, payload, receivedAt: now(), source };
  }

  #readTopic({ bytes, from, to }: PartReader): void {
    const known = this.#topicBytes;
    if (known.length > 0 && known.length === to - from && isEqual(known, bytes, from)) return;
    this.#topicBytes = NONE;
    this.#topic = "";
    try {
      this.#topic = decodeTopic(bytes.subarray(from, to));
      if (to - from <= MAX_KNOWN) this.#topicBytes = bytes.slice(from, to);
    } catch (error) {
      this.#error = error as Error;
    }
  }

  #readSeq({ bytes, from, to }: PartReader): void {
    try {
      this.#seq = decodeSeq(bytes, from, to);
    } catch (error) {
      this.#error ??= error as Error;
    }
  }

  #payloadOf({ bytes, from, to, isOwn }: PartReader): Uint8Array {
    if (!isOwn && !this.#options.lendsPayloads) return bytes.slice(from, to);
    return new Uint8Array(bytes.buffer, bytes.byteOffset + from, to - from);
  }
}

function isEqual(known: Uint8Array, bytes: Uint8Array, from: number): boolean {
  for (let i = 0; i < known.length; i++) if (known[i] !== bytes[from + i]) return false;
  return true;
}
