/** A pool's thread whose fast path errs in one word of the sample that is checked at load. */
import { register } from "tsx/esm/api";

register();
const { ByteLevelEncoder } = await import("../../src/tokenize/byte-level-encoder.ts");
const { encode } = ByteLevelEncoder.prototype;
ByteLevelEncoder.prototype.encode = function (text) {
  const ids = encode.call(this, text);
  if (text.includes("antidisestablishmentarianism")) ids[0] = 0;
  return ids;
};
await import("../../src/pool-worker.ts");
