/**
 * The engines of a recording, live: a PUB socket for each pod, in a process of its own. It sends the recording over and
 * over; each time ends with every pod's cache reset, and sequences count on. Started by cluster.ts.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { Publisher as PubSocket } from "zeromq";
import { encodeEventBatch } from "../../examples/engine/wire.js";
import { loadStream } from "../workload/load.js";

export interface PublisherArguments {
  readonly recording: string;
}

/** What it is told. */
export type Command =
  /** As fast as can be, at most `window` frames ahead of the last `ack`. */
  | { readonly type: "saturate"; readonly window: number }
  /**
   * In so many seconds each of the equal parts of a pass, evenly, whoever is behind; answered with what it could not keep up
   * with.
   */
  | { readonly type: "pace"; readonly parts: readonly number[]; readonly seconds: number }
  /** Stop after the frame under way; answered. */
  | { readonly type: "stop" }
  /** So many frames of this command were received. */
  | { readonly type: "ack"; readonly received: number };

export type Answer =
  | { readonly type: "ready"; readonly endpoints: readonly string[]; readonly framesPerPass: number }
  | { readonly type: "stopped"; readonly sent: number }
  /** Seconds between when frames were due and when they were sent: the 99th of a hundred. */
  | { readonly type: "paced"; readonly sent: number; readonly lateP99: number };

/** Where a batch's time is, an event array of three being `93 cb <f64> …`. */
const TIME_AT = 2;
/** Sends between turns of the loop, so that acks and stops come in. */
const SENDS_PER_TURN = 64;
/** Nor does a pause keep them waiting. */
const LONGEST_REST_MS = 2;

const { recording } = JSON.parse(process.argv[2]!) as PublisherArguments;
const { frames } = await loadStream(recording, () => {});
const topics = [...new Set(frames.map(({ topic }) => topic))];
const sockets = new Map<string, PubSocket>();
for (const topic of topics) {
  // No high-water mark: what is sent is received, and the window bounds it.
  const socket = new PubSocket({ linger: 0, sendHighWaterMark: 0 });
  await socket.bind("tcp://127.0.0.1:*");
  sockets.set(topic, socket);
}
const reset = encodeEventBatch(
  { ts: 0.5, events: [{ type: "AllBlocksCleared" }], dataParallelRank: 0 },
  { era: "M3", intHashes: true },
);
const pass = [
  ...frames.map(({ topic, payload }) => ({ topic, payload: Buffer.from(payload) })),
  ...topics.map((topic) => ({ topic, payload: Buffer.from(reset) })),
];
if (pass.some(({ payload }) => payload[0] !== 0x93 || payload[1] !== 0xcb))
  throw new Error(`${recording}: a batch does not begin with its time`);
const sequences = new Map(topics.map((topic) => [topic, 0n]));
let next = 0;
let isStopped = false;
let acked = 0;
let onAck = (): void => {};

/** Seconds of the clock that all processes of this machine share. */
const now = (): number => Number(process.hrtime.bigint()) / 1e9;

function send(): Promise<void> {
  const { topic, payload } = pass[next]!;
  next = (next + 1) % pass.length;
  const sequence = sequences.get(topic)!;
  sequences.set(topic, sequence + 1n);
  const number = Buffer.allocUnsafe(8);
  number.writeBigUInt64BE(sequence);
  // zeromq keeps the bytes until they are sent, and the next pass writes another time.
  const copy = Buffer.from(payload);
  copy.writeDoubleBE(now(), TIME_AT);
  return sockets.get(topic)!.send([topic, number, copy]);
}

async function saturate(window: number): Promise<number> {
  acked = 0;
  let sent = 0;
  while (!isStopped) {
    const room = Math.min(SENDS_PER_TURN, acked + window - sent);
    for (let i = 0; i < room; i++) await send();
    sent += Math.max(0, room);
    if (room > 0) await nextTurn();
    else
      await new Promise<void>((resolve) => {
        onAck = resolve;
      });
  }
  return sent;
}

const never = new Int32Array(new SharedArrayBuffer(4));

/** Leave the core to whoever is measured: engines have cores of their own. Timers of the loop know whole milliseconds. */
function rest(seconds: number): void {
  if (seconds > 0) Atomics.wait(never, 0, 0, Math.min(1000 * seconds, LONGEST_REST_MS));
}

async function pace(parts: readonly number[], seconds: number): Promise<{ sent: number; lateP99: number }> {
  const started = now();
  const dueAt = schedule(parts, next, started);
  const late: number[] = [];
  let sent = 0;
  for (let due = dueAt(0); due < started + seconds; ) {
    for (let i = 0; i < SENDS_PER_TURN && due < started + seconds && due <= now(); i++) {
      late.push(now() - due);
      await send();
      due = dueAt(++sent);
    }
    await nextTurn();
    rest(due - now());
  }
  late.sort((a, b) => a - b);
  return { sent, lateP99: late[Math.floor(0.99 * late.length)] ?? 0 };
}

/** When the n-th frame from the `first` of a pass on is due, seconds. */
function schedule(parts: readonly number[], first: number, started: number): (n: number) => number {
  const ends = [0];
  for (const part of parts) ends.push(ends.at(-1)! + part);
  const inPass = (frame: number): number => {
    const place = (frame / pass.length) * parts.length;
    const part = Math.floor(place);
    return ends[part]! + (place - part) * parts[part]!;
  };
  const timeOf = (frame: number): number =>
    Math.floor(frame / pass.length) * ends.at(-1)! + inPass(frame % pass.length);
  return (n) => started + timeOf(first + n) - timeOf(first);
}

const tell = (answer: Answer): void => void process.send!(answer);
process.on("message", (command: Command) => {
  if (command.type === "ack") acked = command.received;
  if (command.type === "stop") isStopped = true;
  if (command.type === "ack" || command.type === "stop") return onAck();
  isStopped = false;
  if (command.type === "saturate")
    void saturate(command.window).then((sent) => tell({ type: "stopped", sent }));
  else void pace(command.parts, command.seconds).then((paced) => tell({ type: "paced", ...paced }));
});
// Its starter's end, however it comes, is its own.
process.on("disconnect", () => process.exit());
tell({
  type: "ready",
  endpoints: topics.map((topic) => sockets.get(topic)!.lastEndpoint!),
  framesPerPass: pass.length,
});
