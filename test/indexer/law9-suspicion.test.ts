/** Law 9: suspicion ends when the cache has turned over since the gap; what was lost in it is not claimed any more. */
import { Indexer, type IndexerOptions } from "kvblock";
import { describe, expect, it } from "vitest";
import type { CacheRequest } from "../../examples/engine/block-manager.js";
import { seeded } from "../support/random.js";
import { EngineLink } from "./engine-link.js";
import { chain, exact, frame, indexerOf, removed, stored } from "./frames.js";
import { runTraffic } from "./traffic.js";

const BLOCKS = 400;
const MODES: readonly [string, IndexerOptions["hash"]][] = [
  ["exact", { mode: "exact", algorithm: "sha256_cbor", seed: "0" }],
  ["tokens", { mode: "tokens" }],
];

/** In blocks, over many lookups. Hot: of new questions under system prompts that are never evicted. */
interface Seen {
  reusable: number;
  seen: number;
  claimedBeyond: number;
  hot: number;
  hotSeen: number;
}

/**
 * One engine under a few system prompts that are asked again and again, conversations that go on for a while, and
 * questions that never come back: its cache turns over while the system prompts stay.
 */
async function scene(hash: IndexerOptions["hash"], seed: number) {
  const random = seeded(seed);
  const upTo = (n: number): number => Math.floor(random() * (n + 1));
  const indexer = await Indexer.create({ hash, onDiagnostic: null });
  const link = await EngineLink.start({ seed: "0", numBlocks: BLOCKS });
  let token = 10_000;
  const fresh = (n: number): number[] => Array.from({ length: n }, () => token++);
  const system = (n: number): number[] => Array.from({ length: 24 }, (_, i) => 100 * n + i);
  const asked: CacheRequest[] = [];
  const ask = (): CacheRequest => {
    const old = random() < 0.3 ? asked.at(-1 - upTo(9)) : undefined;
    const tokens =
      old === undefined ? [...system(upTo(3)), ...fresh(3 + upTo(20))] : [...old.tokens, ...fresh(upTo(8))];
    return { tokens };
  };
  const look = (request: CacheRequest): readonly [claimed: number, reusable: number] => [
    indexer.scoreTokens(request.tokens, { model: link.model }).get(link.pod)?.blocks ?? 0,
    link.peek(request),
  ];
  let blocks = 0;
  return {
    indexer,
    status: () => indexer.pods()[0]!,
    /** Serve requests until the engine has stored so many times its capacity. */
    serve(turns: number, hears: (frame: number) => boolean = () => true): void {
      for (const until = blocks + turns * BLOCKS; blocks < until; ) {
        const request = ask();
        asked.push(request);
        link.serve(request);
        const events = link.cache.takeEvents();
        for (const event of events) if (event.type === "BlockStored") blocks += event.blockHashes.length;
        if (events.length === 0) continue;
        const frame = link.frameOf(events);
        if (hears(Number(frame.seq))) indexer.apply(frame);
      }
    },
    /** Compare what is claimed of all that was ever asked with what the engine would reuse. */
    look(): Seen {
      const sum: Seen = { reusable: 0, seen: 0, claimedBeyond: 0, hot: 0, hotSeen: 0 };
      for (const request of asked) {
        const [claimed, reusable] = look(request);
        sum.reusable += reusable;
        sum.seen += Math.min(claimed, reusable);
        sum.claimedBeyond += Math.max(0, claimed - reusable);
      }
      for (let n = 0; n <= 3; n++) {
        const [claimed, reusable] = look({ tokens: [...system(n), 1, 2, 3, 4] });
        sum.hot += reusable;
        sum.hotSeen += Math.min(claimed, reusable);
      }
      return sum;
    },
  };
}

describe.each(MODES)("%s mode: a cache that turns over", (_mode, hash) => {
  it.each([0.1, 0.5, 2])(
    "ends what a gap of %f turns made doubtful, and keeps what is in use",
    async (lost) => {
      const { serve, look, status, indexer } = await scene(hash, 7);
      serve(3);
      expect(look()).toMatchObject({ claimedBeyond: 0 });
      expect(status()).toMatchObject({ state: "live", complete: true });
      serve(lost, () => false);
      serve(0.5);
      // Removals that were lost are claimed, and said to be doubtful.
      expect(look().claimedBeyond).toBeGreaterThan(0);
      expect(status()).toMatchObject({ state: "partial", complete: false });
      expect(indexer.diagnose().map(({ code }) => code)).toContain("sequence-gap");
      serve(1.2);
      for (let turns = 0; turns < 2; turns += 0.25) {
        const { reusable, seen, claimedBeyond, hot, hotSeen } = look();
        expect(claimedBeyond).toBe(0);
        expect(seen / reusable).toBeGreaterThan(0.99);
        expect(hotSeen / hot).toBe(1);
        // As after a late join: nothing is doubtful, and something may be missing.
        expect(status()).toMatchObject({ state: "live", complete: false });
        serve(0.25);
      }
      expect(indexer.diagnose().map(({ code }) => code)).not.toContain("sequence-gap");
    },
    30_000,
  );

  it("bounds what is claimed beyond where frames are lost all the time", async () => {
    const { serve, look } = await scene(hash, 8);
    serve(3);
    let beyond = 0;
    let reusable = 0;
    for (let turns = 0; turns < 6; turns += 0.5) {
      serve(0.5, (seq) => seq % 20 !== 0);
      const seen = look();
      beyond += seen.claimedBeyond;
      reusable += seen.reusable;
      expect(seen.seen / seen.reusable).toBeGreaterThan(0.95);
      expect(seen.hotSeen / seen.hot).toBeGreaterThan(0.9);
    }
    expect(beyond / reusable).toBeLessThan(0.02);
  }, 30_000);
});

it.each(MODES)(
  "%s mode: under random traffic and losses, a pod that is live claims nothing beyond",
  async (_mode, hash) => {
    let live = 0;
    for (let seed = 1; seed <= 3; seed++) {
      const indexer = await Indexer.create({ hash, onDiagnostic: null });
      const link = await EngineLink.start({ seed: "0", numBlocks: 60 });
      const random = seeded(7 * seed);
      let losing = 0;
      runTraffic(indexer, [link], {
        seed,
        steps: 1000,
        deliver: (frame) => {
          if (losing > 0) losing--;
          else if (random() < 0.004) losing = 1 + Math.floor(random() * 30);
          else indexer.apply(frame);
        },
        check: ({ state, complete, blocks }, reusable, where) => {
          if (losing > 0 || state !== "live") return;
          if (!complete) live++;
          if (blocks > reusable) expect.fail(`${where}: claimed ${blocks} of ${reusable}`);
        },
      });
    }
    expect(live).toBeGreaterThan(1000);
  },
  30_000,
);

describe("suspicion", () => {
  const one = chain();
  const hash = exact(one);
  const prompt = [...one.tokens, 1];
  const root = (n: number): Record<string, unknown> =>
    stored({ ...one, hashes: [(BigInt(n) * 0x9e3779b97f4a7c15n) % 2n ** 64n] }, 0, 1);

  it("does not end while the cache has room: nothing that was there can have gone", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)], { seq: 0 }));
    indexer.apply(
      frame(
        Array.from({ length: 500 }, (_, n) => root(n + 1)),
        { seq: 2 },
      ),
    );
    expect(indexer.scoreTokens(prompt, { model: "base" }).get("pod-a")).toMatchObject({
      blocks: 6,
      suspect: 6,
      state: "partial",
    });
  });

  it("does not end for one removal of a known block among many unknown: that is no full cache", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)], { seq: 50 }));
    const unknown = Array.from({ length: 40 }, (_, n) => BigInt(n + 1));
    indexer.apply(frame([removed([...unknown, one.hashes[5]!])], { seq: 51 }));
    indexer.apply(
      frame(
        Array.from({ length: 100 }, (_, n) => root(n + 1)),
        { seq: 53 },
      ),
    );
    expect(indexer.pods()[0]).toMatchObject({ state: "partial" });
  });

  it("ends tier by tier: a gap is over when nothing suspect is left on any", async () => {
    const { indexer } = await indexerOf({ hash });
    const turn = (from: number, medium: string): Record<string, unknown>[] =>
      [0, 1, 2, 3].flatMap((n) => [
        removed([BigInt.asUintN(64, BigInt(from + n) * 0x9e3779b97f4a7c15n)], { medium }),
        { ...root(from + n + 4), medium },
      ]);
    const first = (medium: string): Record<string, unknown>[] =>
      [1, 2, 3, 4].map((n) => ({ ...root(n), medium }));
    indexer.apply(
      frame([...first("GPU"), ...first("CPU"), ...turn(1, "GPU"), ...turn(1, "CPU")], { seq: 0 }),
    );
    indexer.apply(frame(turn(5, "GPU"), { seq: 2 }));
    expect(indexer.pods()[0]).toMatchObject({ state: "partial", blocks: { gpu: 4, cpu: 4 } });
    indexer.apply(frame(turn(5, "CPU"), { seq: 3 }));
    expect(indexer.pods()[0]).toMatchObject({ state: "live", complete: false, gaps: 1 });
    const codes = (): string[] => indexer.diagnose().map(({ code }) => code);
    expect(codes()).not.toContain("sequence-gap");
    // A new gap is told anew.
    indexer.apply(frame(turn(9, "GPU"), { seq: 5 }));
    expect(indexer.pods()[0]).toMatchObject({ state: "partial", gaps: 2 });
    expect(codes()).toContain("sequence-gap");
  });
});
