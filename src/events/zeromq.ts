/**
 * Loading `zeromq`, in the one file that names it: only when a socket is wanted, for it is an optional dependency.
 * @module
 */
import { KvBlockError } from "../errors.js";
import type { CheckedOptions } from "./subscriber-options.js";
import type { SubscriberSocket } from "./zeromq-line.js";

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
      'the optional dependency "zeromq" is missing or cannot be loaded here: run "npm install zeromq". It serves sockets ' +
        "that bind, use CURVE or are not TCP, and replays; plain tcp:// connections do without",
      { cause },
    );
  }
}

/** @throws KvBlockError `ERR_KVBLOCK_SUBSCRIBE` if zeromq is missing, or libzmq cannot make a socket (too many, or open files) */
export async function newSubscriber(endpoint: string, options: CheckedOptions): Promise<SubscriberSocket> {
  const zeromq = await loadZeromq();
  const { curve, silenceMs, attemptMs } = options;
  if (curve !== null && zeromq.capability.curve !== true)
    throw new KvBlockError("ERR_KVBLOCK_SUBSCRIBE", "this build of zeromq has no CURVE");
  try {
    return new zeromq.Subscriber({
      connectTimeout: attemptMs,
      handshakeInterval: attemptMs,
      linger: 0,
      maxMessageSize: options.maxFrameBytes,
      receiveHighWaterMark: options.receiveHighWaterMark,
      heartbeatInterval: options.heartbeatIntervalMs,
      heartbeatTimeout: silenceMs,
      reconnectInterval: options.reconnectIntervalMs,
      reconnectMaxInterval: options.reconnectMaxIntervalMs,
      // Only where it must be: with it, a name would resolve to its IPv6 address first, where few engines listen.
      ipv6: endpoint.startsWith("tcp://["),
      ...(curve?.role === "server" && { curveServer: true, curveSecretKey: curve.secretKey }),
      ...(curve?.role === "client" && {
        curveServerKey: curve.serverKey,
        curvePublicKey: curve.publicKey,
        curveSecretKey: curve.secretKey,
      }),
    });
  } catch (cause) {
    throw new KvBlockError("ERR_KVBLOCK_SUBSCRIBE", `cannot make a ZeroMQ socket for ${endpoint}`, { cause });
  }
}
