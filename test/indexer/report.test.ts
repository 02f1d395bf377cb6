/** `report`: everything that helps to find a fault in one object, and nothing that must not leave the house. */
import { readFileSync } from "node:fs";
import type { KvFrame, Tokenizer } from "kvblock";
import { describe, expect, it } from "vitest";
import { bindPublisher, closers, until } from "../events/sockets.js";
import { chain, exact, frame, indexerOf, stored } from "./frames.js";

const one = chain();
const prompt = [...one.tokens, 1];

describe("report", () => {
  it("bundles version, platform, options, subscriptions, pods, counts, diagnostics and memory, as JSON", async () => {
    const tokenizer: Tokenizer = { encode: () => [1, 2, 3] };
    const { indexer } = await indexerOf({
      hash: exact(one),
      clock: () => 5_000_000,
      models: { base: { aliases: ["b"], hash: { mode: "auto", seeds: ["7"] } } },
      tokenizers: { base: tokenizer },
      tierWeights: { gpu: 1 },
      memoryLimitBytes: 2 ** 22,
    });
    async function* source(): AsyncGenerator<KvFrame> {
      await new Promise(() => {});
    }
    await indexer.subscribe({ source: source(), pod: "pod-x" });
    const [, endpoint] = await bindPublisher();
    const subscription = await indexer.subscribe({ endpoint, replayEndpoint: "tcp://127.0.0.1:1" });
    closers.push(() => indexer.close());
    await until("connected", () => subscription.transport!.connected === 1);
    indexer.apply(frame([stored(one)], { seq: 3 }));
    indexer.scoreTokens(prompt, { model: "base" });
    const report = indexer.report();
    const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
    expect(report).toMatchObject({
      kvblock: version,
      node: process.version,
      platform: `${process.platform}-${process.arch}`,
      at: 5_000_000,
      options: {
        hash: { mode: "exact", algorithm: "sha256_cbor", noneHash: "32 bytes" },
        models: { base: { aliases: ["b"], hash: { mode: "auto", seeds: ["7"] } } },
        tokenizers: ["base"],
        tierWeights: { gpu: 1 },
        memoryLimitBytes: 2 ** 22,
        onDiagnostic: "function",
        clock: "function",
      },
      subscriptions: [
        { pod: "pod-x", model: null, endpoints: [], replay: false, transport: null },
        {
          pod: null,
          model: null,
          endpoints: [endpoint],
          replay: true,
          transport: { connected: 1, endpoints: [{ endpoint, state: "connected" }] },
        },
      ],
      diagnostics: [{ code: "joined-late" }],
      memory: { rss: expect.any(Number), arrayBuffers: expect.any(Number) },
    });
    expect(report.pods).toEqual(indexer.pods());
    expect(report.stats).toEqual(indexer.stats());
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  });

  it("is a snapshot: what the host or the indexer changes later does not change it", async () => {
    const weights: Record<string, number> = { gpu: 1 };
    const { indexer } = await indexerOf({ tierWeights: weights });
    const report = indexer.report();
    const before = JSON.stringify(report);
    weights["gpu"] = 0;
    indexer.apply(frame([stored(one)], { seq: 3 }));
    expect(JSON.stringify(report)).toBe(before);
  });

  it("holds no token ids, salts or hashes, and still comes after close()", async () => {
    const { indexer } = await indexerOf({ hash: { mode: "tokens" } });
    const tokens = one.tokens.map((_, i) => 777_000 + i);
    indexer.apply(
      frame([stored({ ...one, tokens }, 0, 6, { extra_keys: [["tenant-A"], null, null, null, null, null] })]),
    );
    indexer.scoreTokens([...tokens, 1], { model: "base", cacheSalt: "tenant-B" });
    await indexer.close();
    const text = JSON.stringify([indexer.report()]);
    for (const secret of ["7770", "tenant", one.hashes[0]!.toString()]) expect(text).not.toContain(secret);
  });
});
