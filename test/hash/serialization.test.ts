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
const PARENT = Uint8Array.from({ length: 32 }, (_, i) => 0x20 + i);

/** The rows that are too long for the file, by their description there. */
const LONG: Record<string, [Uint8Array, number[], PlainValue]> = {
  frame_cross_64KiB: [PARENT, Array.from({ length: 14000 }, (_, i) => 100000 + i), null],
  frame_exact_min_tail: [PARENT, new Array<number>(13100).fill(100000), ["z".repeat(40)]],
  str_65536: [PARENT, [1], ["s".repeat(65536)]],
};

function valueOf(row: Row): PlainValue {
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
  test("pickle: 29 of 30 values byte for byte, the other under its own name", async () => {
    const pickle = new PickleFormat();
    const digest = await xxh3();
    let passed = 0;
    for (const row of rows) {
      if (row.name === "identity_same_object") continue; // one object twice: no engine's keys are (see below)
      const bytes = pickle.value(valueOf(row));
      if (row.pickle_hex !== null) expect(hex(bytes), row.name).toBe(row.pickle_hex);
      expect(sha256(bytes), row.name).toBe(row.pickle_sha256);
      expect(digest(bytes), row.name).toBe(row.pickle_xxh3_128);
      passed++;
    }
    expect(passed).toBe(29);
  });

  test("pickle: equal strings are written twice, as separate objects are, not as one object would be", () => {
    const row = rows.find((r) => r.name === "identity_same_object")!;
    const twice = rows.find((r) => r.name === "identity_equal_objects")!;
    expect(row.value).toEqual(twice.value);
    expect(hex(new PickleFormat().value(valueOf(row)))).toBe(twice.pickle_hex);
  });

  test("canonical CBOR: all 30 values byte for byte", async () => {
    const cbor = new CborFormat();
    const digest = await xxh3();
    let passed = 0;
    for (const row of rows) {
      const bytes = cbor.value(valueOf(row));
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
      const [parent, tokens, extra] = valueOf(row) as [Uint8Array | bigint, (number | bigint)[], PlainValue];
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

// Made with CPython 3.11's pickle.dumps(value, protocol=5) and cbor2.dumps(value, canonical=True).
describe("what the vectors leave out, from CPython", () => {
  const pickles: [string, PlainValue, string][] = [
    [
      "the empty string is one object",
      ["x".repeat(2), "", ""],
      "8005950d000000000000008c027878948c0094680187942e",
    ],
    [
      "a one-character Latin-1 string beyond ASCII too",
      ["é", "é"],
      "8005950a000000000000008c02c3a994680086942e",
    ],
    [
      "one character beyond Latin-1 is written twice",
      ["ā", "ā"],
      "8005950d000000000000008c02c481948c02c4819486942e",
    ],
    [
      "bytes of length 0 and 1 are one object each",
      [Uint8Array.of(9), Uint8Array.of(9), new Uint8Array(0), new Uint8Array(0)],
      "8005951100000000000000284301099443010994430094680274942e",
    ],
    ["a lone surrogate passes", ["\ud800x"], "8005950a000000000000008c04eda080789485942e"],
    [
      "the integers around every width",
      [-1, -256, -2147483648, -2147483649, 2147483648, -1099511627776, -128n, -32769n],
      "8005953300000000000000284affffffff4a00ffffff4a000000808a05ffffff7fff8a0500000080008a060000000000ff4a80ffffff4aff7fffff74942e",
    ],
  ];
  test.each(pickles)("pickle: %s", (_, value, expected) => {
    expect(hex(new PickleFormat().value(value))).toBe(expected);
  });

  const cbors: [string, PlainValue, string][] = [];
  test.each(cbors)("CBOR: %s", (_, value, expected) => {
    expect(hex(new CborFormat().value(value))).toBe(expected);
  });
});
