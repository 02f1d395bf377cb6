/** The comparison with the peers rests on its workload file and on its table: both without the peers. */
import { beforeAll, describe, expect, it } from "vitest";
import { withSection } from "../../benchmarks/peers/docs.js";
import { agreementOf, type PeerFigures, type Results, resultLines } from "../../benchmarks/peers/results.js";
import { makeWorkload, type WorkloadDescription } from "../../benchmarks/peers/workload.js";
import {
  decodeWorkload,
  encodeWorkload,
  framesOf,
  operationsOf,
  podName,
  queriesOf,
  topicOf,
  type Workload,
} from "../../benchmarks/peers/workload-file.js";
import { Indexer } from "../../src/index.js";

const SMALL: WorkloadDescription = {
  seed: 1,
  pods: 3,
  blocksPerPod: 2048,
  storedBlocks: 8000,
  queryEvery: 2,
  longQueries: 2,
};

let workload: Workload;
beforeAll(async () => {
  workload = await makeWorkload(SMALL);
});

describe("the peers' workload", () => {
  it("comes out of its file as it went in", () => {
    const read = decodeWorkload(encodeWorkload(workload));
    const plain = (records: Workload["records"]): unknown =>
      records.map((record) =>
        record.kind === "frame" ? { ...record, payload: [...record.payload] } : record,
      );
    expect({ ...read, records: plain(read.records) }).toEqual({
      ...workload,
      records: plain(workload.records),
    });
  });

  it("is the same again from the same description", async () => {
    expect(encodeWorkload(await makeWorkload(SMALL)).equals(encodeWorkload(workload))).toBe(true);
  });

  it("evicts, and queries of every kind find what their kind says", () => {
    expect(framesOf(workload).some(({ removedBlocks }) => removedBlocks > 0)).toBe(true);
    expect(operationsOf(workload)).toBeGreaterThan(SMALL.storedBlocks);
    const best = (label: string): number[] =>
      queriesOf(workload)
        .filter((query) => query.label === label)
        .map(({ expected }) => Math.max(...expected));
    expect(new Set(best("new"))).toEqual(new Set([0]));
    expect(best("held").every((blocks) => blocks === 624)).toBe(true);
    expect(best("routed").some((blocks) => blocks >= 128)).toBe(true);
  });

  it.each([{ mode: "exact", algorithm: "sha256_cbor", seed: "0" }, { mode: "tokens" }] as const)(
    "expects what kvblock answers in $mode mode",
    async (hash) => {
      const { model } = workload;
      await using indexer = await Indexer.create({ hash, onDiagnostic: null });
      const seqs = new Array<number>(workload.pods).fill(0);
      const answers: number[] = [];
      for (const record of workload.records) {
        if (record.kind === "frame") {
          const { pod, payload } = record;
          const seq = BigInt(seqs[pod]!++);
          indexer.apply({ topic: topicOf(pod, model), seq, payload, receivedAt: 1 });
        } else {
          const scores = indexer.scoreTokens(record.tokens, { model });
          for (let pod = 0; pod < workload.pods; pod++) answers.push(scores.get(podName(pod))?.blocks ?? 0);
        }
      }
      expect(answers).toEqual(queriesOf(workload).flatMap(({ expected }) => [...expected]));
    },
  );

  it("is told from other and from cut files", () => {
    const bytes = encodeWorkload(workload);
    expect(() => decodeWorkload(Buffer.from("something else"))).toThrow("not a workload file");
    expect(() => decodeWorkload(bytes.subarray(0, bytes.length - 1))).toThrow("ends early");
  });
});

const figures = (factor: number): PeerFigures => ({
  oneCore: 2e6 / factor,
  allCores: 2e6 / factor,
  decode: 4e6 / factor,
  lookupP50: 10 * factor,
  lookupP99: 20 * factor,
  longNew: 5 * factor,
  longSystem: 50 * factor,
  longHeld: 200 * factor,
  visibleP50: 10 * factor,
  visibleP99: 90 * factor,
  bytesPerPair: 30 * factor,
});

const results: Results = {
  machine: "a machine",
  pinned: true,
  workload: {},
  visibleRate: 1,
  peers: [
    { id: "kvblock-exact", name: "kvblock", version: "1", figures: figures(1) },
    { id: "other", name: "Other", version: "2", figures: figures(4) },
  ].map((peer) => ({ ...peer, agreement: { queries: 3, equal: 1, lastTokenOnly: 1, different: 1 } })),
  skipped: [{ name: "Absent", reason: "no go on this machine" }],
};

describe("the peers' table", () => {
  it("has a ratio above 1 wherever kvblock is better, whichever way the figure counts", () => {
    const row = resultLines(results).find((line) => line.startsWith("| kvblock / Other"));
    expect(row).toBe(`| kvblock / Other |${" 4.00x |".repeat(10)}`);
  });

  it("names who was left out, and why", () => {
    expect(resultLines(results)).toContain("- Not compared: Absent (no go on this machine).");
  });

  it("tells a last token's block from a wrong answer", () => {
    const expected = [Uint32Array.of(2, 0), Uint32Array.of(1, 1), Uint32Array.of(1, 0)];
    const agreement = agreementOf(expected, [48, 32, 32], 16, Uint32Array.of(2, 0, 2, 1, 1, 1));
    expect(agreement).toEqual({ queries: 3, equal: 1, lastTokenOnly: 1, different: 1 });
  });

  it("takes the place between its markers alone", () => {
    const page = "before\n<!-- peers -->\nold\n<!-- /peers -->\nafter\n";
    const written = withSection(page, results);
    expect(written).toMatch(
      /^before\n<!-- peers -->\n\nMeasured on a machine\.[\s\S]*\n<!-- \/peers -->\nafter\n$/,
    );
    expect(written).not.toContain("old");
    expect(withSection(written, results)).toBe(written);
    expect(() => withSection("no markers", results)).toThrow("no <!-- peers -->");
  });
});
