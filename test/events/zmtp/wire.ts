/**
 * The other side of a connection, for the tests of our own ZMTP: what a real libzmq PUB puts on the wire,
 * recorded, and servers that say such bytes. What is made up here is from RFC 23 and 37, not from src.
 */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { bindPublisher, closers, until } from "../sockets.js";

export const GREETING_BYTES = 64;
export const [MORE, LONG, COMMAND] = [1, 2, 4] as const;
export type Part = string | Uint8Array;

export const bytesOf = (part: Part): Buffer => Buffer.from(part as Uint8Array);

/** A client's greeting: signature, version, mechanism NULL, no server (RFC 23, "greeting"). */
export function greeting(minor = 1, mechanism = "NULL"): Buffer {
  const bytes = Buffer.alloc(GREETING_BYTES);
  bytes[0] = 0xff;
  bytes[9] = 0x7f;
  bytes[10] = 3;
  bytes[11] = minor;
  bytes.write(mechanism, 12, "latin1");
  return bytes;
}

/** A command with its name (RFC 23, "command"). */
export function command(name: string, data: Part = ""): Buffer {
  const body = Buffer.concat([Buffer.from([name.length]), Buffer.from(name), bytesOf(data)]);
  return framed(COMMAND, body);
}

/** A frame of any kind: short or long as its size asks. */
export function framed(flags: number, body: Part): Buffer {
  const bytes = bytesOf(body);
  if (bytes.length < 256) return Buffer.concat([Buffer.from([flags, bytes.length]), bytes]);
  return Buffer.concat([longHead(flags, bytes.length), bytes]);
}

/** The head of a long frame, whatever follows it. */
export function longHead(flags: number, size: number | bigint): Buffer {
  const head = Buffer.alloc(9);
  head[0] = flags | LONG;
  head.writeBigUInt64BE(BigInt(size), 1);
  return head;
}

export const wireMessage = (parts: readonly Part[]): Buffer =>
  Buffer.concat(parts.map((part, i) => framed(i < parts.length - 1 ? MORE : 0, part)));

/** READY with one property, `Socket-Type` (RFC 23, "null mechanism"). */
export function ready(type = "SUB"): Buffer {
  const [name, value] = [Buffer.from("Socket-Type"), Buffer.from(type)];
  const size = Buffer.alloc(4);
  size.writeUInt32BE(value.length);
  return command("READY", Buffer.concat([Buffer.from([name.length]), name, size, value]));
}

export interface Recording {
  /** The PUB's 64 bytes. */
  readonly greeting: Buffer;
  /** Its READY, as it is framed. */
  readonly ready: Buffer;
  /** What it said after that: the messages, and nothing behind the last. */
  readonly traffic: Buffer;
}

const END = "the end of the recording";

/** Let a libzmq PUB send messages to a plain TCP socket that greets it, and keep what comes. */
export async function record(messages: readonly (readonly Part[])[]): Promise<Recording> {
  const [publisher, endpoint] = await bindPublisher({ sendHighWaterMark: 0 });
  const socket = connect(Number(new URL(endpoint).port), "127.0.0.1");
  closers.push(() => socket.destroy());
  const chunks: Buffer[] = [];
  let size = 0;
  socket.on("data", (chunk) => {
    chunks.push(chunk);
    size += chunk.length;
  });
  const said = (count: number): Promise<void> => until(`${count} bytes`, () => size >= count);
  // Step by step: libzmq 4.3.5 goes silent if all of it is there before it has greeted.
  socket.write(greeting());
  await said(GREETING_BYTES + 2);
  socket.write(ready());
  await said(GREETING_BYTES + 2 + Buffer.concat(chunks)[GREETING_BYTES + 1]!);
  socket.write(command("SUBSCRIBE"));
  // A PUB drops what it sends before the subscription is there.
  const [hello, end] = [framed(0, "hello"), framed(0, END)];
  while (Buffer.concat(chunks).indexOf(hello) < 0) {
    await publisher.send("hello");
    await wait(5);
  }
  await publisher.send("the beginning");
  for (const parts of messages) await publisher.send(parts as (string | Buffer)[]);
  await publisher.send(END);
  let seen = -1;
  await until("recorded", () => {
    if (size === seen) return false;
    seen = size;
    return Buffer.concat(chunks.slice(-2)).subarray(-end.length).equals(end);
  });
  const all = Buffer.concat(chunks);
  const from = all.indexOf(framed(0, "the beginning")) + 2 + "the beginning".length;
  const readyEnd = GREETING_BYTES + 2 + all[GREETING_BYTES + 1]!;
  return {
    greeting: all.subarray(0, GREETING_BYTES),
    ready: all.subarray(GREETING_BYTES, readyEnd),
    traffic: all.subarray(from, all.length - end.length),
  };
}

/** A client as a server of the tests sees it. */
export class Peer {
  readonly at = performance.now();
  readonly socket: Socket;
  #chunks: Buffer[] = [];
  isGone = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => this.#chunks.push(chunk));
    socket.on("close", () => {
      this.isGone = true;
    });
  }

  /** All that the client said. */
  get said(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** What it said after its greeting and READY: the subscription first. */
  get saidAfterReady(): Buffer {
    const all = this.said;
    return all.length < GREETING_BYTES + 2
      ? Buffer.alloc(0)
      : all.subarray(GREETING_BYTES + 2 + all[GREETING_BYTES + 1]!);
  }
}

export interface RawServer {
  readonly server: Server;
  readonly endpoint: string;
  readonly port: number;
  readonly peers: readonly Peer[];
}

/** A server that says what it is told to each who connects. */
export async function rawServer(greet: (peer: Peer) => void, port = 0): Promise<RawServer> {
  const peers: Peer[] = [];
  const server = createServer({ noDelay: true }, (socket) => {
    const peer = new Peer(socket);
    peers.push(peer);
    greet(peer);
  }).listen(port, "127.0.0.1");
  closers.push(() => closeServer({ server, peers }));
  await once(server, "listening");
  const address = server.address() as { port: number };
  return { server, endpoint: `tcp://127.0.0.1:${address.port}`, port: address.port, peers };
}

/** Close it and its connections, so that another can take its port. */
export async function closeServer({ server, peers }: Pick<RawServer, "server" | "peers">): Promise<void> {
  if (!server.listening) return;
  for (const { socket } of peers) socket.destroy();
  server.close();
  await once(server, "close");
}

/** A server that greets and shakes hands with a libzmq PUB's own bytes, and then says what it is told to. */
export async function fakePublisher(
  then: (peer: Peer) => void = () => {},
  { greeting: hello, ready: introduction }: Pick<Recording, "greeting" | "ready"> = {
    greeting: greeting(),
    ready: ready("PUB"),
  },
): Promise<RawServer> {
  return rawServer((peer) => {
    peer.socket.write(Buffer.concat([hello, introduction]));
    then(peer);
  });
}

/** A part of so many bytes, of seeded content. */
export function noise(size: number, random: () => number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let i = 0; i < size; i++) bytes[i] = random() * 256;
  return bytes;
}
