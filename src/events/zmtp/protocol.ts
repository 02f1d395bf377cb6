/**
 * The bytes of ZMTP 3 that a subscriber says and hears, with the NULL mechanism: no authentication, no encryption.
 * Sources: ZeroMQ RFC 23 (ZMTP 3.0) and 37 (3.1, with heartbeats and a command to subscribe).
 * @module
 */

/** A greeting: signature (10), version (2), mechanism (20), as-server (1), filler (31). */
export const GREETING_BYTES = 64;
/** Flags before each part of a message and each command. */
export const MORE = 1;
export const LONG = 2;
export const COMMAND = 4;

const VERSION_AT = 10;
const MECHANISM_AT = 12;
const MECHANISM_BYTES = 20;

/** The other side did what ZMTP, or what we asked for, does not allow: its connection is of no use. */
export class Breach extends Error {
  override readonly name = "Breach";
}

/** What we greet with: ZMTP 3.1, NULL, a client. */
export const GREETING: Uint8Array = (() => {
  const bytes = new Uint8Array(GREETING_BYTES);
  bytes[0] = 0xff;
  bytes[9] = 0x7f;
  bytes.set([3, 1], VERSION_AT);
  bytes.set(latin1("NULL"), MECHANISM_AT);
  return bytes;
})();

/**
 * Read a greeting as far as it has come.
 * @returns once it is whole, the minor version: 1 knows heartbeats
 * @throws Breach as soon as it is none of ours
 */
export function readGreeting(bytes: Uint8Array): number | undefined {
  if (bytes.length > 0 && bytes[0] !== 0xff) throw new Breach("the peer does not speak ZeroMQ");
  if (bytes.length > 9 && (bytes[9]! & 1) === 0) throw new Breach("the peer does not speak ZeroMQ");
  if (bytes.length > VERSION_AT && bytes[VERSION_AT]! < 3)
    throw new Breach("the peer speaks ZMTP 2 or older (ZeroMQ before 4.0)");
  if (bytes.length < GREETING_BYTES) return undefined;
  const padded = bytes.subarray(MECHANISM_AT, MECHANISM_AT + MECHANISM_BYTES);
  const mechanism = text(padded.filter((byte) => byte !== 0));
  if (mechanism !== "NULL") throw new Breach(`the peer asks for ${mechanism} security`);
  return bytes[VERSION_AT]! > 3 ? 1 : bytes[VERSION_AT + 1]!;
}

/** Who we are. */
export const READY: Uint8Array = (() => {
  const [name, value] = [latin1("Socket-Type"), latin1("SUB")];
  return command("READY", [name.length, ...name, 0, 0, 0, value.length, ...value]);
})();

/** A question whether the peer is there; its patience (TTL) with us is left to it. */
export const PING: Uint8Array = command("PING", [0, 0]);

/** Want messages whose first part begins so. Before 3.1 that is a message of its own. */
export function subscription(prefix: string, minor: number): Uint8Array {
  const bytes = new TextEncoder().encode(prefix);
  return minor >= 1 ? command("SUBSCRIBE", bytes) : framed(0, [1, ...bytes]);
}

/** The answer to what a command asks, if it asks anything. */
export function answerTo(body: Uint8Array): Uint8Array | undefined {
  // A ping's two bytes of TTL, then what the answer brings back: 16 bytes at most.
  return nameOf(body) === "PING" ? command("PONG", dataOf(body).subarray(2, 2 + 16)) : undefined;
}

/**
 * Read the peer's READY, the first command.
 * @throws Breach if it is another, or the peer no publisher
 */
export function readReady(body: Uint8Array): void {
  const name = nameOf(body);
  if (name === "ERROR") throw new Breach(`the peer refuses us: ${text(dataOf(body).subarray(1))}`);
  if (name !== "READY") throw new Breach("the peer breaks ZMTP's handshake");
  const type = propertyOf(dataOf(body), "socket-type");
  if (type !== "PUB" && type !== "XPUB")
    throw new Breach(`the peer is no publisher (its socket is ${type ?? "of no type"})`);
}

function propertyOf(bytes: Uint8Array, wanted: string): string | undefined {
  for (let at = 0; at < bytes.length; ) {
    const valueAt = at + 1 + bytes[at]! + 4;
    if (valueAt > bytes.length) break;
    const name = text(bytes.subarray(at + 1, valueAt - 4)).toLowerCase();
    const size = new DataView(bytes.buffer, bytes.byteOffset + valueAt - 4, 4).getUint32(0);
    if (valueAt + size > bytes.length) break;
    if (name === wanted) return text(bytes.subarray(valueAt, valueAt + size));
    at = valueAt + size;
  }
  return undefined;
}

/** A command's body is the length of its name, the name, its data. */
function nameOf(body: Uint8Array): string {
  return text(body.subarray(1, 1 + (body[0] ?? 0)));
}

function dataOf(body: Uint8Array): Uint8Array {
  return body.subarray(1 + (body[0] ?? 0));
}

function command(name: string, data: ArrayLike<number>): Uint8Array {
  return framed(COMMAND, [name.length, ...latin1(name), ...Array.from(data)]);
}

function framed(flags: number, body: readonly number[]): Uint8Array {
  if (body.length < 256) return Uint8Array.of(flags, body.length, ...body);
  const bytes = new Uint8Array(9 + body.length);
  bytes[0] = flags | LONG;
  new DataView(bytes.buffer).setUint32(5, body.length);
  bytes.set(body, 9);
  return bytes;
}

function latin1(name: string): number[] {
  return Array.from(name, (character) => character.charCodeAt(0));
}

/** What a peer says of itself stands in messages: printable, and not for long. */
function text(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.subarray(0, 255)).replace(/[^ -~]/g, "?");
}
