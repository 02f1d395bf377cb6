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

/** Times that one replay is asked for, each going on where the one before broke off. */
const MAX_ROUNDS = 100;
/** Batches after which silence is taken for an end mark that was dropped: libzmq's queues hold 1000 at least. */
const QUEUE_SIGN = 500n;

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
  // An engine's ROUTER drops what its queue for us has no room for, the end mark too, and says nothing: what comes after a
  // hole is not taken, and asked for again from there.
  let start: bigint | undefined = request.start;
  for (let round = 0; start !== undefined; round++) {
    if (round === MAX_ROUNDS)
      throw new KvBlockError(
        "ERR_KVBLOCK_SUBSCRIBE",
        `a replay from ${request.endpoint} that does not come to its end`,
      );
    start = await requestOnce({ ...request, start }, onBatch);
  }
}

/** The number to go on from, where a part was dropped on its way; undefined at the end. */
async function requestOnce(
  request: ReplayRequest,
  onBatch: (batch: ReplayedBatch) => unknown,
): Promise<bigint | undefined> {
  const { endpoint, start, until, signal } = request;
  signal.throwIfAborted();
  const zeromq = await loadZeromq();
  const dealer: Dealer = new zeromq.Dealer({
    linger: 0,
    receiveHighWaterMark: 0,
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
  let next = start;
  try {
    dealer.connect(endpoint);
    await dealer.send(encodeReplayRequest(start) as unknown as Uint8Array<ArrayBuffer>[]);
    while (next < until) {
      const reply = parseReplayReply(await dealer.receive());
      if (reply.type === "end") return undefined;
      // Each reply goes on: what repeats itself or goes back would never end.
      if (reply.seq < next)
        throw new KvBlockError("ERR_KVBLOCK_FRAME", `a replay that goes back to ${reply.seq}`);
      if (reply.seq >= until) return undefined;
      if (reply.seq > next && next > start) return next;
      if ((await onBatch(reply)) === false) return undefined;
      next = reply.seq + 1n;
    }
    return undefined;
  } catch (cause) {
    signal.throwIfAborted();
    const isSilence = !(cause instanceof KvBlockError);
    if (isSilence && next - start >= QUEUE_SIGN) return next;
    throw new KvBlockError("ERR_KVBLOCK_SUBSCRIBE", `no replay from ${endpoint}`, { cause });
  } finally {
    signal.removeEventListener("abort", close);
    dealer.close();
  }
}
