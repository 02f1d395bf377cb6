/** Encrypted subscriptions on real ZeroMQ sockets: which side is the server is apart from which side binds. */
import { describe, expect, test } from "vitest";
import zmq from "zeromq";
import { bindPublisher, closers, connected, message, seqs, subscribe, take, until } from "./sockets.js";

describe("CURVE", () => {
  const server = zmq.curveKeyPair();
  const client = zmq.curveKeyPair();

  test("connects to an engine that asks for it, with keys as text or bytes", async () => {
    const [publisher, endpoint] = await bindPublisher({
      curveServer: true,
      curveSecretKey: server.secretKey,
    });
    const keys = { serverKey: server.publicKey, publicKey: client.publicKey, secretKey: client.secretKey };
    const asBytes = {
      serverKey: z85(keys.serverKey),
      publicKey: z85(keys.publicKey),
      secretKey: z85(keys.secretKey),
    };
    for (const curve of [keys, asBytes]) {
      const socket = await subscribe({ endpoint, curve });
      await connected(socket);
      await publisher.send(message(1));
      expect(seqs(await take(socket, 1))).toEqual([1]);
      await socket.close();
    }
  });

  test("serves engines that connect to a bound socket", async () => {
    const curve = { server: true, secretKey: server.secretKey } as const;
    const socket = await subscribe({ endpoint: "tcp://127.0.0.1:0", bind: true, curve });
    const publisher = new zmq.Publisher({
      linger: 0,
      curveServerKey: server.publicKey,
      curvePublicKey: client.publicKey,
      curveSecretKey: client.secretKey,
    });
    closers.push(() => publisher.close());
    publisher.connect(socket.endpoints[0]!);
    await connected(socket);
    await publisher.send(message(1));
    expect(seqs(await take(socket, 1))).toEqual([1]);
  });

  test("with a wrong key, or none, never connects; it is reported, and tried again", async () => {
    const [, endpoint] = await bindPublisher({ curveServer: true, curveSecretKey: server.secretKey });
    const wrong = { serverKey: client.publicKey, publicKey: client.publicKey, secretKey: client.secretKey };
    const mistaken = await subscribe({ endpoint, curve: wrong });
    const plain = await subscribe({ endpoint });
    await until("refusal", () => mistaken.transport.endpoints[0]?.state === "disconnected");
    await until("report", () => plain.transport.rejected >= 2);
    expect([mistaken.transport.connected, plain.transport.connected]).toEqual([0, 0]);
  });

  /** Z85 (ZeroMQ RFC 32) to bytes. */
  function z85(text: string): Uint8Array {
    const digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    const bytes = Buffer.alloc((text.length / 5) * 4);
    for (let i = 0; i < text.length; i += 5)
      bytes.writeUInt32BE(
        [...text.slice(i, i + 5)].reduce((n, c) => n * 85 + digits.indexOf(c), 0),
        (i / 5) * 4,
      );
    return bytes;
  }
});
