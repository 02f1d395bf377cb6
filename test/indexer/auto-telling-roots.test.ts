/** Auto mode finds the hashing from any first block whose extra keys the event says, not from plain ones alone. */
import { describe, expect, it } from "vitest";
import { createBlockHasherSync, tagExtraKeys } from "../../src/hash/index.js";
import { Indexer } from "../../src/index.js";
import { storedFrame } from "../../src/testing.js";
import { chain, frame, indexerOf, stored } from "./frames.js";

const model = "model";
const tokens = Array.from({ length: 64 }, (_, i) => i + 1);
const about = { pod: "pod", model, tokens, blockSize: 16, seed: "42" };

describe("auto mode", () => {
  it.each([
    ["a salt", [["tenant-a"], null, null, null], { cacheSalt: "tenant-a" }],
    [
      "an image",
      [[["img", 2] as const], [["img", -14] as const], null, null],
      { multimodal: [{ id: "img", offset: 2, length: 20 }] },
    ],
  ])("settles on a root with %s", async (_, extraKeys, request) => {
    const indexer = await Indexer.create({ onDiagnostic: null });
    indexer.apply(storedFrame({ ...about, extraKeys }));
    expect(indexer.pods()[0]).toMatchObject({ mode: "exact", algorithm: "sha256_cbor", state: "live" });
    expect(indexer.scoreTokens([...tokens, 1], { model, ...request }).best?.blocks).toBe(4);
    expect(indexer.scoreTokens([...tokens, 1], { model }).best).toBeUndefined();
    await indexer.close();
  });

  it("tells at once that salts are not passed, since it need not wait for a plain prompt", async () => {
    const codes: string[] = [];
    const indexer = await Indexer.create({ onDiagnostic: ({ code }) => codes.push(code) });
    indexer.apply(storedFrame({ ...about, extraKeys: [["tenant-a"], null, null, null] }));
    indexer.scoreTokens([...tokens, 1], { model });
    expect(codes).toEqual(["salt-not-passed"]);
    await indexer.close();
  });

  it("settles on a salted root of vLLM v0.31 and later, which tags what it hashes and not what it announces", async () => {
    const extraKeys = [["tenant-a"], null, null, null];
    const hasher = createBlockHasherSync({ algorithm: "sha256_cbor", blockSize: 16, seed: "42" });
    const tagging = {
      blockSize: 16,
      digestBytes: hasher.digestBytes,
      toKeys: hasher.toKeys.bind(hasher),
      hashTokens: (all: Uint32Array) =>
        hasher.hashTokens(all, { extraKeys: extraKeys.map((keys) => tagExtraKeys(keys)) }),
    };
    const indexer = await Indexer.create({ onDiagnostic: null });
    indexer.apply(storedFrame({ ...about, seed: undefined, hash: tagging as never, extraKeys }));
    expect(indexer.pods()[0]).toMatchObject({ mode: "exact", algorithm: "sha256_cbor", state: "live" });
    expect(indexer.scoreTokens([...tokens, 1], { model, cacheSalt: "tenant-a" }).best?.blocks).toBe(4);
    await indexer.close();
  });

  it.each([
    [{ mode: "auto" }],
    [{ mode: "exact", algorithm: "sha256", seed: "0" }],
    [{ mode: "exact", algorithm: "sglang" }],
  ] as const)(
    "%o: takes roots with announced keys of any kind, and adapters by id, without throwing",
    async (hash) => {
      const one = chain();
      const { indexer } = await indexerOf({ hash });
      let seq = 0;
      for (const keys of [[7], ["text"], [["img", 1]], [new Uint8Array(32)], null])
        for (const lora of [{}, { lora_id: 7 }, { lora_id: 7, lora_name: "text" }])
          indexer.apply(frame([stored(one, 0, 1, { extra_keys: [keys], ...lora })], { seq: seq++ }));
      expect(indexer.stats().events.stored + indexer.pods()[0]!.heldFrames).toBe(seq);
      expect(indexer.stats().skips).toEqual({});
      await indexer.close();
    },
  );
});
