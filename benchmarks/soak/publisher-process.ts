/**
 * An engine's publisher as a process of its own, that can be killed. It does what it is told over the IPC channel; its
 * arguments are one piece of JSON. Started by publishers.ts.
 */
import { removedFrame, storedFrame } from "kvblock/testing";
import { EventPublisher, type SocketArguments } from "./event-publisher.js";
import { BLOCK_SIZE, MODEL, promptOf } from "./prompts.js";
import { streamFrames } from "./stream.js";

export interface ProcessArguments extends SocketArguments {
  readonly pod: string;
  /** Names its prompts. */
  readonly life: number;
}

/** What it is told. Each is answered with how many batches were published when it was done. */
export type Command =
  /** Open the sockets: so a process can be started before its ports are free. */
  | { readonly type: "bind" }
  | { readonly type: "store" | "remove"; readonly ids: readonly number[]; readonly blocks?: number }
  /** Store a further prompt every so often, until killed; answered at once. */
  | { readonly type: "tick"; readonly everyMs: number; readonly from: number }
  /** Publish without end, at most `window` batches ahead of the last `ack`; answered at once. */
  | { readonly type: "stream"; readonly window: number }
  /** All batches below this number were received; not answered. */
  | { readonly type: "ack"; readonly below: number }
  /** Publish so many batches of the stream as fast as they go, whoever is behind. */
  | { readonly type: "burst"; readonly count: number };

const options = JSON.parse(process.argv[2]!) as ProcessArguments;
const { pod, life } = options;
let publisher: EventPublisher;
let stream: ReturnType<typeof streamFrames> | undefined;
let acked = 0;
let onAck = (): void => {};

async function announce(type: "store" | "remove", id: number, blocks?: number): Promise<void> {
  const frame = (type === "store" ? storedFrame : removedFrame)({
    pod,
    model: MODEL,
    tokens: promptOf(life, id, blocks),
    blockSize: BLOCK_SIZE,
    at: Date.now(),
  });
  await publisher.send(frame.topic, frame.payload);
}

async function sendStreamed(count: number): Promise<void> {
  stream ??= streamFrames(pod);
  for (let i = 0; i < count; i++) {
    const { topic, payload } = stream(publisher.next);
    await publisher.send(topic, payload);
    // Replays and commands want a turn of the loop too.
    if (i % 256 === 255) await new Promise((resolve) => setImmediate(resolve));
  }
}

async function streamForever(window: number): Promise<void> {
  for (;;) {
    const room = acked + window - publisher.next;
    if (room > 0) await sendStreamed(Math.min(room, 256));
    else
      await new Promise<void>((resolve) => {
        onAck = resolve;
      });
  }
}

async function obey(command: Command): Promise<void> {
  if (command.type === "bind") publisher = await EventPublisher.bind(options);
  else if (command.type === "store" || command.type === "remove")
    for (const id of command.ids) await announce(command.type, id, command.blocks);
  else if (command.type === "burst") await sendStreamed(command.count);
  else if (command.type === "stream") void streamForever(command.window);
  else if (command.type === "tick") {
    let id = command.from;
    // In its turn: zeromq refuses a second send while one is under way.
    setInterval(() => {
      turn = turn.then(() => announce("store", id++));
    }, command.everyMs);
  }
}

let turn: Promise<void> = Promise.resolve();
process.on("message", (command: Command) => {
  if (command.type === "ack") {
    acked = command.below;
    onAck();
    return;
  }
  turn = turn.then(async () => {
    await obey(command);
    process.send!({ published: publisher.next });
  });
});
// Its starter's end, however it comes, is its own.
process.on("disconnect", () => process.exit());
process.send!({ published: 0 });
