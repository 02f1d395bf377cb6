/** Law 2: with complete history, the match reported for a pod equals what its engine would reuse, and is never more. */
import { Indexer } from "kvblock";
import { HASH_ALGORITHMS } from "kvblock/hash";
import { describe, expect, it } from "vitest";
import { WIRE_ERAS } from "../../examples/engine/wire.js";
import { EngineLink, type LinkOptions } from "./engine-link.js";
import { runTraffic, type TrafficOptions } from "./traffic.js";

const MODEL = "base";
const LORAS = { "sql-lora": 1, "chat-lora": 2 };
const KINDS = ["lora", "salt", "image"] as const;

/** Three engines (two pods, one of two ranks) under random traffic; every prediction must be the truth. */
async function expectTruth(
  options: Parameters<typeof Indexer.create>[0],
  link: LinkOptions,
  traffic: Partial<TrafficOptions> = {},
): Promise<Indexer> {
  const indexer = await Indexer.create({ onDiagnostic: null, ...options });
  const links = await Promise.all([
    EngineLink.start({ model: MODEL, pod: "pod-a", rank: 0, numBlocks: 20, loras: LORAS, ...link }),
    EngineLink.start({ model: MODEL, pod: "pod-a", rank: 1, numBlocks: 28, loras: LORAS, ...link }),
    EngineLink.start({ model: MODEL, pod: "pod-b", rank: 0, numBlocks: 24, loras: LORAS, ...link }),
  ]);
  let matched = 0;
  let compared = 0;
  runTraffic(indexer, links, {
    seed: 1,
    ...traffic,
    check: (predicted, reusable, where) => {
      if (predicted.state === "catching-up") {
        if (predicted.blocks !== 0) expect.fail(`${where}: claimed ${predicted.blocks} while catching up`);
        return;
      }
      const { blocks, complete, implied, suspect } = predicted;
      if (blocks !== reusable) expect.fail(`${where}: claimed ${blocks} of ${reusable}`);
      if (!complete || implied + suspect > 0) expect.fail(`${where}: ${JSON.stringify(predicted)}`);
      compared++;
      if (reusable > 0) matched++;
    },
  });
  expect(compared).toBeGreaterThan(1000);
  expect(matched).toBeGreaterThan(200);
  expect(indexer.stats().duplicates).toBeGreaterThan(3);
  expect(indexer.stats().evictions).toBeGreaterThan(30);
  return indexer;
}

describe("exact mode", () => {
  const plain = HASH_ALGORITHMS.filter((algorithm) => algorithm !== "sglang");

  it.each(plain)(
    "%s: equals what the engine reuses, with adapters, salts, images and restarts",
    async (algorithm) => {
      const hash = { mode: "exact", algorithm, seed: "0" } as const;
      await expectTruth({ hash }, { algorithm, seed: "0" }, { with: KINDS, restarts: true });
    },
  );

  it("sglang: equals what the engine reuses", async () => {
    const hash = { mode: "exact", algorithm: "sglang" } as const;
    await expectTruth({ hash }, { algorithm: "sglang" }, { restarts: true });
  });

  it.each(WIRE_ERAS)("wire %s: equals what the engine reuses", async (era) => {
    const hash = { mode: "exact", algorithm: "sha256", seed: "42" } as const;
    await expectTruth(
      { hash },
      { algorithm: "sha256", seed: "42", era },
      { seed: 2, with: KINDS, restarts: true },
    );
  });

  it("adapters hashed by integer id, as before v0.11.1, equal what the engine reuses", async () => {
    const hash = { mode: "exact", algorithm: "sha256", seed: "0" } as const;
    const models = { [MODEL]: { loras: LORAS } };
    const link = { algorithm: "sha256", seed: "0", era: "A2", hashesLoraId: true } as const;
    await expectTruth({ hash, models }, link, { seed: 11, with: ["lora"], restarts: true });
  });

  it("whole digests on the wire give the same answers as integers", async () => {
    const hash = { mode: "exact", algorithm: "xxhash", seed: "7" } as const;
    await expectTruth(
      { hash },
      { algorithm: "xxhash", seed: "7", intHashes: false },
      { seed: 3, with: KINDS },
    );
  });
});

describe("tokens mode", () => {
  it.each(WIRE_ERAS)("wire %s: plain prompts equal what the engine reuses", async (era) => {
    await expectTruth({ hash: { mode: "tokens" } }, { era }, { seed: 4, restarts: true });
  });

  it.each(["A4", "A5", "A6", "M1", "M2", "M3", "M4"] as const)(
    "wire %s: equals what the engine reuses, with adapters, salts and images",
    async (era) => {
      await expectTruth({ hash: { mode: "tokens" } }, { era }, { seed: 5, with: KINDS, restarts: true });
    },
  );

  it("wire A3: adapters by name equal what the engine reuses", async () => {
    await expectTruth({ hash: { mode: "tokens" } }, { era: "A3" }, { seed: 6, with: ["lora"] });
  });

  it.each(["A1", "A2"] as const)(
    "wire %s: adapters by configured id equal what the engine reuses",
    async (era) => {
      const models = { [MODEL]: { loras: LORAS } };
      await expectTruth({ hash: { mode: "tokens" }, models }, { era }, { seed: 7, with: ["lora"] });
    },
  );

  it("SGLang's pages equal what the engine reuses", async () => {
    await expectTruth({ hash: { mode: "tokens" } }, { algorithm: "sglang" }, { seed: 8, restarts: true });
  });
});

describe("auto mode", () => {
  it.each(["vllm-none-hash", "0"])(
    "a well-known seed (%s) settles exact and equals what the engine reuses",
    async (seed) => {
      const indexer = await expectTruth(
        {},
        { algorithm: "sha256", seed },
        { seed: 9, with: KINDS, restarts: true },
      );
      expect(indexer.pods().map(({ mode }) => mode)).toEqual(["exact", "exact", "exact"]);
    },
  );

  it("a random seed settles tokens and equals what the engine reuses", async () => {
    const indexer = await expectTruth({}, {}, { seed: 10, with: KINDS, steps: 800, restarts: true });
    expect(indexer.pods().map(({ mode }) => mode)).toContain("tokens");
  });
});
