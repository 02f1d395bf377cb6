/** Law 11: a long prompt is looked up in slices of the event loop's turns, and to the same scores as in one go. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { Indexer, type IndexerOptions, type PodScores } from "kvblock";
import type { PromptHasher } from "kvblock/pool";
import { removedFrame, storedFrame } from "kvblock/testing";
import { afterEach, describe, expect, it, vi } from "vitest";
import { BlockIndex } from "../../src/block-index/block-index.js";
import { PlanHasher } from "../../src/hash-plan.js";
import { seeded } from "../support/random.js";

const model = "base";
const BLOCKS = 2048;
const OF = { model, blockSize: 16, seed: "0" } as const;
/** A look at the clock takes this long; a slice of two milliseconds ends after as many stretches as fit. */
const LOOK_MS = 0.4;
const PER_SLICE = 6;
const MODES: [string, IndexerOptions["hash"]][] = [
  ["exact", { mode: "exact", algorithm: "sha256_cbor", seed: "0" }],
  ["own keys", { mode: "tokens" }],
];

afterEach(() => vi.restoreAllMocks());

/** A pool's answers, made here. */
async function hasher() {
  const plans = await PlanHasher.load();
  const hashPrompt = vi.fn<PromptHasher["hashPrompt"]>(async (tokens, plan) => ({
    tokens,
    request: plan.request,
    lists: plans.hash(tokens, structuredClone(plan)),
  }));
  return { hashPrompt, diagnose: () => [] } satisfies PromptHasher;
}

async function indexerOf(hash: IndexerOptions["hash"], pool?: PromptHasher): Promise<Indexer> {
  return Indexer.create({ onDiagnostic: null, clock: () => 0, hash, pool: pool ?? (await hasher()) });
}

function tokensOf(seed: number): Uint32Array {
  const random = seeded(seed);
  return Uint32Array.from({ length: BLOCKS * 16 + 1 }, () => Math.floor(random() * 50_000));
}

/** Pods that hold a prompt to different depths, in two tiers, with holes, or from a history that is not whole. */
function holdersOf(indexer: Indexer, tokens: Uint32Array, group = "pod"): void {
  for (let pod = 0; pod < 12; pod++) {
    const of = { ...OF, pod: `${group}-${pod}`, tokens: tokens.slice(0, tokens.length - pod * 1600) };
    // The fourth of each four was joined late.
    const first = pod % 4 === 3 ? 100 : 0;
    indexer.apply(storedFrame({ ...of, seq: first, fromBlock: first === 0 ? 0 : 40 }));
    if (pod % 4 === 1) indexer.apply(storedFrame({ ...of, seq: 1, fromBlock: 7, medium: "CPU" }));
    if (pod % 4 === 2) indexer.apply(removedFrame({ ...of, seq: 1, fromBlock: 1000 }));
  }
}

function slowClock(): void {
  let now = 0;
  vi.spyOn(performance, "now").mockImplementation(() => (now += LOOK_MS));
}

/** Turns of the event loop until the scores are there, and what is done in each before the lookup's own. */
async function turnsUntil(
  scores: Promise<PodScores>,
  inEach: (turn: number) => void = () => {},
): Promise<number> {
  let done = false;
  const end = scores.finally(() => (done = true));
  let turns = 0;
  for (; !done; turns++) {
    inEach(turns);
    await nextTurn();
  }
  await end;
  return turns;
}

describe.each(MODES)("a long prompt, %s", (_, hash) => {
  it("is looked up a little in each turn, and to the scores of a lookup in one go", async () => {
    const indexer = await indexerOf(hash);
    const tokens = tokensOf(1);
    holdersOf(indexer, tokens);
    const whole = [...indexer.scoreTokens(tokens, { model })];
    expect(whole[0]).toMatchObject({ pod: "pod-0", blocks: BLOCKS });
    slowClock();
    const looks = vi.spyOn(BlockIndex.prototype, "lookup");
    const scores = indexer.scorePrompt(tokens, { model });
    let most = 0;
    let before = 0;
    const turns = await turnsUntil(scores, () => {
      most = Math.max(most, looks.mock.calls.length - before);
      before = looks.mock.calls.length;
    });
    expect([...(await scores)]).toEqual(whole);
    expect(looks.mock.calls.length).toBeGreaterThan(20);
    expect(most).toBeLessThanOrEqual(PER_SLICE);
    expect(turns).toBeGreaterThanOrEqual(looks.mock.calls.length / PER_SLICE);
    expect(indexer.stats().lookups).toBe(2);
  });

  it("lets others look up in between, each to its own scores", async () => {
    const indexer = await indexerOf(hash);
    const prompts = [1, 2, 3].map(tokensOf);
    for (const [i, tokens] of prompts.entries()) holdersOf(indexer, tokens, `group-${i}`);
    const whole = prompts.map((tokens) => [...indexer.scoreTokens(tokens, { model })]);
    slowClock();
    const all = Promise.all(prompts.map((tokens) => indexer.scorePrompt(tokens, { model })));
    let between = 0;
    await turnsUntil(
      all.then(([first]) => first!),
      (turn) => {
        const i = turn % prompts.length;
        expect([...indexer.scoreTokens(prompts[i]!, { model })]).toEqual(whole[i]);
        between++;
      },
    );
    expect(between).toBeGreaterThan(10);
    for (const [i, scores] of (await all).entries()) expect([...scores]).toEqual(whole[i]);
  });

  it("takes nothing for the same as the last that others met: pods that end where a slice does", async () => {
    const indexer = await indexerOf(hash);
    const tokens = tokensOf(1);
    indexer.apply(storedFrame({ ...OF, pod: "whole", tokens }));
    // Stretches of 8, 16, 32, 64, … blocks end at 24 more than a multiple of 32.
    for (let part = 0; part < 40; part++)
      indexer.apply(
        storedFrame({ ...OF, pod: `part-${part}`, tokens: tokens.slice(0, (24 + part * 32) * 16) }),
      );
    const whole = [...indexer.scoreTokens(tokens, { model })];
    slowClock();
    const looks = vi.spyOn(BlockIndex.prototype, "lookup");
    const scores = indexer.scorePrompt(tokens, { model });
    await turnsUntil(scores, () => {
      const [keys, , first = 0] = looks.mock.calls.at(-1) ?? [];
      const next = first + (keys?.length ?? 0) / 2;
      // Its last block is the one that the walk goes on with.
      indexer.scoreTokens(tokens.slice(0, (next + 1) * 16 + 1), { model, pods: ["whole"] });
    });
    expect([...(await scores)]).toEqual(whole);
  });

  it("is asked again where meanwhile a tier is new or a pod is removed; a pod that is new is left out", async () => {
    for (const change of ["tier", "removed", "joined"]) {
      const indexer = await indexerOf(hash);
      const tokens = tokensOf(1);
      holdersOf(indexer, tokens);
      slowClock();
      const scores = indexer.scorePrompt(tokens, { model });
      await turnsUntil(scores, (turn) => {
        if (turn !== 3) return;
        const stored = { ...OF, pod: "pod-0", tokens, seq: 1, fromBlock: 0 };
        if (change === "tier") indexer.apply(storedFrame({ ...stored, medium: "STORAGE" }));
        if (change === "removed") indexer.removePod("pod-1");
        if (change === "joined") indexer.apply(storedFrame({ ...stored, pod: "new", seq: 0 }));
      });
      const now = [...indexer.scoreTokens(tokens, { model })];
      expect([...(await scores)]).toEqual(change === "joined" ? now.filter(({ pod }) => pod !== "new") : now);
      expect(now.some(({ pod }) => pod === "new")).toBe(change === "joined");
      vi.restoreAllMocks();
    }
  });

  it("ends with the signal's reason, and with the indexer's end", async () => {
    const indexer = await indexerOf(hash);
    const tokens = tokensOf(1);
    holdersOf(indexer, tokens);
    slowClock();
    const left = new AbortController();
    const scores = indexer.scorePrompt(tokens, { model, signal: left.signal });
    const ended = expect(scores).rejects.toThrow("left");
    await nextTurn();
    left.abort(new Error("left"));
    await ended;
    const late = indexer.scorePrompt(tokens, { model });
    const closed = expect(late).rejects.toThrow("closed");
    await nextTurn();
    await indexer.close();
    await closed;
  });
});

describe("what is hashed of it", () => {
  const [, exact] = MODES[0]!;

  it("is asked of the pool where it is long, held and not known, and remembered", async () => {
    const pool = await hasher();
    const indexer = await indexerOf(exact, pool);
    const tokens = tokensOf(1);
    holdersOf(indexer, tokens);
    const first = [...(await indexer.scorePrompt(tokens, { model }))];
    expect(pool.hashPrompt).toHaveBeenCalledTimes(1);
    const [rest, { lists }] = pool.hashPrompt.mock.calls[0]!;
    expect(rest.length).toBeLessThan(tokens.length - 256 * 16);
    expect(rest).toEqual(tokens.slice(tokens.length - 1 - rest.length, -1));
    expect(lists).toMatchObject([{ parent: expect.any(Uint8Array) }]);
    expect([...(await indexer.scorePrompt(tokens, { model }))]).toEqual(first);
    expect(pool.hashPrompt).toHaveBeenCalledTimes(1);
    expect([...indexer.scoreTokens(tokens, { model })]).toEqual(first);
  });

  it("is not where nobody holds it, under a cheap chain, with extra keys in each block, or without threads", async () => {
    const pool = await hasher();
    const told = async (hash: IndexerOptions["hash"], request = {}, options = {}): Promise<void> => {
      const indexer = await indexerOf(hash, Object.assign(pool, { isInline: undefined }, options));
      const tokens = tokensOf(1);
      holdersOf(indexer, tokens);
      const scores = await indexer.scorePrompt(tokens, { model, ...request });
      expect([...scores]).toEqual([...indexer.scoreTokens(tokens, { model, ...request })]);
    };
    await told({ mode: "tokens" });
    await told(exact, { loraName: "adapter" });
    await told(exact, { cacheSalt: "tenant", pods: ["pod-0", "pod-1", "pod-2"] });
    await told(exact, {}, { isInline: true });
    expect(pool.hashPrompt).not.toHaveBeenCalled();
    await told(exact);
    expect(pool.hashPrompt).toHaveBeenCalledTimes(1);
  });

  it("is an error where the pool is of another version", async () => {
    const pool: PromptHasher = {
      hashPrompt: async (tokens, { request }) => ({ tokens, request, lists: [] }),
      diagnose: () => [],
    };
    const indexer = await indexerOf(exact, pool);
    const tokens = tokensOf(1);
    holdersOf(indexer, tokens);
    await expect(indexer.scorePrompt(tokens, { model })).rejects.toMatchObject({
      code: "ERR_KVBLOCK_WORKER",
    });
  });
});
