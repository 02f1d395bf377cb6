/** Subscriptions to any async source of frames. */
import type { KvFrame } from "kvblock";
import { describe, expect, it } from "vitest";
import { chain, exact, frame, indexerOf, stored } from "./frames.js";

const one = chain();
const prompt = [...one.tokens, 1];
const hash = exact(one);

async function* of(...frames: KvFrame[]): AsyncGenerator<KvFrame> {
  yield* frames;
}

const anonymous = (seq: number, from: number, to: number): KvFrame => ({
  ...frame([stored(one, from, to)], { seq }),
  topic: "",
});

describe("a source", () => {
  it("is applied to its end, and ended resolves", async () => {
    const { indexer } = await indexerOf({ hash });
    const subscription = await indexer.subscribe({ source: of(frame([stored(one)])) });
    await subscription.ended;
    expect(indexer.scoreTokens(prompt, { model: "base" }).toJSON()).toEqual({ "pod-a": 6 });
    expect(subscription.endpoints).toEqual([]);
    expect(subscription.transport).toBeNull();
    await subscription.close();
  });

  it("pod and model name what the empty topic does not", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    const source = of(anonymous(0, 0, 3), anonymous(1, 3, 6));
    await (await indexer.subscribe({ source, pod: "10.0.0.7:8000", model: "base" })).ended;
    expect(indexer.scoreTokens(prompt, { model: "base" }).toJSON()).toEqual({ "10.0.0.7:8000": 6 });
    expect(codes()).toEqual([]);
  });

  it("pod and model go over the topic, and the frame's own go over both", async () => {
    const { indexer } = await indexerOf({ hash });
    const own = {
      ...frame([stored(one, 0, 1)], { seq: 0 }),
      pod: "own",
      model: "own-model",
      dataParallelRank: 4,
    };
    const source = of(frame([stored(one)], { seq: 0 }), own);
    await (await indexer.subscribe({ source, pod: "mine", model: "my-model" })).ended;
    expect(indexer.pods().map(({ pod, model, dataParallelRank }) => [pod, model, dataParallelRank])).toEqual([
      ["mine", "my-model", 0],
      ["own", "own-model", 4],
    ]);
  });

  it("onFrame gets each frame before it is applied, names filled in", async () => {
    const { indexer } = await indexerOf({ hash });
    const seen: [number, string | undefined, number][] = [];
    const onFrame = (frame: KvFrame): void => {
      seen.push([Number(frame.seq), frame.pod, indexer.stats().frames]);
    };
    await (
      await indexer.subscribe({
        source: of(anonymous(0, 0, 3), anonymous(1, 3, 6)),
        pod: "p",
        model: "base",
        onFrame,
      })
    ).ended;
    expect(seen).toEqual([
      [0, "p", 0],
      [1, "p", 1],
    ]);
  });

  it("what it throws ends the subscription: ended rejects, and it is told", async () => {
    const { indexer, told } = await indexerOf({ hash });
    async function* failing(): AsyncGenerator<KvFrame> {
      yield frame([stored(one)]);
      throw new Error("the bus is down");
    }
    const subscription = await indexer.subscribe({ source: failing() });
    await expect(subscription.ended).rejects.toThrow("the bus is down");
    expect(told).toMatchObject([{ code: "subscription-failed", severity: "error" }]);
    expect(told[0]!.message).toContain("the bus is down");
    await subscription.close();
  });

  it("a failure nobody awaits is no unhandled rejection", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    // biome-ignore lint/correctness/useYield: it fails before its first frame
    async function* failing(): AsyncGenerator<KvFrame> {
      throw new Error("gone");
    }
    await indexer.subscribe({ source: failing() });
    await indexer.settled();
    expect(codes()).toEqual(["subscription-failed"]);
  });

  it("a signal closes it", async () => {
    const { indexer } = await indexerOf({ hash });
    const controller = new AbortController();
    async function* endless(): AsyncGenerator<KvFrame> {
      yield frame([stored(one)]);
      await new Promise(() => {});
    }
    const subscription = await indexer.subscribe({ source: endless(), signal: controller.signal });
    await indexer.settled();
    controller.abort();
    await subscription.ended;
    expect(indexer.pods()[0]).toMatchObject({ state: "stale" });
    await expect(indexer.subscribe({ source: of(), signal: controller.signal })).rejects.toThrow("aborted");
  });

  it("closing while frames come applies nothing more", async () => {
    const { indexer } = await indexerOf({ hash });
    async function* steady(): AsyncGenerator<KvFrame> {
      for (let seq = 0; ; seq++) yield frame([stored(one, 0, 1)], { seq });
    }
    const subscription = await indexer.subscribe({ source: steady() });
    await new Promise((resolve) => setTimeout(resolve, 20));
    await subscription.close();
    const { frames } = indexer.stats();
    expect(frames).toBeGreaterThan(10);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(indexer.stats().frames).toBe(frames);
  });
});

describe("mistakes", () => {
  it.each([
    [{}, '"subscribe" expected either "endpoint" or "source"'],
    [{ endpoint: "tcp://127.0.0.1:1", source: of() }, '"subscribe" expected either "endpoint" or "source"'],
    [{ source: [frame([])] }, '"source" expected an async iterable of frames'],
    [{ source: of(), onframe: () => {} }, "did you mean onFrame?"],
    [{ source: of(), onFrame: "log" }, '"onFrame" expected function'],
    [{ source: of(), pod: "" }, '"pod" expected non-empty string'],
    [{ source: of(), model: 5 }, '"model" expected non-empty string'],
    [{ endpoint: "127.0.0.1:5557" }, "endpoint"],
    [{ endpoint: "tcp://127.0.0.1:5557", dataParallelSize: 0 }, "dataParallelSize"],
    [{ endpoints: ["tcp://127.0.0.1:5557"] }, "did you mean endpoint?"],
  ])("%o is refused", async (options, message) => {
    const { indexer } = await indexerOf();
    await expect(indexer.subscribe(options as never)).rejects.toThrow(message);
  });
});
