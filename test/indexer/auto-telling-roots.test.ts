/** Auto mode finds the hashing from any first block whose extra keys the event says, not from plain ones alone. */
import { describe, expect, it } from "vitest";
import { Indexer } from "../../src/index.js";
import { storedFrame } from "../../src/testing.js";

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
});
