/**
 * Loading `zeromq`, in the one file that names it: only when a socket is wanted, for it is an optional dependency.
 * @module
 */
import { KvBlockError } from "../errors.js";

export type Zeromq = typeof import("zeromq");
export type Dealer = InstanceType<Zeromq["Dealer"]>;

/** @throws KvBlockError `ERR_KVBLOCK_SUBSCRIBE`, naming the fix, if it is missing or cannot be loaded here */
export async function loadZeromq(): Promise<Zeromq> {
  try {
    const module: Zeromq & { default?: Zeromq } = await import("zeromq");
    return module.default ?? module; // CommonJS: the whole of it is the default export
  } catch (cause) {
    throw new KvBlockError(
      "ERR_KVBLOCK_SUBSCRIBE",
      'the optional dependency "zeromq" is missing or cannot be loaded here: run "npm install zeromq"; ' +
        "without it, feed frames from elsewhere (a recording, your own transport)",
      { cause },
    );
  }
}
