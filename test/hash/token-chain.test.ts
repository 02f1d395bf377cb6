/** The chain of tokens mode: two blocks have one key exactly when everything in them and before them is equal. */
import fc from "fast-check";
import { type ExtraKey, loadHashing } from "kvblock/hash";
import { describe, expect, test } from "vitest";
import xxhash from "xxhash-wasm";
import { decimals, hex } from "./vectors.js";

const hashing = await loadHashing();
const KEY = Uint8Array.of(0xf0, 1, 2, 3, 4, 5, 6, 7);
const chain = hashing.tokenChain({ blockSize: 4, key: KEY });
const one = (extra: readonly ExtraKey[] | null, tokens: number[] = [1, 2, 3, 4]): string =>
  hex(chain.hashTokens(tokens, { extraKeys: [extra] }));

describe("tokenChain", () => {
  test("is XXH64 under the key, over parent, extra keys and tokens", async () => {
    const { h64Raw } = await xxhash();
    const input = new DataView(new ArrayBuffer(25));
    input.setUint32(4, 4); // the first parent is the block size
    for (let i = 0; i < 4; i++) input.setUint32(9 + 4 * i, i + 1, true);
    const expected = h64Raw(new Uint8Array(input.buffer), 0xf001020304050607n);
    const digests = chain.hashTokens([1, 2, 3, 4]);
    expect(chain.digestBytes).toBe(8);
    expect(BigInt(`0x${hex(digests)}`)).toBe(expected);
    expect(decimals(chain.toKeys(digests))).toEqual([String(expected)]);
  });

  test("tells apart extra keys of every type, number and order", () => {
    const text = (s: string): Uint8Array => new TextEncoder().encode(s);
    const lists: (readonly ExtraKey[] | null)[] = [
      null,
      ["a"],
      ["b"],
      [""],
      ["", ""],
      ["a", "b"],
      ["b", "a"],
      ["ab"],
      ["a", ""],
      [text("a")],
      [text("ab")],
      [new Uint8Array(0)],
      [0],
      [1],
      [-1],
      ["0"],
      ["1"],
      [2 ** 53 - 1],
      [["a", 0]],
      [["a", 1]],
      [["a", -1]],
      [["", 0]],
      ["a", 0],
      ["a", 1],
      [["a", 0], "b"],
      ["b", ["a", 0]],
      ["é"],
      ["\ud800"],
      ["\ufffd"],
    ];
    expect(new Set(lists.map((list) => one(list))).size).toBe(lists.length);
  });

  test("has another key for any change of tokens, parent, extra keys, block size or chain key", () => {
    const base = chain.hashTokens([1, 2, 3, 4, 5, 6, 7, 8]);
    const others = [
      chain.hashTokens([1, 2, 3, 5, 5, 6, 7, 8]),
      chain.hashTokens([1, 2, 3, 4, 5, 6, 8, 7]),
      chain.hashTokens([1, 2, 3, 4, 5, 6, 7, 8 + 65536]),
      chain.hashTokens([5, 6, 7, 8, 5, 6, 7, 8]),
      chain.hashTokens([1, 2, 3, 4, 5, 6, 7, 8], { extraKeys: [["s"], null] }),
      hashing.tokenChain({ blockSize: 8, key: KEY }).hashTokens([1, 2, 3, 4, 5, 6, 7, 8]),
      hashing.tokenChain({ blockSize: 4, key: new Uint8Array(8) }).hashTokens([1, 2, 3, 4, 5, 6, 7, 8]),
      hashing.tokenChain({ blockSize: 4 }).hashTokens([1, 2, 3, 4, 5, 6, 7, 8]),
      hashing.tokenChain({ blockSize: 4 }).hashTokens([1, 2, 3, 4, 5, 6, 7, 8]),
      chain.hashTokens([5, 6, 7, 8]),
    ];
    const last = [base, ...others].map((digests) => hex(digests.subarray(-8)));
    expect(new Set(last).size).toBe(last.length);
  });

  test("gives different keys to different random blocks and equal keys to equal ones", () => {
    const extra = fc.option(
      fc.array(
        fc.oneof(
          fc.string({ maxLength: 3 }),
          fc.integer({ min: -3, max: 3 }),
          fc.uint8Array({ maxLength: 3 }),
          fc.tuple(fc.string({ maxLength: 2 }), fc.integer({ min: -2, max: 2 })),
        ),
        { minLength: 1, maxLength: 3 },
      ),
    );
    const tokens = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 4, maxLength: 4 });
    const seen = new Map<string, string>();
    fc.assert(
      fc.property(extra, tokens, (keys, ids) => {
        const content = JSON.stringify([
          keys?.map((k) => (k instanceof Uint8Array ? { bytes: hex(k) } : k)),
          ids,
        ]);
        const key = one(keys, ids);
        expect(seen.get(key) ?? content).toBe(content);
        expect(one(keys, ids)).toBe(key);
        seen.set(key, content);
      }),
      { numRuns: 2000 },
    );
    expect(seen.size).toBeGreaterThan(500);
  });

  test("a key of -0 is 0", () => {
    expect(one([-0])).toBe(one([0]));
  });

  test("hashes an event's keys as digests do, from any parent, with extra keys and without", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 0, max: 1200 }),
        fc.nat(39),
        fc.option(fc.tuple(fc.nat(0xffffffff), fc.nat(0xffffffff))),
        fc.boolean(),
        (blockSize, blocks, more, parent, salted) => {
          const keyed = hashing.tokenChain({ blockSize, key: KEY });
          const tokens = Uint32Array.from({ length: blocks * blockSize + more }, (_, i) =>
            Math.imul(i + more, 0x9e3779b1),
          );
          const extraKeys = salted
            ? Array.from({ length: blocks }, (_, i) => (i === 0 ? ["s"] : null))
            : undefined;
          const digest = new Uint8Array(8);
          const view = new DataView(digest.buffer);
          view.setUint32(0, parent?.[0] ?? 0);
          view.setUint32(4, parent?.[1] ?? blockSize);
          const head = tokens.subarray(0, blocks * blockSize);
          const out = new Uint32Array(2 * blocks + 2);
          keyed.hashKeys(tokens, blocks, parent, out, extraKeys);
          expect([...out.subarray(0, 2 * blocks)]).toEqual([
            ...keyed.toKeys(keyed.hashTokens(head, { parent: digest, extraKeys })),
          ]);
          expect([...out.subarray(2 * blocks)]).toEqual([0, 0]);
        },
      ),
      { numRuns: 60 },
    );
  });
});
