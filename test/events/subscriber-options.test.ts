/** Subscriptions that cannot be opened: each mistake is told by its option, before any socket is made. */
import { type EventSocketOptions, openEventSocket } from "kvblock/events";
import { afterEach, describe, expect, test, vi } from "vitest";
import { checkEventSocketOptions } from "../../src/events/subscriber-options.js";
import { bindPublisher } from "./sockets.js";

afterEach(() => {
  vi.doUnmock("zeromq");
});

describe("opening fails", () => {
  test("with the fix named when zeromq is missing", async () => {
    vi.doMock("zeromq", () => {
      throw new Error("Cannot find package 'zeromq'");
    });
    await expect(openEventSocket({ endpoint: "tcp://127.0.0.1:5557", bind: true })).rejects.toMatchObject({
      code: "ERR_KVBLOCK_SUBSCRIBE",
      message: expect.stringMatching(/npm install zeromq/),
      cause: expect.anything(),
    });
    const plain = await openEventSocket({ endpoint: "tcp://127.0.0.1:5557" });
    await plain.close();
  });

  test("to connect for ever without heartbeats: an attempt has 30 seconds, as with libzmq", () => {
    const attempt = (heartbeatIntervalMs: number): number =>
      checkEventSocketOptions({ endpoint: "tcp://127.0.0.1:5557", heartbeatIntervalMs }, Date.now).attemptMs;
    expect([0, 1, 5000].map(attempt)).toEqual([30_000, 1000, 15_000]);
  });

  test("for a port that is taken, leaving nothing open", async () => {
    const [, endpoint] = await bindPublisher();
    await expect(
      openEventSocket({ endpoint: ["tcp://127.0.0.1:0", endpoint], bind: true }),
    ).rejects.toMatchObject({
      code: "ERR_KVBLOCK_SUBSCRIBE",
      message: expect.stringContaining(`cannot bind ${endpoint}`),
    });
  });

  const endpoint = "tcp://127.0.0.1:5557";
  const key = "a".repeat(40);
  test.each<[string, object, typeof TypeError, RegExp]>([
    ["no endpoint", {}, TypeError, /"endpoint" expected/],
    ["an empty list", { endpoint: [] }, RangeError, /at least one/],
    ["an endpoint twice", { endpoint: [endpoint, endpoint] }, RangeError, /different endpoints/],
    ["an endpoint without scheme", { endpoint: "127.0.0.1:5557" }, RangeError, /tcp:\/\/host:port/],
    ["vLLM's bind address", { endpoint: "tcp://*:5557" }, RangeError, /host to connect to/],
    ["port 0 to connect to", { endpoint: "tcp://127.0.0.1:0" }, RangeError, /ports 1 … 65535/],
    ["a port over 65535", { endpoint: "tcp://127.0.0.1:65536", bind: true }, RangeError, /ports/],
    ["ranks past the last port", { endpoint: "tcp://h:65535", dataParallelSize: 2 }, RangeError, /ports/],
    [
      "ranks on ipc",
      { endpoint: "ipc://engine.sock", dataParallelSize: 2 },
      RangeError,
      /"dataParallelSize"/,
    ],
    [
      "ranks on a bound socket",
      { endpoint, bind: true, dataParallelSize: 2 },
      RangeError,
      /"dataParallelSize"/,
    ],
    [
      "ranks that overlap",
      { endpoint: [endpoint, "tcp://127.0.0.1:5558"], dataParallelSize: 2 },
      RangeError,
      /different/,
    ],
    ["an unknown option", { endpoint, topic: "" }, TypeError, /"topic" is not an option/],
    ["a near miss", { endpoint, topicfilter: "" }, TypeError, /did you mean topicFilter\?/],
    ["a topic filter that is no string", { endpoint, topicFilter: 1 }, TypeError, /"topicFilter"/],
    ["no limit", { endpoint, maxFrameBytes: 0 }, RangeError, /"maxFrameBytes" expected integer >= 1/],
    ["a clock that is a number", { endpoint, now: 5 }, TypeError, /"now" expected function/],
    [
      "reconnect intervals upside down",
      { endpoint, reconnectIntervalMs: 9, reconnectMaxIntervalMs: 8 },
      RangeError,
      /"reconnectMaxIntervalMs"/,
    ],
    [
      "a short key",
      { endpoint, curve: { serverKey: key, publicKey: key, secretKey: "abc" } },
      RangeError,
      /"curve.secretKey" expected 32 bytes/,
    ],
    [
      "a server with a client's keys",
      { endpoint, curve: { server: true, publicKey: key, secretKey: key } },
      TypeError,
      /"curve.publicKey" is a client's/,
    ],
    ["a client without keys", { endpoint, curve: { secretKey: key } }, TypeError, /"curve.serverKey"/],
  ])("for %s", async (_, options, mistake, text) => {
    const refused = await openEventSocket(options as EventSocketOptions).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(mistake);
    expect((refused as Error).message).toMatch(text);
  });
});
