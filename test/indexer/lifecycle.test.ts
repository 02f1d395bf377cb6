/** removePod, close, applyAll's signal: what ends, and how. */
import type { KvFrame } from "kvblock";
import { describe, expect, it, vi } from "vitest";
import { blocksOf, chain, exact, frame, indexerOf, stored } from "./frames.js";

const one = chain();
const prompt = [...one.tokens, 1];
const hash = exact(one);

/** A source that yields what it is given and then waits for ever; tells when it was let go. */
function endless(frames: readonly KvFrame[], onReturn = (): void => {}): AsyncIterable<KvFrame> {
  return {
    [Symbol.asyncIterator]() {
      let next = 0;
      return {
        next: () =>
          next < frames.length
            ? Promise.resolve({ done: false, value: frames[next++]! })
            : new Promise<IteratorResult<KvFrame>>(() => {}),
        return: () => {
          onReturn();
          return Promise.resolve({ done: true, value: undefined });
        },
      };
    },
  };
}

describe("removePod", () => {
  it("forgets all ranks and models of a pod at once, and nothing else", async () => {
    const { indexer } = await indexerOf({ hash });
    for (const rank of [0, 1]) indexer.apply(frame([stored(one)], { rank }));
    indexer.apply(frame([stored(one)], { model: "other" }));
    indexer.apply(frame([stored(one)], { pod: "pod-b" }));
    expect(indexer.removePod("pod-a")).toBe(true);
    expect(indexer.removePod("pod-a")).toBe(false);
    expect(indexer.pods().map(({ pod }) => pod)).toEqual(["pod-b"]);
    expect(indexer.scoreTokens(prompt, { model: "base" }).toJSON()).toEqual({ "pod-b": 6 });
    expect(indexer.stats().voided).toBe(18);
  });

  it("a pod that comes back begins anew, and its old entries stay void", async () => {
    const { indexer } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)], { seq: 7 }));
    indexer.removePod("pod-a");
    indexer.apply(frame([stored(one, 0, 1)], { seq: 0, pod: "pod-b" }));
    indexer.apply(frame([stored(one, 0, 2)], { seq: 0 }));
    expect(indexer.pods().find(({ pod }) => pod === "pod-a")).toMatchObject({
      complete: true,
      generation: 0,
    });
    expect([blocksOf(indexer, prompt), blocksOf(indexer, prompt, "pod-b")]).toEqual([2, 1]);
  });

  it("also while its hashing is not settled: its held frames go with it", async () => {
    const { indexer } = await indexerOf();
    const before = indexer.stats().memory.usedBytes;
    indexer.apply(frame([stored(one, 3, 6)]));
    expect(indexer.stats().memory.usedBytes).toBeGreaterThan(before);
    indexer.removePod("pod-a");
    indexer.scoreTokens(prompt, { model: "base" });
    expect(indexer.pods()).toEqual([]);
    expect(indexer.stats().memory.usedBytes).toBeLessThanOrEqual(before + 4096);
  });
});

describe("removePod and subscriptions", () => {
  it("closes those that were opened for that pod, and no other", async () => {
    const { indexer } = await indexerOf({ hash });
    const letGo: string[] = [];
    const open = (name: string, pod: string | undefined, frames: readonly KvFrame[]) =>
      indexer.subscribe({ source: endless(frames, () => letGo.push(name)), pod });
    const own = await open("own", "pod-a", [frame([stored(one)])]);
    const second = await open("second", "pod-a", []);
    const other = await open("other", "pod-b", [frame([stored(one, 0, 2)])]);
    const several = await open("several", undefined, [frame([stored(one, 0, 1)], { pod: "pod-c" })]);
    await indexer.settled();
    expect(indexer.removePod("pod-a")).toBe(true);
    expect(indexer.removePod("pod-a")).toBe(false);
    await Promise.all([own.ended, second.ended]);
    expect(letGo).toEqual(["own", "second"]);
    // A subscription to several pods stays, also where it has heard but one.
    expect(indexer.removePod("pod-c")).toBe(true);
    const open_ = await Promise.race([
      other.ended,
      several.ended,
      new Promise((go) => setTimeout(go, 20, "open")),
    ]);
    expect(open_).toBe("open");
    expect(indexer.pods().map(({ pod }) => pod)).toEqual(["pod-b"]);
    await indexer.close();
    expect(letGo.toSorted()).toEqual(["other", "own", "second", "several"]);
  });

  it("applies nothing of them any more, also what was on its way", async () => {
    const { indexer } = await indexerOf({ hash });
    let seq = 0;
    const source: AsyncIterable<KvFrame> = {
      [Symbol.asyncIterator]: () => ({
        next: () => Promise.resolve({ done: false, value: frame([stored(one, 0, 1)], { seq: seq++ }) }),
      }),
    };
    const subscription = await indexer.subscribe({ source, pod: "pod-a" });
    await vi.waitFor(() => expect(indexer.pods()).toHaveLength(1));
    indexer.removePod("pod-a");
    await subscription.ended;
    await new Promise((go) => setTimeout(go, 10));
    expect(indexer.pods()).toEqual([]);
  });

  it("closes one that has heard nothing yet, and what was wrong with it ends", async () => {
    const { indexer } = await indexerOf({ hash });
    const subscription = await indexer.subscribe({ source: endless([]), pod: "pod-a" });
    expect(indexer.removePod("pod-a")).toBe(true);
    await subscription.ended;
    expect(indexer.diagnose()).toEqual([]);
  });
});

describe("close", () => {
  it("is idempotent; after it frames are ignored and counted, and everything else throws", async () => {
    const { indexer } = await indexerOf({ hash, tokenizers: { base: { encode: () => [1, 2] } } });
    indexer.apply(frame([stored(one)]));
    await indexer.close();
    await indexer.close();
    indexer.apply(frame([stored(one)], { seq: 1 }));
    expect(indexer.stats()).toMatchObject({ frames: 1, skips: { closed: 1 } });
    const closed = { code: "ERR_KVBLOCK_CLOSED" };
    expect(() => indexer.scoreTokens(prompt, { model: "base" })).toThrow(expect.objectContaining(closed));
    await expect(indexer.scorePrompt("text", { model: "base" })).rejects.toMatchObject(closed);
    await expect(indexer.scoreChat([{ role: "user" }], { model: "base" })).rejects.toMatchObject(closed);
    await expect(indexer.applyAll([])).rejects.toMatchObject(closed);
    await expect(indexer.subscribe({ source: endless([]) })).rejects.toMatchObject(closed);
    // What it knew can still be read.
    expect(indexer.pods()).toHaveLength(1);
    expect(indexer.diagnose()).toEqual([]);
  });

  it("ends its subscriptions, also those whose source never yields again", async () => {
    const { indexer } = await indexerOf({ hash });
    const letGo = vi.fn();
    const subscription = await indexer.subscribe({ source: endless([frame([stored(one)])], letGo) });
    await indexer.settled();
    await indexer.close();
    await subscription.ended;
    expect(letGo).toHaveBeenCalledOnce();
    expect(indexer.pods()[0]!.state).toBe("stale");
  });

  it("await using closes it", async () => {
    const { indexer } = await indexerOf({ hash });
    await indexer[Symbol.asyncDispose]();
    expect(() => indexer.scoreTokens([1], { model: "base" })).toThrow("closed");
  });
});

describe("applyAll", () => {
  const frames = Array.from({ length: 6 }, (_, seq) => frame([stored(one, seq, seq + 1)], { seq }));

  it("applies iterables and async iterables in their order", async () => {
    const { indexer } = await indexerOf({ hash });
    await indexer.applyAll(frames.slice(0, 3));
    async function* rest(): AsyncGenerator<KvFrame> {
      yield* frames.slice(3);
    }
    await indexer.applyAll(rest());
    expect(blocksOf(indexer, prompt)).toBe(6);
    expect(indexer.pods()[0]).toMatchObject({ complete: true, frames: 6 });
  });

  it("rejects with what the source throws; what came before stays applied", async () => {
    const { indexer } = await indexerOf({ hash });
    function* broken(): Generator<KvFrame> {
      yield* frames.slice(0, 2);
      throw new Error("disk is gone");
    }
    await expect(indexer.applyAll(broken())).rejects.toThrow("disk is gone");
    expect(blocksOf(indexer, prompt)).toBe(2);
  });

  it("a signal ends it with its reason: before, between frames, and while it waits", async () => {
    const { indexer } = await indexerOf({ hash });
    const reason = new Error("enough");
    await expect(indexer.applyAll(frames, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(indexer.stats().frames).toBe(0);

    const between = new AbortController();
    async function* stopping(): AsyncGenerator<KvFrame> {
      yield frames[0]!;
      yield frames[1]!;
      between.abort(reason);
      yield frames[2]!;
    }
    await expect(indexer.applyAll(stopping(), { signal: between.signal })).rejects.toBe(reason);
    expect(indexer.stats().frames).toBe(2);

    const waiting = new AbortController();
    const letGo = vi.fn();
    const run = indexer.applyAll(endless(frames.slice(2, 4), letGo), { signal: waiting.signal });
    await vi.waitFor(() => expect(indexer.stats().frames).toBe(4));
    waiting.abort(reason);
    await expect(run).rejects.toBe(reason);
    expect(letGo).toHaveBeenCalledOnce();
    await indexer.settled();
  });
});
