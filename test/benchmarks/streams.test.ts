import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Indexer } from "kvblock";
import { decodeEventBatch, readRecording } from "kvblock/events";
import { afterAll, describe, expect, it } from "vitest";
import { descriptionOf } from "../../benchmarks/record.js";
import { root } from "../../benchmarks/run/root.js";
import { loadStream, record } from "../../benchmarks/workload/load.js";
import { readTrace, traced } from "../../benchmarks/workload/mooncake.js";
import { HASH_SEED, MODEL } from "../../benchmarks/workload/stream.js";

const folder = mkdtempSync(join(tmpdir(), "kvblock-streams-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** The committed streams, as their page says that they were made. */
const committed = [
  ...readFileSync(`${root}benchmarks/streams/README.md`, "utf8").matchAll(/^\| `(\S+)` \|.*\| `(.*)` \|$/gm),
].map(([, file, words]) => ({ file: file!, words: words!.split(" ") }));

const trace = (rows: readonly object[]): string => {
  const path = join(folder, "trace.jsonl");
  writeFileSync(path, rows.map((row) => JSON.stringify(row)).join("\n"));
  return path;
};

describe("recorded streams", () => {
  it("are two", () => {
    expect(committed.map(({ file }) => file)).toEqual(["chats.kvrec", "chats-arrays.kvrec"]);
  });

  for (const { file, words } of committed)
    it(`makes ${file} again, byte for byte`, async () => {
      const path = join(folder, file);
      await record(descriptionOf([path, ...words]).description, path, () => {});
      expect(readFileSync(path).equals(readFileSync(`${root}benchmarks/streams/${file}`))).toBe(true);
    });

  for (const { file } of committed)
    it(`follows ${file} to full caches, without a doubt`, async () => {
      const path = `${root}benchmarks/streams/${file}`;
      const diagnostics: string[] = [];
      await using indexer = await Indexer.create({
        hash: { mode: "auto", seeds: [HASH_SEED] },
        onDiagnostic: ({ code }) => void diagnostics.push(code),
      });
      await indexer.applyAll(readRecording(path));
      await indexer.settled();
      expect(diagnostics).toEqual([]);
      expect(indexer.pods()).toHaveLength(4);
      for (const pod of indexer.pods())
        expect(pod).toMatchObject({ model: MODEL, state: "live", complete: true, mode: "exact", gaps: 0 });
      expect(indexer.stats().evictions).toBeGreaterThan(100);
      const { totalOperations, events } = await loadStream(path, () => {});
      expect(totalOperations).toBeGreaterThan(1000);
      expect(events).toBeGreaterThan(100);
    });

  it("go on from prefixes that are cached: hardly any event stores a prompt's beginning", async () => {
    const { frames } = await loadStream(`${root}benchmarks/streams/chats.kvrec`, () => {});
    const stored = frames
      .flatMap(({ payload }) => decodeEventBatch(payload).events)
      .filter((event) => event.type === "BlockStored");
    const roots = stored.filter(({ parentKey }) => parentKey === null);
    expect(roots.length).toBeGreaterThan(0);
    expect(roots.length / stored.length).toBeLessThan(0.2);
  });
});

describe("Mooncake traces", () => {
  it("give equal prefixes to equal hash ids, and the lengths of their rows", () => {
    const rows = readTrace(
      trace([
        { timestamp: 0, input_length: 1100, output_length: 5, hash_ids: [0, 1, 2] },
        { timestamp: 9, input_length: 1030, output_length: 7, hash_ids: [0, 1, 3] },
      ]),
    );
    const [first, second] = [...traced(rows, 1, 4)];
    expect([first!.prompt.length, first!.output.length]).toEqual([1100, 5]);
    expect([second!.prompt.length, second!.output.length]).toEqual([1030, 7]);
    expect(second!.prompt.subarray(0, 1024)).toEqual(first!.prompt.subarray(0, 1024));
    expect(second!.prompt.subarray(1024)).not.toEqual(first!.prompt.subarray(1024, 1030));
  });

  it("are refused at the line that is no request", () => {
    for (const row of [null, { input_length: -1 }, { input_length: 600, output_length: 1, hash_ids: [1] }])
      expect(() =>
        readTrace(trace([{ input_length: 1, output_length: 1, hash_ids: [0] }, row as object])),
      ).toThrow("trace.jsonl:2 is no request of a Mooncake trace");
  });

  it("become recordings that an indexer follows", async () => {
    const rows = Array.from({ length: 40 }, (_, i) => ({
      input_length: 1024,
      output_length: 40,
      hash_ids: [0, 1 + (i % 20)],
    }));
    const path = join(folder, "traced.kvrec");
    const words = [path, "--trace", trace(rows), "--pods", "2", "--pool", "512", "--stored", "100000"];
    await record(descriptionOf(words).description, path, () => {});
    await using indexer = await Indexer.create({ hash: { mode: "tokens" }, onDiagnostic: null });
    await indexer.applyAll(readRecording(path));
    expect(indexer.pods().map(({ state, complete }) => [state, complete])).toEqual([
      ["live", true],
      ["live", true],
    ]);
    const { prompt } = [...traced(readTrace(trace(rows.slice(0, 1))), 42, 2)][0]!;
    // The system prompt, block 0 of the trace, was stored by both.
    const scores = [...indexer.scoreTokens(prompt, { model: MODEL })];
    expect(scores.map(({ blocks }) => blocks >= 32)).toEqual([true, true]);
  });
});

describe("npm run record", () => {
  it("refuses what it does not know", () => {
    expect(() => descriptionOf([])).toThrow("expected one file");
    expect(() => descriptionOf(["x", "--era", "Z9"])).toThrow("--era expected one of");
    expect(() => descriptionOf(["x", "--pods", "many"])).toThrow("expected numbers");
    expect(() => descriptionOf(["x", "--nonsense"])).toThrow();
  });
});
