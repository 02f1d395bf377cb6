/** What tokenizers remember: exact, and bounded in bytes. */
import { createHuggingFaceTokenizer } from "kvblock/tokenize";
import { describe, expect, it } from "vitest";
import { PieceCache } from "../../src/tokenize/piece-cache.js";
import { SegmentMemo } from "../../src/tokenize/segment-memo.js";
import { TokenSink } from "../../src/tokenize/token-sink.js";
import { seeded } from "../support/random.js";
import { QWEN3 } from "./qwen3.js";

const units = (text: string): Uint16Array => Uint16Array.from(text, (unit) => unit.charCodeAt(0));

describe("the cache of pieces", () => {
  it("finds what was added, never another piece's tokens, in the same bytes whatever comes", () => {
    const cache = new PieceCache();
    const { bytes } = cache;
    const sink = new TokenSink();
    const random = seeded(7);
    // Pieces over few letters and all lengths: many more than there are entries, so that they displace each other.
    const idsOf = (text: string): number[] => [text.length, ...units(text).slice(0, 3)];
    let found = 0;
    for (let i = 0; i < 300_000; i++) {
      const length = 1 + Math.floor(random() * 8);
      const text = Array.from({ length }, () => "abcdeé日"[Math.floor(random() * 7)]).join("");
      const piece = units(text);
      if (cache.find(piece, 0, piece.length, sink)) {
        found++;
        expect([...sink.take()]).toEqual(idsOf(text));
      } else cache.add(piece, 0, piece.length, Uint32Array.from(idsOf(text)));
    }
    expect(found).toBeGreaterThan(50_000);
    expect(cache.bytes).toBe(bytes);
  });

  it("does not keep what has too many tokens for an entry", () => {
    const cache = new PieceCache();
    const piece = units("👍👍");
    expect(cache.find(piece, 0, piece.length, new TokenSink())).toBe(false);
    cache.add(piece, 0, piece.length, new Uint32Array(8));
    expect(cache.find(piece, 0, piece.length, new TokenSink())).toBe(false);
  });
});

describe("the memo of segments", () => {
  const text = (number: number): string => `${number} `.repeat(200);

  it("stays within its bytes, and forgets what was asked for least recently", () => {
    const memo = new SegmentMemo(100_000);
    const ids = new Uint32Array(400);
    for (let i = 0; i < 1000; i++) {
      memo.set(text(i), ids);
      memo.get(text(0));
      expect(memo.bytes).toBeLessThanOrEqual(100_000);
    }
    expect(memo.bytes).toBeGreaterThan(80_000);
    expect([memo.get(text(0)), memo.get(text(999)), memo.get(text(500))]).toEqual([ids, ids, undefined]);
  });

  it("of no bytes remembers nothing", () => {
    const memo = new SegmentMemo(0);
    memo.set(text(1), new Uint32Array(1));
    expect(memo.get(text(1))).toBeUndefined();
  });

  it("does not keep a segment that is larger than its bound", () => {
    const memo = new SegmentMemo(1000);
    memo.set(text(1), new Uint32Array(1000));
    expect([memo.get(text(1)), memo.bytes]).toEqual([undefined, 0]);
  });
});

describe("a chat that grows", () => {
  it("has the tokens of one that is encoded anew, at every turn", async () => {
    const remembering = await createHuggingFaceTokenizer(QWEN3);
    const forgetful = await createHuggingFaceTokenizer(QWEN3, { memoBytes: 0 });
    const stock = await createHuggingFaceTokenizer(QWEN3, { fastPath: false, memoBytes: 0 });
    const messages: { role: string; content: string }[] = [
      { role: "system", content: "Be brief. ".repeat(30) },
    ];
    for (let turn = 0; turn < 12; turn++) {
      messages.push({
        role: "user",
        content: `Question ${turn}: <|im_start|> naïve? ${"日本語 ".repeat(turn * 7)}`,
      });
      const tokens = await remembering.encodeChat!(messages, {});
      expect(tokens).toEqual(await forgetful.encodeChat!(messages, {}));
      expect(tokens).toEqual(await stock.encodeChat!(messages, {}));
      messages.push({ role: "assistant", content: `Answer ${turn}. ${"it's so; ".repeat(turn * 5)}` });
    }
  });

  it("hands out tokens that are the caller's to change", async () => {
    const tokenizer = await createHuggingFaceTokenizer(QWEN3);
    const prompt = `<|im_start|>${"a long segment ".repeat(20)}<|im_end|>`;
    const first = Uint32Array.from(await tokenizer.encode(prompt, {}));
    ((await tokenizer.encode(prompt, {})) as Uint32Array).fill(0);
    expect(await tokenizer.encode(prompt, {})).toEqual(first);
  });
});
