/** The example engine's prefix cache does what vLLM's own does: same hits, same evictions, the same bytes on the wire. */
import { decode } from "@msgpack/msgpack";
import { blockExtraKeys, createBlockHasher, tagExtraKeys } from "kvblock/hash";
import { describe, expect, it } from "vitest";
import { BlockManager } from "../../examples/engine/block-manager.js";
import { encodeEventBatch, type WireEra } from "../../examples/engine/wire.js";
import { type Ask, type Operation, outputToken, readTrace, type Trace, traceNames } from "./trace.js";

const ERAS: Readonly<Record<string, WireEra>> = {
  "0.11.2": "A2",
  "0.17.1": "A4",
  "0.20.2": "A5",
  "0.23.0": "A6",
  "0.24.0": "M1",
  "0.30.0": "M3",
  "0.31.0": "M3",
  "0.33.0": "M4",
};
/** vLLM before PR 36708. */
const BARE_IDENTIFIERS = ["0.11.2", "0.17.1"];
const EXTRA_KEYS_POSITION = 8;
/** Extra keys are hashed tagged, and announced as before, from v0.31 on. */
const TAGGED = ["0.31.0", "0.33.0"];
/** Freed blocks that no prefix can hit go to the front of the queue from v0.24 on. */
const UNHASHED_LAST = ["0.11.2", "0.17.1", "0.20.2", "0.23.0"];

async function engineOf(trace: Trace): Promise<BlockManager> {
  const { algorithm, noneHash, blockSize, numBlocks, vllm, loras } = trace;
  return new BlockManager({
    numBlocks,
    hasher: await createBlockHasher({ algorithm, noneHash, blockSize }),
    extraKeys: ({ loraName, cacheSalt, multimodal }, tokenCount, promptTokens) =>
      blockExtraKeys(
        // From v0.31 on a block that generation completes is looked at as any other.
        { loraName, cacheSalt, multimodal, promptTokens: TAGGED.includes(vllm) ? undefined : promptTokens },
        tokenCount,
        blockSize,
        BARE_IDENTIFIERS.includes(vllm) ? "identifiers" : "offsets",
      ),
    hashedKeys: TAGGED.includes(vllm)
      ? (keys, { loraName }) =>
          tagExtraKeys(
            keys,
            loraName === undefined ? undefined : { name: loraName, path: loras[loraName]!.path },
          )
      : undefined,
    unhashedFirst: !UNHASHED_LAST.includes(vllm),
  });
}

class Replay {
  readonly #asks = new Map<number, Ask>();
  readonly #sampled = new Map<number, number>();
  readonly #engine: BlockManager;
  readonly #trace: Trace;

  constructor(trace: Trace, engine: BlockManager) {
    this.#trace = trace;
    this.#engine = engine;
  }

  /** The request as the engine takes it. */
  arrive(ask: Ask) {
    this.#asks.set(ask.id, ask);
    return this.#request(ask.id);
  }

  /** What the engine answers, in the words of the trace. */
  do(operation: Operation): Operation {
    const engine = this.#engine;
    if (operation[0] === "reset") return ["reset", engine.reset()];
    const [kind, request] = operation;
    const id = `${request}`;
    switch (kind) {
      case "start": {
        const scheduled = engine.schedule({ ...this.#request(request), id }, operation[2]);
        return [kind, request, operation[2], scheduled?.cachedTokens ?? null];
      }
      case "compute":
        return [kind, request, operation[2], engine.compute(id, operation[2])];
      case "append": {
        const n = this.#sampled.get(request) ?? 0;
        this.#sampled.set(request, n + 1);
        engine.append(id, [outputToken(request, n)]);
        break;
      }
      case "preempt":
        engine.preempt(id);
        break;
      case "finish":
        engine.finish(id);
    }
    return operation;
  }

  #request(id: number) {
    const { tokens, loraName, cacheSalt, multimodal } = this.#asks.get(id)!;
    const loraId = loraName === undefined ? undefined : this.#trace.loras[loraName]!.id;
    return { tokens, loraName, loraId, cacheSalt, multimodal };
  }
}

/**
 * Before offsets were written, an event listed an image that ends exactly where its first block begins, though that
 * block's hash did not contain it. The model engine announces what it hashed.
 */
function withoutExtraKeys(batch: unknown): unknown {
  const [ts, events, rank] = batch as [number, unknown[][], number];
  return [ts, events.map((event) => event.filter((_, position) => position !== EXTRA_KEYS_POSITION)), rank];
}

describe("the model engine in vLLM's place", () => {
  // Speculative decoding is not modelled.
  it.each(traceNames().filter((name) => !name.includes("drafting")))(
    "%s: reuses the same tokens and publishes the same bytes at every step",
    async (name) => {
      const trace = readTrace(name);
      const engine = await engineOf(trace);
      const replay = new Replay(trace, engine);
      let batches = 0;
      let otherBytes = 0;
      for (const [number, { ask, operations, payload }] of trace.steps.entries()) {
        const where = `step ${number}`;
        for (const one of ask) expect(engine.peek(replay.arrive(one)) * trace.blockSize, where).toBe(one.hit);
        expect(
          operations.map((operation) => replay.do(operation)),
          where,
        ).toEqual(operations);
        const events = engine.takeEvents();
        expect(events.length > 0, where).toBe(payload !== undefined);
        if (payload === undefined) continue;
        const [ts] = decode(payload, { useBigInt64: true }) as [number];
        const options = { era: ERAS[trace.vllm]!, intHashes: trace.intHashes };
        const ours = encodeEventBatch({ ts, events, dataParallelRank: 0 }, options);
        batches++;
        if (Buffer.compare(ours, payload) === 0) continue;
        const values = [ours, payload].map((bytes) => decode(bytes, { useBigInt64: true }));
        if (!BARE_IDENTIFIERS.includes(trace.vllm)) expect(values[0], where).toEqual(values[1]);
        else expect(withoutExtraKeys(values[0]), where).toEqual(withoutExtraKeys(values[1]));
        otherBytes++;
      }
      expect(batches).toBeGreaterThan(150);
      expect(otherBytes).toBeLessThanOrEqual(BARE_IDENTIFIERS.includes(trace.vllm) ? batches / 10 : 0);
    },
  );
});
