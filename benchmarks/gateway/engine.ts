/**
 * An engine that costs next to nothing, so that it is not what is measured: it reads a request whole, answers at once with
 * a fixed completion, and announces blocks as an engine would. A process of its own; its argument is {@link EngineTask}.
 *
 * Its sockets and event layout are the model engine's (examples/engine); tokens are computed by nobody. Asked to announce,
 * it stores the histories that it is given; each request then stores the blocks of one turn more, and removes as many.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createBlockHasherSync } from "kvblock/hash";
import { Publisher } from "../../examples/engine/publisher.js";
import { encodeEventBatch } from "../../examples/engine/wire.js";
import { seeded, tokensOf } from "../run/random.js";
import { MODEL } from "./conversations.js";

export interface EngineTask {
  readonly pod: string;
}

/** Sent by the parent: tokens of the histories that it is to hold. */
export type ToEngine = { readonly announce: readonly (readonly number[])[] } | { readonly count: true };

const BLOCK = 16;
/** A turn of 4,000 characters is about as many. */
const TURN_BLOCKS = 70;

const { pod } = JSON.parse(process.argv[2]!) as EngineTask;
const hasher = createBlockHasherSync({ algorithm: "sha256_cbor", seed: "0", blockSize: BLOCK });
const publisher = await Publisher.open({
  endpoint: "tcp://127.0.0.1:*",
  connect: false,
  replayEndpoint: "tcp://127.0.0.1:*",
  replayDialect: "topic",
  bufferSteps: 10_000,
});
const publish = (events: Parameters<typeof encodeEventBatch>[0]["events"]): void =>
  publisher.publish(
    `kv@${pod}@${MODEL}`,
    encodeEventBatch({ ts: Date.now() / 1000, events, dataParallelRank: 0 }, { era: "M3", intHashes: true }),
  );

const random = seeded(pod.length);
let requests: Record<string, number> = {};
let turn: Uint8Array[] = [];

function announce(tokens: readonly number[]): Uint8Array[] {
  const digests = hasher.hashTokens(tokens);
  const blockHashes = Array.from({ length: digests.length / 32 }, (_, i) =>
    digests.slice(32 * i, 32 * i + 32),
  );
  const tokenIds = tokens.slice(0, blockHashes.length * BLOCK);
  publish([
    { type: "BlockStored", blockHashes, parentBlockHash: null, tokenIds, blockSize: BLOCK, medium: "GPU" },
  ]);
  return blockHashes;
}

const answer = JSON.stringify({
  id: "chatcmpl-0",
  object: "chat.completion",
  created: 0,
  model: MODEL,
  choices: [{ index: 0, message: { role: "assistant", content: "a" }, finish_reason: "length" }],
});

const server = createServer((request, response) => {
  request.on("data", () => {});
  request.on("end", () => {
    if (request.method === "POST") {
      const id = String(request.headers["x-request-id"]).split("/")[0]!;
      requests[id] = (requests[id] ?? 0) + 1;
      if (turn.length > 0) publish([{ type: "BlockRemoved", blockHashes: turn, medium: "GPU" }]);
      turn = announce(Array.from(tokensOf(random, TURN_BLOCKS * BLOCK)));
    }
    response.writeHead(200, { "content-type": "application/json" }).end(answer);
  });
});
server.listen(0, "127.0.0.1", () => {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  process.send!({ url, events: publisher.endpoint, replay: publisher.replayEndpoint });
});
process.on("message", (message: ToEngine) => {
  if ("announce" in message) for (const tokens of message.announce) announce(tokens);
  else {
    process.send!({ requests });
    requests = {};
  }
});
process.on("disconnect", () => process.exit());
