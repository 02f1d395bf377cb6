/** The kernel's runs against the formats and digests that it stands in for. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { type ExtraKey, HASH_ALGORITHMS, type HashAlgorithm } from "kvblock/hash";
import { afterEach, describe, expect, test, vi } from "vitest";
import { sourceHash } from "../../scripts/kernel/sources.js";
import { TRAITS } from "../../src/hash/algorithms.js";
import { CborFormat } from "../../src/hash/cbor.js";
import { HashChain } from "../../src/hash/chain.js";
import type { BlockFormat, Digest } from "../../src/hash/format.js";
import { loadKernel, RUN_BLOCKS, RUN_TOKENS } from "../../src/hash/kernel.js";
import { PickleFormat } from "../../src/hash/pickle.js";
import { PlainRun } from "../../src/hash/plain-run.js";
import { SglangFormat } from "../../src/hash/sglang.js";
import { sha256, sha256Low64 } from "../../src/hash/sha256.js";
import { TokenFormat } from "../../src/hash/token-chain.js";
import { loadXxh3 } from "../../src/hash/xxh3.js";
import { loadXxh64 } from "../../src/hash/xxh64.js";

const KEY = Uint8Array.of(0xf0, 1, 2, 3, 0x84, 5, 6, 7);
const xxh3 = await loadXxh3();
const xxh64 = (await loadXxh64())(KEY);
const kinds: readonly (HashAlgorithm | "tokens")[] = [...HASH_ALGORITHMS, "tokens"];

/** A chain without the kernel, and the same with it. */
function pair(kind: HashAlgorithm | "tokens", blockSize: number, root?: Uint8Array): [HashChain, HashChain] {
  const traits = kind === "tokens" ? undefined : TRAITS[kind];
  const digestBytes = traits?.digestBytes ?? 8;
  const digest: Digest = {
    sha256,
    "sha256-low64": sha256Low64,
    xxh3,
    xxh64,
  }[traits?.digest ?? "xxh64"];
  const format = (): BlockFormat => {
    if (traits === undefined) return new TokenFormat();
    if (traits.format === "pickle") return new PickleFormat();
    if (traits.format === "sglang") return new SglangFormat();
    return new CborFormat(traits.format === "cbor-integer-parent");
  };
  const start = root ?? new Uint8Array(kind === "sglang" ? 0 : digestBytes).fill(0xa5);
  const run =
    kind === "tokens"
      ? PlainRun.ofTokens(blockSize, digestBytes, KEY)
      : PlainRun.ofEngine(kind, blockSize, digestBytes, digest);
  return [
    new HashChain(blockSize, digestBytes, start, format(), digest),
    new HashChain(blockSize, digestBytes, start, format(), digest, run),
  ];
}

const EDGES = [0, 23, 24, 255, 256, 65535, 65536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];
const token = fc.oneof(
  fc.constantFrom(...EDGES),
  fc.integer({ min: 0, max: 200_000 }),
  fc.integer({ min: 0, max: 2 ** 32 - 1 }),
);
/** Many tokens at the price of a few: a list over and over, each time shifted by some more. */
const manyTokens = (count: number, seeds: readonly number[]): Uint32Array =>
  Uint32Array.from({ length: count }, (_, i) => seeds[(i + Math.floor(i / 7)) % seeds.length]!);
const seeds = fc.array(token, { minLength: 1, maxLength: 60 });

afterEach(() => {
  vi.unstubAllGlobals();
  vi.resetModules();
});

test("the compiled kernel is that of the sources (npm run build:kernel; npm run check:kernel compares bytes)", () => {
  const compiled = readFileSync(new URL("../../src/hash/kernel-bytes.ts", import.meta.url), "utf8");
  expect(compiled).toContain(sourceHash());
  expect(loadKernel()).not.toBeNull();
});

describe.each(kinds)("%s in runs", (kind) => {
  test("equals block by block: block sizes up to 2048, tokens of every width, from a parent or the start", () => {
    const sizes = fc.oneof(
      fc.integer({ min: 1, max: 40 }),
      fc.constantFrom(23, 24, 32, 33, 255, 256, 257),
      fc.integer({ min: 1, max: 2048 }),
    );
    fc.assert(
      fc.property(
        sizes,
        fc.integer({ min: 1, max: 5 }),
        fc.nat({ max: 30 }),
        seeds,
        fc.boolean(),
        fc.option(fc.uint8Array({ minLength: 32, maxLength: 32 })),
        (blockSize, blocks, rest, list, typed, parentBytes) => {
          const [plain, quick] = pair(kind, blockSize);
          const all = manyTokens(blocks * blockSize + Math.min(rest, blockSize - 1), list);
          const tokens = typed ? all : Array.from(all);
          const parent = parentBytes?.subarray(0, plain.digestBytes);
          const expected = plain.hashTokens(tokens, { parent });
          expect(quick.hashTokens(tokens, { parent })).toEqual(expected);
        },
      ),
      { numRuns: 150 },
    );
  });

  test("equals block by block where blocks with extra keys break them", () => {
    const keys: fc.Arbitrary<readonly ExtraKey[] | null> = fc.oneof(
      { weight: 3, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.constant([]) },
      {
        weight: 1,
        arbitrary: fc.constantFrom<readonly ExtraKey[]>(["lora"], ["salt"], [["image", 3]], [7, "s"]),
      },
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        seeds,
        fc.array(keys, { minLength: 1, maxLength: 20 }),
        fc.boolean(),
        (blockSize, list, lists, typed) => {
          // SGLang: one salt, in the first block.
          const extraKeys = kind === "sglang" ? lists.map((_, i) => (i === 0 ? ["salt"] : null)) : lists;
          const [plain, quick] = pair(kind, blockSize);
          const all = manyTokens(lists.length * blockSize, list);
          const tokens = typed ? all : Array.from(all);
          expect(quick.hashTokens(tokens, { extraKeys })).toEqual(plain.hashTokens(tokens, { extraKeys }));
        },
      ),
      { numRuns: 150 },
    );
  });

  test("equals block by block at every length of input up to 1200 bytes, and where runs are cut", () => {
    for (let blockSize = 1; blockSize <= 1200; blockSize++) {
      const [plain, quick] = pair(kind, blockSize);
      // Tokens of one byte, of which the first has one more and two more: no length is left out, head or no head.
      const tokens = new Uint32Array(4 * blockSize);
      tokens[blockSize] = 24;
      tokens[2 * blockSize] = 256;
      tokens.set(manyTokens(blockSize, [...EDGES, blockSize, 70_000 + blockSize]), 3 * blockSize);
      expect(quick.hashTokens(tokens)).toEqual(plain.hashTokens(tokens));
    }
    for (const [blockSize, blocks] of [
      [1, 2 * RUN_BLOCKS + 3],
      [16, RUN_BLOCKS + 1],
      [32, 513],
      [33, 500],
      [4097, 3],
    ] as const) {
      const [plain, quick] = pair(kind, blockSize);
      const tokens = manyTokens(blocks * blockSize, [...EDGES, 1234, 151_000]);
      expect(quick.hashTokens(tokens)).toEqual(plain.hashTokens(tokens));
      expect(quick.hashTokens(Array.from(tokens))).toEqual(plain.hashTokens(tokens));
    }
  });

  test("equals block by block at the largest block that it takes, of the widest tokens, and beyond", () => {
    for (const blockSize of [RUN_TOKENS, RUN_TOKENS + 1, 20_000]) {
      const [plain, quick] = pair(kind, blockSize);
      const tokens = new Uint32Array(2 * blockSize).fill(2 ** 32 - 1);
      expect(quick.hashTokens(tokens)).toEqual(plain.hashTokens(tokens));
    }
  });

  test("goes on from a root of another length than a digest's", () => {
    const lengths = kind === "tokens" ? [8] : TRAITS[kind].noneHashBytes;
    for (const length of lengths) {
      const [plain, quick] = pair(kind, 16, new Uint8Array(length).fill(3));
      const tokens = manyTokens(200, EDGES);
      expect(quick.hashTokens(tokens)).toEqual(plain.hashTokens(tokens));
    }
  });

  test("names the token that is none, wherever it is, and hashes on afterwards", () => {
    const [plain, quick] = pair(kind, 16);
    const tokens = Array.from(manyTokens(9000, EDGES));
    for (const index of [0, 15, 16, 8191, 8192, 8990, 8999])
      for (const bad of [-1, 2 ** 32, 1.5, Number.NaN, "1" as never]) {
        const broken = tokens.with(index, bad);
        expect(() => quick.hashTokens(broken)).toThrow(`"tokens[${index}]"`);
        expect(() => plain.hashTokens(broken)).toThrow(`"tokens[${index}]"`);
      }
    expect(quick.hashTokens(tokens)).toEqual(plain.hashTokens(tokens));
  });
});

test("parents of sha256_cbor_64bit are integers of every width", () => {
  const [plain, quick] = pair("sha256_cbor_64bit", 4);
  const numbers = [...EDGES.map(BigInt), 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];
  for (const number of numbers) {
    const parent = new Uint8Array(8);
    new DataView(parent.buffer).setBigUint64(0, number);
    const tokens = [1, 2, 3, 4, 5, 6, 7, 8];
    expect(quick.hashTokens(tokens, { parent })).toEqual(plain.hashTokens(tokens, { parent }));
  }
});

test("where there is no WebAssembly, the algorithms that rest on SHA-256 go without", async () => {
  const options = { algorithm: "sha256_cbor", blockSize: 4, seed: "0" } as const;
  const tokens = [1, 2, 3, 4, 5, 6, 7, 8];
  const { createBlockHasherSync } = await import("../../src/hash/hashing.js");
  const expected = createBlockHasherSync(options).hashTokens(tokens);
  vi.resetModules();
  vi.stubGlobal("WebAssembly", undefined);
  const without = await import("../../src/hash/hashing.js");
  expect((await import("../../src/hash/kernel.js")).loadKernel()).toBeNull();
  expect(without.createBlockHasherSync(options).hashTokens(tokens)).toEqual(expected);
});
