import { Indexer } from "kvblock";
import { describe, expect, it } from "vitest";
import { root } from "../../benchmarks/run/root.js";
import { ageMs, Cluster } from "../../benchmarks/wire/cluster.js";
import { loadStream } from "../../benchmarks/workload/load.js";
import { HASH_SEED } from "../../benchmarks/workload/stream.js";

const recording = `${root}benchmarks/streams/chats.kvrec`;

describe("a recording on real sockets", () => {
  it("is received whole, pass after pass, at any rate, with the times of its sending", async () => {
    const stream = await loadStream(recording, () => {});
    await using indexer = await Indexer.create({
      hash: { mode: "exact", algorithm: "sha256_cbor", seed: HASH_SEED },
      onDiagnostic: null,
    });
    await using cluster = await Cluster.follow(indexer, recording, "tsconfig.json");
    expect(cluster.framesPerPass).toBe(stream.frames.length + 4);

    const ages: number[] = [];
    // The second half of a pass in three times the time of the first.
    const lateP99 = await cluster.pace([0.125, 0.375], 1, (frame) => ages.push(ageMs(frame)));
    const paced = 2 * cluster.framesPerPass;
    expect(ages).toHaveLength(paced);
    expect(Math.min(...ages)).toBeGreaterThan(0);
    expect(Math.max(...ages)).toBeLessThan(60_000);
    expect(lateP99).toBeGreaterThanOrEqual(0);
    // Each pass ended with all caches reset.
    expect(indexer.pods().map(({ blocks }) => blocks["gpu"] ?? 0)).toEqual([0, 0, 0, 0]);

    let visible = 0;
    await new Promise<void>((resolve) =>
      cluster.saturate((_, received) => {
        visible = received;
        if (received === 3 * cluster.framesPerPass) resolve();
      }),
    );
    await cluster.stop();
    expect(visible).toBeGreaterThanOrEqual(3 * cluster.framesPerPass);
    const pods = indexer.pods();
    expect(pods.map(({ lostFrames, complete, state }) => [lostFrames, complete, state])).toEqual(
      pods.map(() => [0, true, "live"]),
    );
    expect(indexer.stats().frames).toBe(paced + visible);
  });
});
