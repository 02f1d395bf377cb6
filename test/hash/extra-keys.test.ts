/** Which extra keys each block gets, against vLLM's rules restated in test/vectors/generate.py. */
import { blockExtraKeys, type ExtraKey, type ExtraKeysEra, type MultimodalItem } from "kvblock/hash";
import { describe, expect, test } from "vitest";
import { extraKeysOf, type JsonKey, readVectors } from "./vectors.js";

interface Row {
  name: string;
  prompt_tokens: number;
  total_tokens: number;
  block_size: number;
  mm: MultimodalItem[];
  lora_name: string | null;
  cache_salt: string | null;
  blocks: { extra_keys: JsonKey[] | null }[];
  blocks_v0_9_rule: { extra_keys: JsonKey[] | null }[];
}

const { cases } = readVectors<{ cases: Row[] }>("extra_keys");

function keysOf(row: Row, era?: Exclude<ExtraKeysEra, "tagged">): (readonly ExtraKey[] | null)[] {
  const request = {
    loraName: row.lora_name ?? undefined,
    cacheSalt: row.cache_salt ?? undefined,
    multimodal: row.mm,
    promptTokens: row.prompt_tokens,
  };
  return blockExtraKeys(request, row.total_tokens, row.block_size, era);
}

describe("extra_keys.json", () => {
  test("all 13 requests, 47 blocks, get vLLM's keys", () => {
    let blocks = 0;
    for (const row of cases) {
      expect(keysOf(row), row.name).toEqual(row.blocks.map((block) => extraKeysOf(block.extra_keys)));
      blocks += row.blocks.length;
    }
    expect([cases.length, blocks]).toEqual([13, 47]);
  });

  test("and under the rule of the bare identifiers too", () => {
    let blocks = 0;
    for (const row of cases) {
      const expected = row.blocks_v0_9_rule.map((block) => extraKeysOf(block.extra_keys));
      expect(keysOf(row, "identifiers"), row.name).toEqual(expected);
      blocks += expected.length;
    }
    expect(blocks).toBe(47);
  });
});

const item = (offset: number, length: number, id = "image"): MultimodalItem => ({ id, offset, length });

describe("blockExtraKeys", () => {
  test("hashes the LoRA id where an old engine has no name for it", () => {
    expect(blockExtraKeys({ loraId: 7 }, 32, 16)).toEqual([[7], [7]]);
    expect(blockExtraKeys({ loraId: 7, loraName: "sql-lora" }, 16, 16)).toEqual([["sql-lora"]]);
  });

  test("puts the prompt-embeds bytes last", () => {
    const embeds = [new Uint8Array(32), null];
    const request = { loraName: "l", cacheSalt: "s", multimodal: [item(0, 2)], promptEmbeds: embeds };
    expect(blockExtraKeys(request, 40, 16)).toEqual([["l", ["image", 0], "s", embeds[0]], ["l"]]);
  });

  test("gives one entry per full block, and none below one block", () => {
    expect(blockExtraKeys({}, 35, 16)).toEqual([null, null]);
    expect(blockExtraKeys({ cacheSalt: "s" }, 15, 16)).toEqual([]);
  });

  test("with bare identifiers, a generated block right after an item still lists it", () => {
    const request = { multimodal: [item(4, 12)], promptTokens: 20 };
    expect(blockExtraKeys(request, 48, 16, "identifiers")).toEqual([["image"], ["image"], null]);
    expect(blockExtraKeys(request, 48, 16, "offsets")).toEqual([[["image", 4]], null, null]);
  });

  test("takes a score request as it is", () => {
    const request = { model: "m", pods: ["a"], cacheSalt: "s" };
    expect(blockExtraKeys(request, 16, 16)).toEqual([["s"]]);
  });

  const bad: [string, () => unknown, ErrorConstructor, string][] = [
    ["an unknown field", () => blockExtraKeys({ salt: "s" } as object, 16, 16), TypeError, "salt"],
    [
      "a salt that is no string",
      () => blockExtraKeys({ cacheSalt: 1 as never }, 16, 16),
      TypeError,
      "cacheSalt",
    ],
    [
      "a salt that UTF-8 cannot encode",
      () => blockExtraKeys({ cacheSalt: "a\udc00" }, 16, 16),
      RangeError,
      '"cacheSalt" expected text that UTF-8 can encode, as vLLM must to hash it, got a lone surrogate at index 1',
    ],
    ["a negative count", () => blockExtraKeys({}, -1, 16), RangeError, "tokenCount"],
    ["a block size of 0", () => blockExtraKeys({}, 16, 0), RangeError, "blockSize"],
    ["an unknown era", () => blockExtraKeys({}, 16, 16, "offset" as never), TypeError, "offsets"],
    [
      "items out of order",
      () => blockExtraKeys({ multimodal: [item(9, 1), item(2, 1)] }, 16, 16),
      RangeError,
      "multimodal[1].offset",
    ],
    [
      "an item of no length",
      () => blockExtraKeys({ multimodal: [item(9, 0)] }, 16, 16),
      RangeError,
      "multimodal[0].length",
    ],
    [
      "an item without id",
      () => blockExtraKeys({ multimodal: [item(9, 1, "")] }, 16, 16),
      RangeError,
      "multimodal[0].id",
    ],
    [
      "embeds of another length",
      () => blockExtraKeys({ promptEmbeds: [] }, 16, 16),
      RangeError,
      "promptEmbeds",
    ],
    ["a fractional LoRA id", () => blockExtraKeys({ loraId: 1.5 }, 16, 16), RangeError, "loraId"],
  ];
  test.each(bad)("refuses %s", (_, call, kind, named) => {
    expect(call).toThrow(kind);
    expect(call).toThrow(named);
  });
});
