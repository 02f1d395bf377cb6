/** The bytes that are hashed, against CPython's pickle and cbor2: every row of serialization.json. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { CborFormat } from "../../src/hash/cbor.js";
import type { PlainValue } from "../../src/hash/format.js";
import { PickleFormat } from "../../src/hash/pickle.js";
import { loadXxh3 } from "../../src/hash/xxh3.js";
import { extraKeysOf, hex, type JsonKey, readVectors, unhex } from "./vectors.js";

interface Row {
  name: string;
  value: [{ bytes: string } | string, string[], JsonKey[] | null] | null;
  pickle_hex: string | null;
  pickle_sha256: string;
  cbor_hex: string | null;
  cbor_sha256: string;
  pickle_xxh3_128: string;
  cbor_xxh3_128: string;
}

const { rows } = readVectors<{ rows: Row[] }>("serialization");
const AB = Uint8Array.of(0x61, 0x62);
const PARENT = Uint8Array.from({ length: 32 }, (_, i) => 0x20 + i);

/** The rows that are too long for the file, by their description there. */
const LONG: Record<string, [Uint8Array, number[], PlainValue]> = {
  frame_cross_64KiB: [PARENT, Array.from({ length: 14000 }, (_, i) => 100000 + i), null],
  frame_exact_min_tail: [PARENT, new Array<number>(13100).fill(100000), ["z".repeat(40)]],
  str_65536: [PARENT, [1], ["s".repeat(65536)]],
};

function pythonValue(row: Row): PlainValue {
  if (row.value === null) return LONG[row.name]!;
  const [parent, tokens, extra] = row.value;
  const first = typeof parent === "string" ? BigInt(parent) : unhex(parent.bytes);
  return [first, tokens.map(BigInt), extraKeysOf(extra)];
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

async function xxh3(): Promise<(bytes: Uint8Array) => string> {
  const digest = await loadXxh3();
  return (bytes: Uint8Array): string => {
    const out = new Uint8Array(16);
    digest(bytes, out, 0);
    return hex(out);
  };
}

describe("serialization.json", () => {
  test("pickle: 28 of 30 values byte for byte, the other two by name below", async () => {
    const pickle = new PickleFormat();
    const digest = await xxh3();
    let passed = 0;
    for (const row of rows) {
      if (row.name === "identity_same_object" || row.name === "identity_one_char_interned") continue;
      const bytes = pickle.value(pythonValue(row));
      if (row.pickle_hex !== null) expect(hex(bytes), row.name).toBe(row.pickle_hex);
      expect(sha256(bytes), row.name).toBe(row.pickle_sha256);
      expect(digest(bytes), row.name).toBe(row.pickle_xxh3_128);
      passed++;
    }
    expect(passed).toBe(28);
  });

  test("identity_same_object: equal strings are written twice, as the separate objects they are in an engine", () => {
    const row = rows.find((r) => r.name === "identity_same_object")!;
    const twice = rows.find((r) => r.name === "identity_equal_objects")!;
    expect(row.value).toEqual(twice.value);
    expect(hex(new PickleFormat().value(pythonValue(row)))).toBe(twice.pickle_hex);
  });

  // The row pairs a literal of the generator's source with chr(97). In CPython 3.11 those are two objects for some
  // letters, so it shows the string twice. Strings that are decoded at run time, as an engine's are, are one object in
  // every version (the CPython rows below); then the second is a reference to memo entry 2.
  test("identity_one_char_interned: a one-character string is a reference the second time", () => {
    const row = rows.find((r) => r.name === "identity_one_char_interned")!;
    const [head, tail] = row.pickle_hex!.split("8c0161948c016194");
    const expected = `${head!.replace("8005953b", "80059539")}8c0161946802${tail}`;
    expect(hex(new PickleFormat().value(pythonValue(row)))).toBe(expected);
  });

  test("canonical CBOR: all 30 values byte for byte", async () => {
    const cbor = new CborFormat();
    const digest = await xxh3();
    let passed = 0;
    for (const row of rows) {
      const bytes = cbor.value(pythonValue(row));
      if (row.cbor_hex !== null) expect(hex(bytes), row.name).toBe(row.cbor_hex);
      expect(sha256(bytes), row.name).toBe(row.cbor_sha256);
      expect(digest(bytes), row.name).toBe(row.cbor_xxh3_128);
      passed++;
    }
    expect(passed).toBe(30);
  });

  test("the quick path for a block writes what the general one does, wherever tokens are u32", () => {
    let passed = 0;
    for (const row of rows) {
      const [parent, tokens, extra] = pythonValue(row) as [
        Uint8Array | bigint,
        (number | bigint)[],
        PlainValue,
      ];
      if (typeof parent === "bigint" || tokens.some((token) => token > 0xffffffffn)) continue;
      const typed = Uint32Array.from(tokens, Number);
      for (const format of [new PickleFormat(), new CborFormat()]) {
        const expected = hex(format.value([parent, tokens, extra]));
        const bytes = format.block(parent, 0, parent.length, typed, 0, typed.length, extra as never);
        expect(hex(bytes), row.name).toBe(expected);
      }
      passed++;
    }
    expect(passed).toBe(26);
  });
});

// Each string decoded at run time; CPython 3.8.18, 3.9.18, 3.10.13, 3.11.2, 3.11.7, 3.12.1 and 3.13.0 agree.
describe("pickle.dumps(value, protocol=5), what the vectors leave out", () => {
  const short: [string, PlainValue, string][] = [
    ["one character decoded twice is one object", ["a", "a"], "80059509000000000000008c016194680086942e"],
    [
      "also beyond ASCII, and inside a tuple",
      ["é", ["é", 3], "é"],
      "80059510000000000000008c02c3a99468004b038694680087942e",
    ],
    ["also the empty string", ["", "", "xx"], "8005950d000000000000008c009468008c0278789487942e"],
    [
      "one character beyond Latin-1 is written twice",
      ["ā", "ā"],
      "8005950d000000000000008c02c481948c02c4819486942e",
    ],
    [
      "bytes of length 0 and 1 are one object each",
      [Uint8Array.of(9), Uint8Array.of(9), new Uint8Array(0), new Uint8Array(0), AB, AB],
      "80059519000000000000002843010994680043009468014302616294430261629474942e",
    ],
    ["a lone surrogate passes", ["\ud800x"], "8005950a000000000000008c04eda080789485942e"],
    [
      "the integers around every width",
      [-1, -256, -2147483648, -2147483649, 2147483648, -1099511627776, -128n, -32769n],
      "8005953300000000000000284affffffff4a00ffffff4a000000808a05ffffff7fff8a0500000080008a060000000000ff4a80ffffff4aff7fffff74942e",
    ],
  ];
  test.each(short)("%s", (_, value, expected) => {
    expect(hex(new PickleFormat().value(value))).toBe(expected);
  });

  const keys = Array.from({ length: 300 }, (_, i) => `k${i}`);
  const long: [string, PlainValue, string, number][] = [
    [
      "a reference beyond memo entry 255 is a long one",
      [...keys, "a", "a"],
      "d38908d09d1aaaf95fbe45b86c7c381fd678851b436819f59c39e2ed0b5de368",
      2014,
    ],
    [
      "str and bytes of 64 KiB stand between frames",
      [new Uint8Array(70000).fill(0x71), 5, "t".repeat(70000), ["u".repeat(65535), "v".repeat(65536)]],
      "193836f077e0e10937106f88f35e9dfba173a0f28ff1fd3aaa9a9c6436da436d",
      271123,
    ],
    [
      "a frame below 4 bytes has no header",
      ["u".repeat(65530), 1, 2, 3, [4], "t".repeat(70000), "t".repeat(70000)],
      "06911a1f92a43b5546f77bb6d72d1de416dadae04fa571d25d022cbaa2d6e91a",
      205591,
    ],
  ];
  test.each(long)("%s", (_, value, digest, length) => {
    const bytes = new PickleFormat().value(value);
    expect(bytes).toHaveLength(length);
    expect(sha256(bytes)).toBe(digest);
  });
});

describe("cbor2.dumps(value, canonical=True), what the vectors leave out", () => {
  test("integers around 53 and 64 bits (cbor2 6.3.0)", () => {
    const value = [
      4294967295,
      4294967296,
      -4294967297,
      2 ** 53,
      2n ** 56n - 1n,
      2n ** 64n - 1n,
      2n ** 64n,
      -(2n ** 64n),
      -(2n ** 64n) - 1n,
    ];
    expect(hex(new CborFormat().value(value))).toBe(
      "891affffffff1b00000001000000003b00000001000000001b00200000000000001b00ffffffffffffff1bffffffffffffffffc2490100000000000000003bffffffffffffffffc349010000000000000000",
    );
  });

  test("a parent in integer form is written as the integer, short or long, leading zeros dropped", () => {
    const parents = [
      "00",
      "17",
      "18",
      "ffff",
      "ffffffff",
      "0100000000",
      "00ff00000000000001",
      `01${"00".repeat(8)}`,
    ];
    for (const parent of parents)
      for (const bytes of [unhex(parent), unhex(parent.padStart(64, "0"))]) {
        const block = hex(new CborFormat(true).block(bytes, 0, bytes.length, new Uint32Array(1), 0, 1, null));
        expect(block).toBe(hex(new CborFormat().value([BigInt(`0x${parent}`), [0], null])));
      }
  });

  test("legacy parents of serialization.json are written in integer form", () => {
    let passed = 0;
    for (const row of rows.filter((r) => r.name.startsWith("legacy_"))) {
      const [parent, tokens] = pythonValue(row) as [bigint, bigint[]];
      const bytes = unhex(parent.toString(16).padStart(64, "0"));
      const typed = Uint32Array.from(tokens, Number);
      expect(hex(new CborFormat(true).block(bytes, 0, 32, typed, 0, 4, null))).toBe(row.cbor_hex);
      passed++;
    }
    expect(passed).toBe(3);
  });

  test("a lone surrogate is refused, as cbor2 refuses it", () => {
    expect(() => new CborFormat().value(["x\udc00"])).toThrow(RangeError);
    expect(hex(new CborFormat().value("🙂"))).toBe("64f09f9982");
  });
});
