/** The fast path is used once it agrees with the general implementation on a sample, and not otherwise. */
import type { Diagnostic } from "kvblock";
import { Indexer } from "kvblock";
import { createHuggingFaceTokenizer } from "kvblock/tokenize";
import { afterEach, describe, expect, it, vi } from "vitest";
import { byteLevelJson } from "./byte-level-json.js";
import { QWEN3 } from "./qwen3.js";

afterEach(() => {
  vi.doUnmock("../../src/tokenize/byte-level-encoder.js");
  vi.resetModules();
});

/** The general implementation joins tokens that it takes for unknown ones; here that is an ordinary letter. */
const disputed = byteLevelJson({ model: { unk_token: "a", fuse_unk: true } });

describe("a model that both encode alike", () => {
  it("is encoded by the fast path, with nothing to tell", async () => {
    expect((await createHuggingFaceTokenizer(QWEN3)).degraded).toBeUndefined();
  });

  it("is told of when the fast path errs in the last token of the sample alone", async () => {
    vi.resetModules();
    const real = await vi.importActual<typeof import("../../src/tokenize/byte-level-encoder.js")>(
      "../../src/tokenize/byte-level-encoder.js",
    );
    vi.doMock("../../src/tokenize/byte-level-encoder.js", () => ({
      ByteLevelEncoder: class extends real.ByteLevelEncoder {
        override encode(text: string): Uint32Array {
          const ids = super.encode(text);
          if (text.includes("antidisestablishmentarianism")) ids[ids.length - 1] = 0;
          return ids;
        }
      },
    }));
    const { createHuggingFaceTokenizer: create } = await import("../../src/tokenize/huggingface.js");
    const erring = await create(QWEN3);
    expect(erring.degraded).toMatch("disagree on sample text");
    const text = "antidisestablishmentarianism";
    expect(await erring.encode(text, {})).toEqual(
      await (await createHuggingFaceTokenizer(QWEN3)).encode(text, {}),
    );
  });
});

describe("a model that both encode differently", () => {
  it("is encoded by the general implementation, and the indexer says so once", async () => {
    const tokenizer = await createHuggingFaceTokenizer({ tokenizerJson: disputed });
    const general = await createHuggingFaceTokenizer({ tokenizerJson: disputed }, { fastPath: false });
    expect(tokenizer.degraded).toMatch("disagree");
    expect(general.degraded).toBeUndefined();
    expect(await tokenizer.encode("banana bread", {})).toEqual(await general.encode("banana bread", {}));

    const told: Diagnostic[] = [];
    const onDiagnostic = (diagnostic: Diagnostic): number => told.push(diagnostic);
    await using indexer = await Indexer.create({ blockSize: 16, tokenizers: { m: tokenizer }, onDiagnostic });
    await indexer.scorePrompt("banana", { model: "m" });
    await indexer.scorePrompt("bread", { model: "m" });
    expect(told.filter(({ code }) => code === "tokenizer-degraded")).toMatchObject([
      { model: "m", severity: "warning", evidence: { reason: tokenizer.degraded } },
    ]);
  });
});

describe("the code of a thread", () => {
  it("is run with the first model's sample, under other letters each time, and not again", async () => {
    vi.resetModules();
    const { warmUp } = await import("../../src/tokenize/warm-up.js");
    const texts: string[] = [];
    warmUp((text) => texts.push(text));
    // The alphabet comes round: the last are known again, as words of real texts are.
    expect(new Set(texts).size).toBe(1 + 26);
    // Past the first capacity of every buffer, so that each has grown.
    expect(Math.max(...texts.map(({ length }) => length))).toBeGreaterThan(2 * 4096);
    texts.length = 0;
    warmUp((text) => texts.push(text));
    expect(texts).toEqual([]);
  });
});
