/**
 * CURVE keys, as ZeroMQ takes them: Z85 text (ZeroMQ RFC 32), 40 characters for 32 bytes.
 * @module
 */
import { checkOptions, rangeMistake, typeMistake } from "../errors.js";

/** A key: 32 bytes, or the same as 40 characters of Z85. */
export type CurveKey = string | Uint8Array;

/** Encrypt, and prove who we are to a server whose public key is known: what a subscriber that connects usually is. */
export interface CurveClient {
  serverKey: CurveKey;
  publicKey: CurveKey;
  secretKey: CurveKey;
}

/** Encrypt for clients that know our public key: what a subscriber that binds usually is. Any client may connect. */
export interface CurveServer {
  server: true;
  secretKey: CurveKey;
}

/** Keys as text, by role. */
export type CurveTexts =
  | {
      readonly role: "client";
      readonly serverKey: string;
      readonly publicKey: string;
      readonly secretKey: string;
    }
  | { readonly role: "server"; readonly secretKey: string };

const ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
const KEY_BYTES = 32;
const KEY_CHARACTERS = 40;

/** @throws TypeError or RangeError if the keys are not one of the two sets */
export function checkCurve(curve: CurveClient | CurveServer): CurveTexts {
  checkOptions("curve", curve, ["server", "serverKey", "publicKey", "secretKey"]);
  const secretKey = keyText("curve.secretKey", curve.secretKey);
  if ("server" in curve) {
    if (curve.server !== true) throw typeMistake("curve.server", "true", curve.server);
    for (const name of ["serverKey", "publicKey"])
      if (name in curve) throw new TypeError(`"curve.${name}" is a client's; a server has "secretKey" alone`);
    return { role: "server", secretKey };
  }
  return {
    role: "client",
    serverKey: keyText("curve.serverKey", curve.serverKey),
    publicKey: keyText("curve.publicKey", curve.publicKey),
    secretKey,
  };
}

/** Never puts the key in a message. */
function keyText(name: string, key: unknown): string {
  const expected = `${KEY_BYTES} bytes or ${KEY_CHARACTERS} characters of Z85`;
  if (key instanceof Uint8Array) {
    if (key.length !== KEY_BYTES) throw rangeMistake(name, expected, key);
    return encodeZ85(key);
  }
  if (typeof key !== "string") throw typeMistake(name, expected, key);
  if (key.length !== KEY_CHARACTERS || [...key].some((character) => !ALPHABET.includes(character)))
    throw new RangeError(`"${name}" expected ${expected}, got ${key.length} other characters`);
  return key;
}

/** Each 4 bytes, big-endian, as 5 digits of base 85. */
function encodeZ85(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let text = "";
  for (let at = 0; at < bytes.length; at += 4) {
    const value = view.getUint32(at);
    for (let divisor = 85 ** 4; divisor >= 1; divisor /= 85)
      text += ALPHABET[Math.floor(value / divisor) % 85];
  }
  return text;
}
