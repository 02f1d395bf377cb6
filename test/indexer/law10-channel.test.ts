/** Law 10: the one channel: told once, counted after; JSON; never token ids or prompt text. */
import { type Diagnostic, Indexer } from "kvblock";
import { afterEach, describe, expect, it, vi } from "vitest";
import { chain, cleared, frame, indexerOf, stored } from "./frames.js";

const one = chain();

afterEach(() => {
  vi.restoreAllMocks();
});

/** Something of every kind that goes wrong by itself. */
function provoke(indexer: Indexer): void {
  indexer.apply({ ...frame([stored(one)]), topic: "" });
  indexer.apply(frame([stored(one, 3, 6)], { seq: 7 }));
  indexer.apply(frame([stored(one), { type: "BlockStored" }], { seq: 9 }));
  indexer.apply(frame([cleared], { seq: 0, ts: 9000 }));
  indexer.scoreTokens([173_148, 215_074], { model: "other" });
  indexer.scoreTokens([173_148, 215_074], { model: "base", pods: ["nobody"] });
}

describe("the notice channel", () => {
  it("tells each finding once, and counts it after that", async () => {
    const { indexer, codes } = await indexerOf({ hash: { mode: "tokens" } });
    for (let i = 0; i < 4; i++) indexer.apply({ ...frame([stored(one)]), topic: "" });
    expect(codes()).toEqual(["topic-unusable"]);
    expect(indexer.diagnose()).toMatchObject([{ code: "topic-unusable", count: 4 }]);
  });

  it("tells again what has become worse", async () => {
    const { indexer, told } = await indexerOf({ hash: { mode: "tokens" } });
    const bad = { type: "BlockStored" };
    for (const [seq, event] of [
      { type: "Unheard" },
      { type: "Unheard" },
      bad,
      bad,
      { type: "Unheard" },
    ].entries())
      indexer.apply(frame([event], { seq }));
    expect(told.map(({ code, severity, count }) => [code, severity, count])).toEqual([
      ["events-skipped", "info", 1],
      ["events-skipped", "warning", 3],
    ]);
  });

  it("tells of each pod and rank by itself", async () => {
    const { indexer, told } = await indexerOf({ hash: { mode: "tokens" } });
    for (const pod of ["pod-a", "pod-b"])
      for (const rank of [0, 1]) indexer.apply(frame([stored(one)], { pod, rank, seq: 3 }));
    expect(told.map(({ code, pod, dataParallelRank }) => [code, pod, dataParallelRank])).toEqual([
      ["joined-late", "pod-a", 0],
      ["joined-late", "pod-a", 1],
      ["joined-late", "pod-b", 0],
      ["joined-late", "pod-b", 1],
    ]);
  });

  it("null silences it, and diagnose() still knows", async () => {
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const indexer = await Indexer.create({ onDiagnostic: null });
    provoke(indexer);
    expect(warn).not.toHaveBeenCalled();
    expect(indexer.diagnose().length).toBeGreaterThan(2);
  });

  it("unset, it is a process warning with a stable code", async () => {
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const indexer = await Indexer.create();
    for (let i = 0; i < 3; i++) indexer.apply({ ...frame([stored(one)]), topic: "" });
    expect(warn.mock.calls).toEqual([
      [
        expect.stringContaining("name no pod and model"),
        { type: "KvBlockDiagnostic", code: "KVBLOCK_TOPIC_UNUSABLE", detail: "error" },
      ],
    ]);
  });

  it("a callback that throws harms neither the frame nor the lookup", async () => {
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const indexer = await Indexer.create({
      hash: { mode: "tokens" },
      onDiagnostic: () => {
        throw new Error("logger is down");
      },
    });
    indexer.apply(frame([stored(one)], { seq: 5 }));
    expect(indexer.scoreTokens([...one.tokens, 1], { model: "base" }).best?.blocks).toBe(6);
    expect(() => indexer.scoreTokens([1], { model: "never" })).not.toThrow();
    expect(warn.mock.calls.map(([message]) => String(message))).toEqual([
      "onDiagnostic threw: Error: logger is down",
      "onDiagnostic threw: Error: logger is down",
    ]);
  });

  it("what it says survives JSON, and what diagnose() lists is what was told last", async () => {
    const { indexer, told } = await indexerOf({ hash: { mode: "tokens" } });
    provoke(indexer);
    for (const list of [told, indexer.diagnose()]) expect(JSON.parse(JSON.stringify(list))).toEqual(list);
    expect(new Set(told.map(({ code }) => code)).size).toBeGreaterThan(4);
    for (const { message, fix, severity } of told) {
      expect(message).toMatch(/\.$/);
      expect(fix).toMatch(/\.$/);
      expect(["info", "warning", "error"]).toContain(severity);
    }
  });

  it("never shows token ids, salts or adapters' prompts", async () => {
    const marks = [173_148, 215_074, 170_886, 136_408];
    const { indexer, told } = await indexerOf({ blockSize: 32 });
    provoke(indexer);
    const odd = stored(one, 0, 1, { token_ids: ["secret prompt text"], extra_keys: [["tenant secret"]] });
    indexer.apply(frame([odd, stored(one, 0, 1, { token_ids: [...marks, -1] })], { seq: 1, ts: 9001 }));
    const all = JSON.stringify([told, indexer.diagnose(), indexer.pods(), indexer.stats()]);
    for (const mark of [...marks.map(String), "secret"]) expect(all).not.toContain(mark);
  });

  it("cannot be flooded: distinct findings are bounded", async () => {
    const told: Diagnostic[] = [];
    const indexer = await Indexer.create({ hash: { mode: "tokens" }, onDiagnostic: (one) => told.push(one) });
    indexer.apply(frame([stored(one)]));
    for (let i = 0; i < 3000; i++) indexer.scoreTokens([1, 2, 3], { model: `model ${i}` });
    expect(told.length).toBe(indexer.diagnose().length);
    expect(told.length).toBeLessThanOrEqual(1000);
  });

  it("removePod forgets what stood about the pod", async () => {
    const { indexer } = await indexerOf({ hash: { mode: "tokens" } });
    indexer.apply(frame([stored(one)], { seq: 5 }));
    indexer.apply(frame([stored(one)], { pod: "pod-b", seq: 5 }));
    indexer.removePod("pod-a");
    expect(indexer.diagnose().map(({ pod }) => pod)).toEqual(["pod-b"]);
  });
});
