/** Law 8: memory is bounded in bytes; what does not fit is dropped and told, and never makes an answer too large. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Indexer } from "kvblock";
import { describe, expect, it } from "vitest";
import { EngineLink } from "./engine-link.js";
import { blocksOf, chain, exact, frame, indexerOf, removed, stored } from "./frames.js";
import { runTraffic } from "./traffic.js";

/** Collect what can be, without the process having been started for it. */
function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
}

const LIMIT = 2 ** 20;
const one = chain();
const prompt = [...one.tokens, 1];

/** A store of blocks that nobody asks for: any hashes will do. */
const filler = (from: number, blocks: number): Record<string, unknown> => ({
  type: "BlockStored",
  block_hashes: Array.from(
    { length: blocks },
    (_, i) => (BigInt(from + i + 1) * 0x9e3779b97f4a7c15n) & (2n ** 64n - 1n),
  ),
  parent_block_hash: null,
  token_ids: Array.from({ length: blocks }, (_, i) => from + i),
  block_size: 1,
  lora_id: null,
  medium: "GPU",
});

describe("the memory limit", () => {
  it.each(["exact", "tokens", "auto"] as const)(
    "%s mode: holds at every moment, whatever arrives",
    async (mode) => {
      const hash = mode === "exact" ? exact(one) : { mode };
      const { indexer, codes } = await indexerOf({ hash, memoryLimitBytes: LIMIT });
      let most = 0;
      for (let seq = 0; seq < 400; seq++) {
        indexer.apply(frame([filler(seq * 500, 500)], { seq: Math.floor(seq / 3), pod: `pod-${seq % 3}` }));
        most = Math.max(most, indexer.stats().memory.usedBytes);
      }
      expect(most).toBeLessThanOrEqual(LIMIT);
      expect(most).toBeGreaterThan(LIMIT / 2);
      const { dropped, admissions, memory } = indexer.stats();
      expect(memory.limitBytes).toBe(LIMIT);
      expect(dropped).toBeGreaterThan(admissions / 2);
      expect(codes()).toContain("memory-limit");
      expect(indexer.pods().every(({ complete }) => !complete)).toBe(true);
    },
  );

  it("what lookups ask for stays, what nobody asks for goes", async () => {
    const { indexer } = await indexerOf({ hash: exact(one), memoryLimitBytes: LIMIT });
    indexer.apply(frame([stored(one)], { seq: 0 }));
    for (let seq = 1; seq < 300; seq++) {
      indexer.apply(frame([filler(seq * 400, 400)], { seq }));
      expect(blocksOf(indexer, prompt), `after ${seq} frames`).toBe(6);
    }
    expect(indexer.stats().dropped).toBeGreaterThan(20_000);
  });

  it("no pod is forgotten because a block has many holders", async () => {
    const { indexer } = await indexerOf({ hash: exact(one) });
    const pods = Array.from({ length: 300 }, (_, i) => `10.0.${i >> 8}.${i & 255}:8000`);
    for (const pod of pods)
      indexer.apply(frame([stored(one), stored(one, 0, 6, { medium: "CPU" })], { pod }));
    const scores = indexer.scoreTokens(prompt, { model: "base", pods });
    expect([...scores].filter(({ blocks }) => blocks === 6)).toHaveLength(300);
    expect(indexer.stats().dropped).toBe(0);
  });

  it.each([1, 2])("under random traffic (seed %i) at the limit nothing is over-counted", async (seed) => {
    const indexer = await Indexer.create({
      hash: { mode: "exact", algorithm: "sha256_cbor", seed: "0" },
      memoryLimitBytes: LIMIT,
      onDiagnostic: null,
    });
    const link = await EngineLink.start({ seed: "0", numBlocks: 40 });
    let number = 0;
    let matched = 0;
    runTraffic(indexer, [link], {
      seed: 40 + seed,
      steps: 300,
      deliver: (one) => {
        indexer.apply(one);
        // A noisy neighbour keeps the table full.
        indexer.apply(frame([filler(number * 1500, 1500)], { seq: number++, pod: "noisy" }));
      },
      check: (predicted, truth, where) => {
        if (predicted.blocks > truth) expect.fail(`${where}: claimed ${predicted.blocks} of ${truth}`);
        matched += predicted.blocks;
      },
    });
    expect(indexer.stats().dropped).toBeGreaterThan(1000);
    expect(matched).toBeGreaterThan(1000);
  });

  it("a long life on an older wire leaves room for blocks: handles of evicted ones are let go", async () => {
    const { indexer } = await indexerOf({ hash: { mode: "tokens" }, memoryLimitBytes: 2 * LIMIT });
    const array = (event: Record<string, unknown>): unknown[] => [
      "BlockStored",
      ...["block_hashes", "parent_block_hash", "token_ids", "block_size", "lora_id", "medium"].map(
        (name) => event[name],
      ),
    ];
    let seq = 0;
    for (let from = 0; from < 400_000; from += 1000) {
      const event = filler(from, 1000);
      indexer.apply(frame([array(event)], { seq: seq++ }));
      indexer.apply(frame([["BlockRemoved", event["block_hashes"], "GPU"]], { seq: seq++ }));
    }
    indexer.apply(frame([array(stored(one))], { pod: "pod-b" }));
    expect(indexer.stats().dropped).toBe(0);
    expect(indexer.pods().every(({ complete }) => complete)).toBe(true);
    expect(blocksOf(indexer, prompt, "pod-b")).toBe(6);
  });

  it("publishers count too: endless new pods are refused and told, and known ones live on", async () => {
    const { indexer, codes } = await indexerOf({ hash: exact(one), memoryLimitBytes: LIMIT });
    for (let i = 0; i < 2000; i++) indexer.apply(frame([stored(one, 0, 1)], { pod: `pod-${i}` }));
    expect(indexer.pods().length).toBeLessThan(400);
    expect(indexer.stats().skips["too-many-publishers"]).toBe(2000 - indexer.pods().length);
    expect(codes()).toContain("frame-rejected");
    indexer.apply(frame([stored(one, 1, 2)], { pod: "pod-0", seq: 1 }));
    expect(indexer.pods().find(({ pod }) => pod === "pod-0")!.frames).toBe(2);
    for (const { pod } of indexer.pods()) indexer.removePod(pod);
    indexer.apply(frame([stored(one)], { pod: "new" }));
    expect(blocksOf(indexer, prompt, "new")).toBe(6);
  });

  it("gap after gap does not use up the index: what has been suspect longest is given up", async () => {
    const { indexer } = await indexerOf({ hash: exact(one), memoryLimitBytes: LIMIT });
    const before = indexer.stats().memory.usedBytes;
    for (let gap = 0; gap < 5000; gap++)
      indexer.apply(frame([filler(gap * 4, 4), ...(gap % 50 === 0 ? [stored(one)] : [])], { seq: 2 * gap }));
    expect(indexer.pods()[0]).toMatchObject({ gaps: 4999, state: "partial" });
    expect(indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")).toMatchObject({
      blocks: 6,
      suspect: 6,
    });
    expect(indexer.pods()[0]!.blocks["gpu"]).toBeLessThan(600);
    expect(indexer.stats().memory.usedBytes).toBeLessThan(before + 700_000);
  });

  it("engines of few blocks that restart, are cleared and go, over and over, take no more with every life", async () => {
    const { indexer } = await indexerOf({ hash: exact(one), memoryLimitBytes: LIMIT });
    let most = 0;
    for (let life = 0; life < 6000; life++) {
      const pod = `pod-${life % 4}`;
      // A restart: the sequence begins again, with a newer batch time.
      indexer.apply(frame([filler(life, 1)], { pod, seq: 0, ts: 1e9 + life }));
      if (life % 3 === 0) indexer.apply(frame([["AllBlocksCleared"]], { pod, seq: 1, ts: 1e9 + life }));
      if (life % 50 === 0) indexer.removePod(pod);
      most = Math.max(most, indexer.stats().memory.usedBytes);
    }
    expect(indexer.pods()[0]!.restarts).toBeGreaterThan(10);
    expect(most).toBeLessThan(LIMIT / 2);
  });

  it("nothing of removed pods is left in the heap, however many come and go", async () => {
    const { indexer } = await indexerOf({ hash: { mode: "tokens" } });
    const comeAndGo = (from: number, pods: number): number => {
      for (let i = from; i < from + pods; i++) {
        indexer.apply(frame([stored(one)], { pod: `pod-${i}`, seq: 0 }));
        indexer.removePod(`pod-${i}`);
      }
      collectGarbage();
      return process.memoryUsage().heapUsed;
    };
    const before = comeAndGo(0, 500);
    // One takes 7 KB.
    expect(comeAndGo(500, 2000) - before).toBeLessThan(2000 * 1024);
  });

  it("memory of removed pods and removed blocks is used again", async () => {
    const { indexer } = await indexerOf({ hash: exact(one), memoryLimitBytes: LIMIT });
    for (let round = 0; round < 50; round++) {
      const pod = `pod-${round}`;
      indexer.apply(frame([filler(round * 4000, 4000)], { pod }));
      indexer.apply(
        frame([removed(filler(round * 4000, 2000)["block_hashes"] as bigint[])], { pod, seq: 1 }),
      );
      expect(indexer.removePod(pod)).toBe(true);
    }
    indexer.apply(frame([stored(one)], { pod: "last" }));
    expect(blocksOf(indexer, prompt, "last")).toBe(6);
    expect(indexer.pods()).toHaveLength(1);
  });
});
