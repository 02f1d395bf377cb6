/** The contract: a caller's mistakes throw at once, in one wording. */
import { Indexer, type IndexerOptions } from "kvblock";
import { describe, expect, it } from "vitest";
import { chain, frame, indexerOf, stored } from "./frames.js";

const bad = (options: unknown): Promise<Indexer> => Indexer.create(options as IndexerOptions);

describe("Indexer.create", () => {
  it.each([
    [
      { blocksize: 16 },
      TypeError,
      '"blocksize" is not an option of Indexer.create (did you mean blockSize?)',
    ],
    [{ tokenizer: {} }, TypeError, "did you mean tokenizers?"],
    [{ blockSize: 0 }, RangeError, '"blockSize" expected integer 1 … 1048576, got 0'],
    [{ blockSize: "16" }, TypeError, '"blockSize" expected integer 1 … 1048576, got "16"'],
    [{ hash: { mode: "exakt" } }, TypeError, 'did you mean "exact"?'],
    [
      { hash: { mode: "exact", algorithm: "sha256-cbor", seed: "0" } },
      TypeError,
      'did you mean "sha256_cbor"?',
    ],
    [{ hash: { mode: "exact", algorithm: "sha256", seed: 0 } }, TypeError, 'write "0"'],
    [{ hash: { mode: "exact", algorithm: "sha256" } }, TypeError, "PYTHONHASHSEED"],
    [
      { hash: { mode: "exact", algorithm: "sha256", seed: "0", noneHash: new Uint8Array(32) } },
      TypeError,
      "exclude",
    ],
    [{ hash: { mode: "exact", algorithm: "sha256", noneHash: new Uint8Array(3) } }, RangeError, "noneHash"],
    [{ hash: { mode: "tokens", seed: "0" } }, TypeError, '"seed" is not an option of hash in mode "tokens"'],
    [{ hash: { mode: "auto", seeds: [0] } }, TypeError, 'strings, as in PYTHONHASHSEED ("0")'],
    [{ hash: { mode: "auto", seeds: "0" } }, TypeError, '"hash.seeds" expected array of strings'],
    [{ models: { m: { alias: ["x"] } } }, TypeError, "did you mean aliases?"],
    [{ models: { m: { aliases: "x" } } }, TypeError, "array of names"],
    [{ models: { m: { loras: "x" } } }, TypeError, "array of names"],
    [{ models: { m: { loras: { x: -1 } } } }, RangeError, "loras.x"],
    [{ models: { m: { hash: { mode: "exact", algorithm: "xxhash", seed: 42 } } } }, TypeError, 'write "42"'],
    [{ models: { m: { duplicates: "sets" } } }, TypeError, 'did you mean "set"?'],
    [{ models: { m: { drafting: 1 } } }, TypeError, "drafting"],
    [{ models: { a: { aliases: ["x"] }, b: { aliases: ["x"] } } }, RangeError, "no other model has"],
    [{ models: { a: { loras: ["b"] }, b: {} } }, RangeError, "no other model has"],
    [{ models: [] }, TypeError, '"models" expected record'],
    [{ tierWeights: { cpu: 2 } }, RangeError, '"tierWeights.cpu" expected number 0 … 1, got 2'],
    [{ memoryLimitBytes: 1000 }, RangeError, "memoryLimitBytes"],
    [{ maxFrameBytes: 0 }, RangeError, "maxFrameBytes"],
    [{ onDiagnostic: "log" }, TypeError, '"onDiagnostic" expected function'],
    [{ clock: 5 }, TypeError, '"clock" expected function'],
    [{ tokenizers: "qwen" }, TypeError, '"tokenizers" expected record or function'],
    [null, TypeError, "options object"],
  ])("refuses %j", async (options, kind, message) => {
    const error = await bad(options).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(kind);
    expect((error as Error).message).toContain(message);
  });

  it("takes nothing, and options whose values are undefined", async () => {
    await Indexer.create();
    await Indexer.create({ blockSize: undefined, hash: undefined, models: { m: { aliases: undefined } } });
  });
});

describe("scoreTokens", () => {
  it.each([
    ["tokens", "1,2", { model: "m" }, TypeError, '"tokens" expected Uint32Array or array of token ids'],
    ["tokens", new Int32Array(2), { model: "m" }, TypeError, '"tokens" expected'],
    [
      "a token",
      [1, "2"],
      { model: "m" },
      TypeError,
      '"tokens[1]" expected integer 0 … 4294967295, got string',
    ],
    ["a token", [1, -2], { model: "m" }, RangeError, '"tokens[1]"'],
    ["a token", [1.5], { model: "m" }, RangeError, '"tokens[0]"'],
    ["a token", [2 ** 32], { model: "m" }, RangeError, '"tokens[0]"'],
    ["an option", [1], { model: "m", pod: "a" }, TypeError, "did you mean pods?"],
    ["a model", [1], {}, TypeError, '"model" expected non-empty string'],
    ["a model", [1], { model: "" }, RangeError, '"model"'],
    ["pods", [1], { model: "m", pods: "pod-a" }, TypeError, '"pods" expected iterable of pod names'],
    ["pods", [1], { model: "m", pods: [1] }, TypeError, '"pods" expected non-empty string'],
    ["a salt", [1], { model: "m", cacheSalt: 5 }, TypeError, '"cacheSalt" expected string'],
    ["an adapter", [1], { model: "m", loraName: "" }, RangeError, '"loraName"'],
    ["images", [1], { model: "m", multimodal: {} }, TypeError, '"multimodal" expected array'],
    ["the request", [1], undefined, TypeError, '"request" expected an options object'],
  ])("refuses %s: %j, %j", async (_what, tokens, request, kind, message) => {
    const { indexer } = await indexerOf();
    const call = (): unknown => indexer.scoreTokens(tokens as never, request as never);
    expect(call).toThrow(kind);
    expect(call).toThrow(message);
  });

  it("refuses bad images whether or not any pod is known", async () => {
    const { indexer } = await indexerOf({ hash: { mode: "tokens" } });
    const multimodal = [{ id: "img", offset: -1, length: 3 }];
    expect(() => indexer.scoreTokens([1, 2, 3], { model: "base", multimodal })).toThrow(RangeError);
    indexer.apply(frame([stored(chain())]));
    expect(() => indexer.scoreTokens([1, 2, 3], { model: "base", multimodal })).toThrow(RangeError);
  });

  it("never shows token ids", async () => {
    const { indexer } = await indexerOf();
    for (const tokens of [[31_337, "31337"], [31_337.5], [-31_337]])
      expect(() => indexer.scoreTokens(tokens as number[], { model: "m" })).toThrow(/^(?!.*31337)/);
  });
});

describe("apply", () => {
  const good = frame([stored(chain())]);

  it.each([
    [undefined, '"frame" expected a KvFrame'],
    [{ ...good, seq: 0 }, '"frame.seq" expected bigint, got 0'],
    [{ ...good, payload: [1, 2] }, '"frame.payload" expected Uint8Array'],
    [{ ...good, topic: undefined }, '"frame.topic" expected string'],
    [{ ...good, receivedAt: undefined }, '"frame.receivedAt" expected'],
    [{ ...good, pod: 5 }, '"frame.pod" expected string'],
    [JSON.parse(JSON.stringify({ ...good, seq: "0" })), '"frame.seq" expected bigint'],
  ])("refuses what is no frame", async (wrong, message) => {
    const { indexer } = await indexerOf();
    expect(() => indexer.apply(wrong as never)).toThrow(TypeError);
    expect(() => indexer.apply(wrong as never)).toThrow(message);
    await expect(indexer.applyAll([wrong as never])).rejects.toThrow(message);
    expect(indexer.stats().frames).toBe(0);
  });

  it("takes a frame that was cloned into another thread", async () => {
    const { indexer } = await indexerOf();
    indexer.apply(structuredClone(good));
    expect(indexer.stats().admissions).toBe(6);
  });

  it("applyAll refuses what cannot be iterated", async () => {
    const { indexer } = await indexerOf();
    for (const wrong of [good, 5, null])
      await expect(indexer.applyAll(wrong as never)).rejects.toThrow(
        '"frames" expected an iterable of frames',
      );
  });
});
