/** Bytes as a broken or hostile peer may send them. */
import { noise } from "./wire.js";

/** Bytes changed at a few places, as chance has it; heads more often than what they are of. */
export function mutated(bytes: Buffer, chance: () => number): Buffer {
  let result = Buffer.from(bytes);
  for (let changes = 1 + Math.floor(chance() * 3); changes > 0; changes--) {
    const at = Math.floor(chance() ** (1 + chance()) * result.length);
    const count = 1 + Math.floor(chance() ** 3 * 20);
    const how = Math.floor(chance() * 5);
    if (how === 0) result[at] = chance() * 256;
    else if (how === 1) result[at]! ^= 1 << Math.floor(chance() * 8);
    else if (how === 2)
      result = Buffer.concat([result.subarray(0, at), noise(count, chance), result.subarray(at)]);
    else if (how === 3) result = Buffer.concat([result.subarray(0, at), result.subarray(at + count)]);
    else result = result.subarray(0, at);
  }
  return result;
}
