/**
 * One connection to a publisher, over TCP without security: handshake, then parts of messages until it ends.
 *
 * Why not libzmq's, which serves everything else: see docs/design.md, "Two transports".
 * @module
 */
import { connect, type Socket } from "node:net";
import { plainBytes } from "../frame.js";
import { PartReader } from "./part-reader.js";
import {
  answerTo,
  Breach,
  COMMAND,
  GREETING,
  GREETING_BYTES,
  PING,
  READY,
  readGreeting,
  readReady,
  subscription,
} from "./protocol.js";

/** What one read of the system may bring. Only what was once read into is resident. */
const READ_BYTES = 64 * 1024;
/** Bytes of the peer's READY: a few properties. */
const MAX_READY = 8192;
/** Bytes of answers that the peer has not taken. */
const MAX_UNSENT = 4096;

export interface ConnectionOptions {
  readonly host: string;
  readonly port: number;
  readonly topicFilter: string;
  readonly maxPartBytes: number;
  /** Milliseconds to connect and to shake hands. */
  readonly attemptMs: number;
  /** Milliseconds between pings; 0: none. */
  readonly heartbeatMs: number;
  /** Pings without a sign of life after which the connection is lost. */
  readonly pingsMissed: number;
  onHandshake(): void;
  /** A part of a message. A promise holds the connection back until it settles; it does not reject. */
  onPart(part: PartReader): Promise<void> | undefined;
  /**
   * It is over, and all that had come was handed over.
   * @param error - what ended it: a {@link Breach}, or what `onPart` threw; undefined: the peer, the network or its silence
   */
  onEnd(error: unknown): void;
}

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #parts: PartReader;
  #greeting: Uint8Array = new Uint8Array(0);
  /** The peer's ZMTP is 3.so much; undefined until it has greeted. */
  #minor: number | undefined;
  #isConnected = false;
  #isReady = false;
  /** A part is not done with yet. */
  #isHeld = false;
  #isOver = false;
  #isClosed = false;
  #error: unknown;
  #isLate = false;
  #timer: NodeJS.Timeout | undefined;
  #heard = false;
  #missed = 0;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#parts = new PartReader(options.maxPartBytes);
    const { host, port, attemptMs } = options;
    this.#socket = connect({
      host,
      port,
      noDelay: true,
      keepAlive: true,
      onread: {
        buffer: plainBytes(Buffer.allocUnsafeSlow(READ_BYTES)),
        callback: (count, bytes) => this.#read(bytes, count),
      },
    });
    this.#socket.on("connect", () => {
      this.#isConnected = true;
    });
    this.#socket.on("error", () => {}); // "close" follows
    this.#socket.on("close", () => this.#over());
    this.#socket.write(GREETING);
    this.#timer = setTimeout(() => this.#giveUp(), attemptMs);
  }

  /** End it. Nothing is called any more. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#socket.destroy();
  }

  #giveUp(): void {
    this.#isLate = true;
    this.#socket.destroy();
  }

  /** @returns whether to read on */
  #read(bytes: Uint8Array, count: number): boolean {
    this.#heard = true;
    try {
      const from = this.#minor === undefined ? this.#greet(bytes.subarray(0, count)) : 0;
      this.#parts.feed(bytes, from, count);
      return this.#handOver();
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  /** @returns how many of the bytes are the greeting's */
  #greet(bytes: Uint8Array): number {
    const before = this.#greeting.length;
    const taken = Math.min(bytes.length, GREETING_BYTES - before);
    const greeting = new Uint8Array(before + taken);
    greeting.set(this.#greeting);
    greeting.set(bytes.subarray(0, taken), before);
    this.#greeting = greeting;
    this.#minor = readGreeting(greeting);
    if (this.#minor !== undefined) this.#socket.write(READY);
    return taken;
  }

  /** @returns false if a part is to be waited for */
  #handOver(): boolean {
    const parts = this.#parts;
    while (!this.#isClosed && parts.next()) {
      if ((parts.flags & COMMAND) !== 0) this.#command(parts.bytes.subarray(parts.from, parts.to));
      else if (!this.#isReady) throw new Breach("the peer breaks ZMTP's handshake");
      else {
        const taken = this.#options.onPart(parts);
        if (taken !== undefined) {
          this.#isHeld = true;
          void taken.then(() => this.#release());
          return false;
        }
      }
    }
    return true;
  }

  #release(): void {
    this.#isHeld = false;
    if (this.#isClosed) return;
    try {
      if (!this.#handOver()) return;
    } catch (error) {
      this.#fail(error);
    }
    if (this.#isOver) this.#end();
    else this.#socket.resume();
  }

  #command(body: Uint8Array): void {
    if (this.#isReady) {
      const answer = answerTo(body);
      // Who asks and asks and reads no answer is owed none.
      if (answer !== undefined && this.#socket.writableLength < MAX_UNSENT) this.#socket.write(answer);
      return;
    }
    if (body.length > MAX_READY) throw new Breach("the peer breaks ZMTP's handshake");
    readReady(body);
    this.#isReady = true;
    this.#socket.write(subscription(this.#options.topicFilter, this.#minor!));
    clearTimeout(this.#timer);
    const { heartbeatMs } = this.#options;
    if (heartbeatMs > 0 && this.#minor! >= 1)
      this.#timer = setInterval(() => this.#ping(), heartbeatMs).unref();
    this.#options.onHandshake();
  }

  /**
   * Counted, not timed: a host that is held up for long has heard nothing in that time because it did not listen. Nor is
   * there a ping while it does not read: a peer that is gone would refuse it, and what it sent before would be lost.
   */
  #ping(): void {
    if (this.#isHeld) return;
    this.#missed = this.#heard ? 0 : this.#missed + 1;
    this.#heard = false;
    if (this.#missed >= this.#options.pingsMissed) this.#socket.destroy();
    else this.#socket.write(PING);
  }

  #fail(error: unknown): void {
    this.#error = error;
    this.#socket.destroy();
  }

  /** No more will come. */
  #over(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    if (!this.#isHeld) this.#end();
  }

  #end(): void {
    if (!this.#isClosed) this.#options.onEnd(this.#error ?? this.#refusal());
    this.#isClosed = true;
  }

  /** libzmq says nothing to a client whose security is not its own. */
  #refusal(): Breach | undefined {
    if (this.#isReady || this.#isLate || !this.#isConnected) return undefined;
    return new Breach("the peer ended it amid the handshake: it asks for CURVE, or no engine is behind it");
  }
}
