/**
 * Asking an engine's replay socket for the batches that it still has. See `replay.ts` for the messages.
 * @module
 */
import { KvBlockError } from "../errors.js";
import type { CurveTexts } from "./curve.js";
import { encodeReplayRequest, parseReplayReply } from "./replay.js";
import { type Dealer, loadZeromq } from "./zeromq.js";

export interface ReplayRequest {
  /** The engine's `replay_endpoint`, to connect to. */
  readonly endpoint: string;
  /** First sequence number wanted. */
  readonly start: bigint;
  /** First sequence number not wanted any more: the replay ends before it. */
  readonly until: bigint;
  /** How long to wait for each reply. The engine answers between two batches, up to 100 ms late. */
  readonly silenceMs: number;
  readonly maxFrameBytes: number;
  readonly curve: CurveTexts | null;
  readonly signal: AbortSignal;
}

/** One batch of a replay. */
export interface ReplayedBatch {
  /** Null where the engine's dialect does not say. */
  readonly topic: string | null;
  readonly seq: bigint;
  readonly payload: Uint8Array;
}

/**
 * Replay what the engine has of `start` … `until - 1`, in order. It may begin later than asked: engines keep the last
 * `buffer_steps` batches only. The next reply is read when `onBatch` is done with the one before; none is, when it says
 * `false`.
 *
 * @throws KvBlockError `ERR_KVBLOCK_SUBSCRIBE` if the engine does not answer in time, or with what is no replay
 */
export async function requestReplay(
  request: ReplayRequest,
  onBatch: (batch: ReplayedBatch) => unknown,
): Promise<void> {
  const { endpoint, start, until, signal } = request;
  signal.throwIfAborted();
  const zeromq = await loadZeromq();
  const dealer: Dealer = new zeromq.Dealer({
    linger: 0,
    receiveTimeout: request.silenceMs,
    sendTimeout: request.silenceMs,
    maxMessageSize: request.maxFrameBytes,
    ipv6: endpoint.startsWith("tcp://["),
    ...(request.curve?.role === "client" && {
      curveServerKey: request.curve.serverKey,
      curvePublicKey: request.curve.publicKey,
      curveSecretKey: request.curve.secretKey,
    }),
  });
  const close = (): void => dealer.close();
  signal.addEventListener("abort", close, { once: true });
  try {
    dealer.connect(endpoint);
    await dealer.send(encodeReplayRequest(start) as unknown as Uint8Array<ArrayBuffer>[]);
    for (let next = start; next < until; ) {
      const reply = parseReplayReply(await dealer.receive());
      if (reply.type === "end") return;
      // Each reply goes on: what repeats itself or goes back would never end.
      if (reply.seq < next)
        throw new KvBlockError("ERR_KVBLOCK_FRAME", `a replay that goes back to ${reply.seq}`);
      if (reply.seq >= until) return;
      if ((await onBatch(reply)) === false) return;
      next = reply.seq + 1n;
    }
  } catch (cause) {
    signal.throwIfAborted();
    throw new KvBlockError("ERR_KVBLOCK_SUBSCRIBE", `no replay from ${endpoint}`, { cause });
  } finally {
    signal.removeEventListener("abort", close);
    dealer.close();
  }
}
