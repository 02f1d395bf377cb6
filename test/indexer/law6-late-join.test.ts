/** Law 6: in exact mode a router that joined late sees what stored children prove, and nothing more. */
import { Indexer } from "kvblock";
import { describe, expect, it } from "vitest";
import { EngineLink } from "./engine-link.js";
import { blocksOf, chain, exact, frame, indexerOf, removed, stored } from "./frames.js";
import { type Mix, runOrphanTraffic } from "./orphan-traffic.js";
import { runTraffic } from "./traffic.js";

const one = chain();
const prompt = [...one.tokens, 1];
const hash = exact(one);

const scoreOf = (indexer: Indexer) => indexer.scoreTokens(prompt, { model: "base" }).get("pod-a");

describe("a late joiner in exact mode", () => {
  it("a stored child implies its parent and, by the lookup, all above it", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 4, 5)], { seq: 100 }));
    expect(scoreOf(indexer)).toMatchObject({ blocks: 5, implied: 4, complete: false, state: "live" });
  });

  it("what lies behind the last held block is not implied", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 2, 3)], { seq: 100 }));
    expect(scoreOf(indexer)).toMatchObject({ blocks: 3, implied: 2 });
  });

  it("a removal that was seen ends the run, though a later block is held", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 4, 5)], { seq: 100 }));
    indexer.apply(frame([removed([one.hashes[1]!])], { seq: 101 }));
    expect(scoreOf(indexer)).toMatchObject({ blocks: 0 });
  });

  it("a removal of the implied parent takes it", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 4, 5)], { seq: 100 }));
    indexer.apply(frame([removed([one.hashes[4]!]), removed([one.hashes[3]!])], { seq: 101 }));
    expect(scoreOf(indexer)).toMatchObject({ blocks: 0 });
    indexer.apply(frame([stored(one, 3, 4)], { seq: 102 }));
    expect(scoreOf(indexer)).toMatchObject({ blocks: 4, implied: 3 });
  });

  it("a block stored after its removal was seen is there again", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 4, 5), removed([one.hashes[0]!])], { seq: 100 }));
    expect(scoreOf(indexer)!.blocks).toBe(0);
    indexer.apply(frame([stored(one, 0, 1)], { seq: 101 }));
    expect(scoreOf(indexer)).toMatchObject({ blocks: 5, implied: 3 });
  });

  it("what a slower tier holds proves nothing about the engine's own", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(
      frame([stored(one, 4, 5, { medium: "CPU" }), stored(one, 5, 6, { medium: "CPU" })], { seq: 9 }),
    );
    // A publisher whose block size only the slower tier has shown; nothing of the GPU is known.
    expect(scoreOf(indexer)!.blocks).toBe(0);
  });

  it("with complete history nothing is implied", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 4, 5)], { seq: 0 }));
    expect(scoreOf(indexer)).toMatchObject({ blocks: 0, implied: 0, complete: true });
  });

  it("a late joiner of one pod does not open the others' runs", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one, 4, 5)], { seq: 100 }));
    indexer.apply(frame([stored(one, 4, 5)], { pod: "pod-b" }));
    expect([blocksOf(indexer, prompt), blocksOf(indexer, prompt, "pod-b")]).toEqual([5, 0]);
  });

  it.each([1, 2, 3])(
    "under random traffic (seed %i) it claims nothing that the engine would not reuse",
    async (seed) => {
      const indexer = await Indexer.create({
        hash: { mode: "exact", algorithm: "sha256_cbor", seed: "0" },
        onDiagnostic: null,
      });
      const links = await Promise.all(
        ["pod-a", "pod-b"].map((pod) => EngineLink.start({ pod, seed: "0", numBlocks: 28 })),
      );
      let dropped = 0;
      let seen = 0;
      let implied = 0;
      let reusable = 0;
      let claimed = 0;
      runTraffic(indexer, links, {
        seed: 60 + seed,
        steps: 500,
        // The first frames of each engine were published before the router came.
        deliver: (one) => (one.seq < 25n ? dropped++ : indexer.apply(one)),
        check: (predicted, truth, where) => {
          if (predicted.blocks > truth) expect.fail(`${where}: claimed ${predicted.blocks} of ${truth}`);
          expect(predicted.complete).toBe(false);
          seen++;
          implied += predicted.implied;
          reusable += truth;
          claimed += predicted.blocks;
        },
      });
      expect(dropped).toBe(50);
      expect(seen).toBeGreaterThan(1000);
      expect(implied).toBeGreaterThan(50);
      // Copies that were never announced and are removed one by one end runs early: that is the price of no over-claim.
      expect(claimed / reusable).toBeGreaterThan(0.45);
    },
  );
});

describe("a late joiner of engines whose hashing is known, after one cache turnover and without replay", () => {
  it.each([
    ["system prompts", { systems: 1 }],
    ["chats", { chats: 1 }],
    ["documents under different system prompts", { documents: 1 }],
    ["tenants of equal prompts", { tenants: 1 }],
    ["everything", { systems: 1, chats: 2, documents: 1, tenants: 1 }],
  ] as [string, Mix][])(
    "%s: sees what is reusable, and claims nothing to speak of beyond it",
    async (_, mix) => {
      const sum = { reusable: 0, seen: 0, overClaimed: 0, requests: 0 };
      for (const seed of [1, 2]) {
        const hash = { mode: "exact", algorithm: "sha256_cbor", seed: "0" } as const;
        const { reached, indexer } = await runOrphanTraffic({
          seed,
          mix,
          requests: 200,
          hash,
          link: { seed: "0" },
        });
        for (const key of ["reusable", "seen", "overClaimed", "requests"] as const) sum[key] += reached[key];
        await indexer.close();
      }
      expect(sum.seen / sum.reusable).toBeGreaterThanOrEqual(0.97);
      expect(sum.overClaimed / sum.reusable).toBeLessThanOrEqual(0.002);
    },
  );
});

describe("a late joiner in tokens mode", () => {
  it.each([1, 2, 3])(
    "under random traffic (seed %i) it claims nothing that the engine would not reuse",
    async (seed) => {
      const indexer = await Indexer.create({ hash: { mode: "tokens" }, onDiagnostic: null });
      const link = await EngineLink.start({ numBlocks: 24 });
      let matched = 0;
      runTraffic(indexer, [link], {
        seed: 80 + seed,
        steps: 600,
        deliver: (one) => {
          if (one.seq >= 10n) indexer.apply(one);
        },
        check: (predicted, truth, where) => {
          if (predicted.blocks > truth) expect.fail(`${where}: claimed ${predicted.blocks} of ${truth}`);
          matched += predicted.blocks;
        },
      });
      expect(indexer.stats().skips["parked"]).toBeGreaterThan(0);
      expect(matched).toBeGreaterThan(500);
    },
  );
});
