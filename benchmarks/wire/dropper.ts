/**
 * Followers that receive frames and drop them: what of a figure through sockets is not the index's. Sockets and the
 * publishers' process, which share this machine's cores, are alike.
 */
import type { KvFrame } from "kvblock";
import { openEventSocket } from "kvblock/events";
import { Subscriber } from "zeromq";
import type { Follower } from "./cluster.js";

/** By the transport that `subscribe` has for such endpoints. */
export const dropper: Follower = { subscribe: openEventSocket };

/** By bare ZeroMQ sockets. */
export const libzmqDropper: Follower = {
  async subscribe({ endpoint, receiveHighWaterMark, onFrame }) {
    const socket = new Subscriber({ linger: 0, receiveHighWaterMark });
    socket.subscribe("");
    socket.connect(endpoint);
    let connected = 0;
    socket.events.on("handshake", () => void connected++);
    const ended = drop(socket, onFrame);
    return {
      get transport() {
        return { connected };
      },
      async close() {
        socket.close();
        await ended;
      },
    };
  },
};

async function drop(socket: Subscriber, onFrame: (frame: Pick<KvFrame, "payload">) => void): Promise<void> {
  try {
    for (;;) {
      const [, , payload] = await socket.receive();
      onFrame({ payload: payload! });
    }
  } catch (error) {
    if (!socket.closed) throw error;
  }
}
