/** What every chain promises: slices equal the whole, and mistakes are named. */
import fc from "fast-check";
import {
  type BlockChain,
  createBlockHasher,
  createBlockHasherSync,
  type ExtraKey,
  HASH_ALGORITHMS,
  loadHashing,
  toBlockKeys,
} from "kvblock/hash";
import { describe, expect, test } from "vitest";
import { hex, split } from "./vectors.js";

const token = fc.oneof(
  fc.integer({ min: 0, max: 300 }),
  fc.integer({ min: 0, max: 0xffffffff }),
  fc.constantFrom(23, 24, 255, 256, 65535, 65536, 2 ** 31 - 1, 2 ** 31),
);
const extraKey: fc.Arbitrary<ExtraKey> = fc.oneof(
  fc.string(),
  fc.string({ unit: "grapheme" }),
  fc.integer(),
  fc.uint8Array({ maxLength: 40 }),
  fc.tuple(fc.string(), fc.integer({ min: -70000, max: 70000 })),
);
const extraKeyList = fc.option(fc.array(extraKey, { maxLength: 5 }));

const hashing = await loadHashing();
const chains = (blockSize: number): BlockChain[] => [
  ...HASH_ALGORITHMS.filter((algorithm) => algorithm !== "sglang").map((algorithm) =>
    hashing.blockHasher({ algorithm, blockSize, seed: "0" }),
  ),
  hashing.tokenChain({ blockSize, key: new Uint8Array(8) }),
];

describe("hashTokens", () => {
  test("in slices, each continuing from the last digest, gives the digests of the whole", () => {
    const arbitrary = fc.record({
      blockSize: fc.integer({ min: 1, max: 9 }),
      tokens: fc.array(token, { maxLength: 120 }),
      keys: fc.array(extraKeyList, { minLength: 120, maxLength: 120 }),
      steps: fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 120, maxLength: 120 }),
    });
    fc.assert(
      fc.property(arbitrary, ({ blockSize, tokens, keys, steps }) => {
        const typed = Uint32Array.from(tokens);
        const blocks = Math.floor(tokens.length / blockSize);
        const extraKeys = keys.slice(0, blocks);
        for (const chain of chains(blockSize)) {
          const whole = chain.hashTokens(tokens, { extraKeys });
          const parts: string[] = [];
          let parent: Uint8Array | undefined;
          for (let from = 0, i = 0; from < blocks; i++) {
            const to = Math.min(blocks, from + steps[i]!);
            const slice = typed.subarray(from * blockSize, to * blockSize);
            const digests = chain.hashTokens(slice, { parent, extraKeys: extraKeys.slice(from, to) });
            parts.push(...split(digests, chain.digestBytes));
            parent = digests.subarray(-chain.digestBytes);
            from = to;
          }
          expect(parts).toEqual(split(whole, chain.digestBytes));
        }
      }),
      { numRuns: 60 },
    );
  });

  test("takes an empty list of extra keys as none", () => {
    for (const chain of chains(2))
      expect(chain.hashTokens([1, 2], { extraKeys: [[]] })).toEqual(chain.hashTokens([1, 2]));
  });

  test("gives a result of its own, whatever is hashed afterwards", () => {
    for (const chain of chains(2)) {
      const first = chain.hashTokens([1, 2, 3, 4]);
      const copy = first.slice();
      chain.hashTokens([5, 6, 7, 8]);
      expect(first).toEqual(copy);
    }
  });

  test("is written where it is said, and is a view of that", () => {
    const coarse = hashing.blockHasher({ algorithm: "sha256", blockSize: 4, hashBlockSize: 2, seed: "0" });
    for (const chain of [...chains(2), coarse]) {
      const tokens = [1, 2, 3, 4, 5, 6, 7, 8, 9];
      const expected = chain.hashTokens(tokens);
      const out = new Uint8Array(expected.length + 3).fill(9);
      const digests = chain.hashTokens(tokens, { out });
      expect(digests).toEqual(expected);
      expect([digests.buffer, digests.byteOffset]).toEqual([out.buffer, 0]);
      expect([...out.subarray(expected.length)]).toEqual([9, 9, 9]);
      // The parent may stand in what is written over.
      const next = chain.hashTokens(tokens, { parent: digests.subarray(-chain.digestBytes), out });
      expect(next).toEqual(chain.hashTokens(tokens, { parent: expected.subarray(-chain.digestBytes) }));
      const keys = new Uint32Array(chain.toKeys(expected).length);
      expect(chain.toKeys(expected, keys)).toBe(keys);
      expect(keys).toEqual(chain.toKeys(expected));
    }
  });

  test("is the same from createBlockHasher, createBlockHasherSync and loadHashing", async () => {
    for (const algorithm of HASH_ALGORITHMS) {
      const options = { algorithm, blockSize: 4, seed: "42" };
      const expected = hashing.blockHasher(options).hashTokens([1, 2, 3, 4]);
      expect((await createBlockHasher(options)).hashTokens([1, 2, 3, 4])).toEqual(expected);
      if (!algorithm.startsWith("xxhash"))
        expect(createBlockHasherSync(options).hashTokens([1, 2, 3, 4])).toEqual(expected);
    }
  });

  test("continues from a NONE_HASH whose length is not the digest's", () => {
    const noneHash = new Uint8Array(32).fill(7);
    const hasher = hashing.blockHasher({ algorithm: "xxhash", blockSize: 2, noneHash });
    expect(hasher.hashTokens([1, 2], { parent: noneHash })).toEqual(hasher.hashTokens([1, 2]));
  });
});

describe("mistakes", () => {
  const hasher = createBlockHasherSync({ algorithm: "sha256", blockSize: 2, seed: "0" });
  const sglang = createBlockHasherSync({ algorithm: "sglang", blockSize: 2 });
  const keys = (...extraKeys: unknown[]): { extraKeys: never } => ({ extraKeys: extraKeys as never });
  const calls: [string, () => unknown, ErrorConstructor, string][] = [
    ["a negative token", () => hasher.hashTokens([1, -1]), RangeError, '"tokens[1]"'],
    ["a token beyond u32", () => hasher.hashTokens([2 ** 32, 1]), RangeError, '"tokens[0]"'],
    ["a fractional token", () => hasher.hashTokens([1, 2, 3, 1.5]), RangeError, '"tokens[3]"'],
    ["a token that is NaN", () => hasher.hashTokens([Number.NaN, 2]), RangeError, '"tokens[0]"'],
    ["a bad token in the partial last block", () => hasher.hashTokens([1, 2, -3]), RangeError, '"tokens[2]"'],
    ["a token that is no number", () => hasher.hashTokens([1, "2" as never]), TypeError, '"tokens[1]"'],
    ["a missing token", () => hasher.hashTokens(new Array<number>(2)), TypeError, '"tokens[0]"'],
    ["a prompt in place of its tokens", () => hasher.hashTokens("secret" as never), TypeError, "got string"],
    ["bytes in place of tokens", () => hasher.hashTokens(new Uint8Array(4) as never), TypeError, '"tokens"'],
    [
      "an unknown option",
      () => hasher.hashTokens([1, 2], { extrakeys: [] } as object),
      TypeError,
      "extraKeys",
    ],
    ["too few extra keys", () => hasher.hashTokens([1, 2], keys()), RangeError, "1 entries"],
    ["too many extra keys", () => hasher.hashTokens([1], keys(null)), RangeError, "0 entries"],
    ["extra keys that are no list", () => hasher.hashTokens([1, 2], keys("s")), TypeError, '"extraKeys[0]"'],
    ["an undefined entry", () => hasher.hashTokens([1, 2], keys(undefined)), TypeError, '"extraKeys[0]"'],
    ["a fractional extra key", () => hasher.hashTokens([1, 2], keys([1.5])), TypeError, '"extraKeys[0][0]"'],
    [
      "a boolean extra key",
      () => hasher.hashTokens([1, 2], keys(["a", true])),
      TypeError,
      '"extraKeys[0][1]"',
    ],
    ["a triple", () => hasher.hashTokens([1, 2], keys([["a", 1, 2]])), TypeError, '"extraKeys[0][0]"'],
    [
      "a short parent",
      () => hasher.hashTokens([1, 2], { parent: new Uint8Array(8) }),
      RangeError,
      "32 bytes",
    ],
    [
      "an empty parent",
      () => sglang.hashTokens([1, 2], { parent: new Uint8Array(0) }),
      RangeError,
      "32 bytes",
    ],
    [
      "too little room for digests",
      () => hasher.hashTokens([1, 2], { out: new Uint8Array(31) }),
      RangeError,
      '"out"',
    ],
    ["room that is no bytes", () => hasher.hashTokens([1, 2], { out: [] as never }), TypeError, '"out"'],
    [
      "room for other keys",
      () => hasher.toKeys(new Uint8Array(32), new Uint32Array(3)),
      RangeError,
      "2 words",
    ],
    [
      "room for keys that is no words",
      () => hasher.toKeys(new Uint8Array(32), [0, 0] as never),
      TypeError,
      '"out"',
    ],
    ["a parent as text", () => hasher.hashTokens([1, 2], { parent: "00" as never }), TypeError, '"parent"'],
    [
      "a LoRA name for SGLang",
      () => sglang.hashTokens([1, 2, 3, 4], keys(["l"], ["l"])),
      RangeError,
      "sglang",
    ],
    ["digests of a broken length", () => toBlockKeys(new Uint8Array(33), "sha256"), RangeError, "32 bytes"],
    [
      "keys of an unknown algorithm",
      () => toBlockKeys(new Uint8Array(32), "sha265" as never),
      TypeError,
      "sha256",
    ],
    ["digests as an array", () => hasher.toKeys([] as never), TypeError, '"digests"'],
    [
      "xxhash without waiting for it",
      () => createBlockHasherSync({ algorithm: "xxhash", blockSize: 1, seed: "" }),
      TypeError,
      "createBlockHasher",
    ],
    [
      "a chain key of 4 bytes",
      () => hashing.tokenChain({ blockSize: 1, key: new Uint8Array(4) }),
      RangeError,
      "8 bytes",
    ],
    [
      "a chain key as number",
      () => hashing.tokenChain({ blockSize: 1, key: 1 as never }),
      TypeError,
      '"key"',
    ],
    ["a chain without block size", () => hashing.tokenChain({} as never), TypeError, '"blockSize"'],
  ];
  test.each(calls)("%s is refused by name", (_, call, kind, named) => {
    expect(call).toThrow(kind);
    expect(call).toThrow(named);
    expect(call).not.toThrow("secret");
  });

  const sha = { algorithm: "sha256", blockSize: 16 };
  const options: [string, object, ErrorConstructor, string][] = [
    ["neither seed nor noneHash", sha, TypeError, '"seed"'],
    ["both seed and noneHash", { ...sha, seed: "0", noneHash: new Uint8Array(32) }, TypeError, "exclude"],
    ["seed 0 as a number", { ...sha, seed: 0 }, TypeError, 'write "0"'],
    ["a seed of bytes", { ...sha, seed: new Uint8Array(1) }, TypeError, '"seed"'],
    ["a noneHash as text", { ...sha, noneHash: "00" }, TypeError, '"noneHash"'],
    ["a noneHash of 8 bytes", { ...sha, noneHash: new Uint8Array(8) }, RangeError, "16 or 32 bytes"],
    ["an unknown algorithm", { ...sha, algorithm: "sha256-cbor", seed: "0" }, TypeError, "sha256_cbor"],
    ["a block size of 0", { ...sha, blockSize: 0, seed: "0" }, RangeError, '"blockSize"'],
    ["a block size as text", { ...sha, blockSize: "16", seed: "0" }, TypeError, '"blockSize"'],
    ["an unknown option", { ...sha, blocksize: 16, seed: "0" }, TypeError, "did you mean blockSize?"],
  ];
  test.each(options)("a hasher of %s is refused", async (_, given, kind, named) => {
    await expect(createBlockHasher(given as never)).rejects.toThrow(kind);
    await expect(createBlockHasher(given as never)).rejects.toThrow(named);
    expect(() => hashing.blockHasher(given as never)).toThrow(named);
  });

  test("noneHash is a copy in both directions", () => {
    const noneHash = Buffer.alloc(32);
    const own = createBlockHasherSync({ algorithm: "sha256", blockSize: 2, noneHash });
    const before = hex(own.hashTokens([1, 2]));
    noneHash.fill(1);
    own.noneHash.fill(2);
    expect(hex(own.hashTokens([1, 2]))).toBe(before);
  });
});
