/** What is told of frames that were missed names what would have got them back; and of two that publish as one, where. */
import type { Diagnostic, Indexer, KvFrame } from "kvblock";
import { describe, expect, it } from "vitest";
import { bindPublisher, closers, until } from "../events/sockets.js";
import { chain, cleared, exact, type FrameOf, frame, indexerOf, stored } from "./frames.js";

const one = chain();
const hash = exact(one);
const strange = { ...one, hashes: one.hashes.map((hash) => hash ^ 5n) };

/** Send frames through a real socket, followed with or without a replay endpoint. */
async function sent(
  { indexer, told }: { indexer: Indexer; told: Diagnostic[] },
  replayEndpoint: string | undefined,
  frames: readonly KvFrame[],
): Promise<Diagnostic[]> {
  const [publisher, endpoint] = await bindPublisher();
  const options = { endpoint, replayEndpoint, replayTimeoutMs: 50, reconnectIntervalMs: 20 };
  const subscription = await indexer.subscribe(options);
  closers.push(() => subscription.close());
  await until("connected", () => subscription.transport!.connected === 1);
  await new Promise((resolve) => setTimeout(resolve, 50));
  for (const { topic, seq, payload } of frames) {
    const number = new Uint8Array(8);
    new DataView(number.buffer).setBigUint64(0, seq);
    await publisher.send([topic, number, payload]);
  }
  await until("applied", () => indexer.stats().frames === frames.length);
  return told;
}

const find = (told: readonly Diagnostic[], code: Diagnostic["code"]): Diagnostic =>
  told.findLast((finding) => finding.code === code)!;

describe("missed frames, where no replay endpoint was given", () => {
  it("a gap: the fix names the option", async () => {
    const told = await sent(await indexerOf({ hash }), undefined, [
      frame([stored(one)]),
      frame([], { seq: 3 }),
    ]);
    expect(find(told, "sequence-gap")).toMatchObject({ evidence: { replay: false, lostFrames: 2 } });
    expect(find(told, "sequence-gap").fix).toContain("Give replayEndpoint to subscribe()");
  });

  it("a late start: the fix names the option", async () => {
    const told = await sent(await indexerOf({ hash }), undefined, [frame([stored(one)], { seq: 3 })]);
    expect(find(told, "joined-late")).toMatchObject({ severity: "info", evidence: { replay: false } });
    expect(find(told, "joined-late").fix).toContain("Give replayEndpoint to subscribe()");
  });

  it("orphans: the fix names the option", async () => {
    const event = stored(one, 2, 6);
    const told = await sent(await indexerOf({ hash: { mode: "tokens" } }), undefined, [frame([event])]);
    expect(find(told, "orphans-parked").fix).toContain("Give replayEndpoint to subscribe()");
  });
});

describe("missed frames, where the engine was asked in vain", () => {
  it("a gap: the fix names the engine's buffer", async () => {
    const told = await sent(await indexerOf({ hash }), "tcp://127.0.0.1:1", [
      frame([stored(one)]),
      frame([], { seq: 3 }),
    ]);
    expect(find(told, "sequence-gap")).toMatchObject({ evidence: { replay: true } });
    expect(find(told, "sequence-gap").fix).toContain("raise its buffer_steps");
    expect(find(told, "replay-incomplete")).toBeDefined();
  });
});

describe("missed frames that came from no socket", () => {
  it("are told without advice on sockets", async () => {
    const { indexer, told } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)], { seq: 3 }));
    indexer.apply(frame([], { seq: 5 }));
    expect(told.map(({ code, evidence }) => [code, evidence["replay"]])).toEqual([
      ["joined-late", null],
      ["sequence-gap", null],
    ]);
    expect(JSON.stringify(told)).not.toContain("replayEndpoint");
  });
});

describe("joined-late is graver where later blocks cannot be placed either", () => {
  it("in tokens mode", async () => {
    const { indexer, told } = await indexerOf({ hash: { mode: "tokens" } });
    indexer.apply(frame([stored(one)], { seq: 3 }));
    expect(told).toMatchObject([
      { code: "joined-late", severity: "warning", evidence: { firstSeq: "3", mode: "tokens" } },
    ]);
    expect(told[0]!.fix).toContain("PYTHONHASHSEED and --prefix-caching-hash-algo sha256_cbor");
  });

  it("in auto mode once no known seed reproduces the hashes: told a second time, and not a third", async () => {
    const { indexer, told } = await indexerOf();
    for (let seq = 3; seq < 60; seq++) indexer.apply(frame([stored(strange)], { seq }));
    await indexer.settled();
    expect(told.map(({ code, severity }) => [code, severity])).toEqual([
      ["joined-late", "info"],
      ["hash-not-reproduced", "info"],
      ["joined-late", "warning"],
    ]);
    expect(find(told, "joined-late").evidence).toMatchObject({ firstSeq: "3", mode: "tokens" });
    indexer.apply(frame([cleared], { seq: 60 }));
    await indexer.settled();
    expect(indexer.diagnose().map(({ code }) => code)).not.toContain("joined-late");
  });

  it("not in exact mode, nor of a publisher heard from its first frame", async () => {
    const late = await indexerOf();
    late.indexer.apply(frame([stored(one)], { seq: 3 }));
    expect(late.told).toMatchObject([{ code: "joined-late", severity: "info" }]);
    const first = await indexerOf();
    for (let seq = 0; seq < 60; seq++) first.indexer.apply(frame([stored(strange)], { seq }));
    expect(first.codes()).toEqual(["hash-not-reproduced"]);
  });

  it("also of a restarted engine whose first frames were missed", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    indexer.apply(frame([stored(one)], { seq: 0 }));
    indexer.apply(frame([stored(one)], { seq: 1 }));
    indexer.apply(frame([stored(one)], { seq: 1, ts: 5000 }));
    expect(codes()).toEqual(["engine-restarted", "joined-late"]);
    indexer.apply(frame([stored(one)], { seq: 0, ts: 6000 }));
    expect(indexer.diagnose().map(({ code }) => code)).toEqual(["engine-restarted"]);
  });
});

describe("orphans-parked", () => {
  it("is told again, as an error, when stores are given up", async () => {
    const { indexer, told } = await indexerOf({ hash: { mode: "tokens" } });
    for (let seq = 0; seq < 12; seq++) {
      const hashes = Array.from({ length: 2000 }, (_, i) => BigInt(1 + seq * 2000 + i));
      const wide = { ...one, blockSize: 64, hashes, tokens: hashes.flatMap(() => Array(64).fill(seq)) };
      indexer.apply(frame([stored(wide, 0, 2000, { parent_block_hash: BigInt(99_000 + seq) })], { seq }));
    }
    expect(told.map(({ code, severity }) => [code, severity])).toEqual([
      ["orphans-parked", "warning"],
      ["orphans-parked", "error"],
    ]);
    expect(told[1]!.message).toContain("were given up");
  });
});

describe("pod-published-twice", () => {
  const START = 1_700_000_000;
  const from = (source: string, of: FrameOf): KvFrame => ({ ...frame([stored(one)], of), source });

  it("is told at the third restart in a row that comes from the other endpoint, and names both", async () => {
    const { indexer, told, codes } = await indexerOf({ hash });
    for (let i = 0; i < 4; i++) {
      if (i === 2) expect(codes()).not.toContain("pod-published-twice");
      indexer.apply(from("tcp://a:5557", { seq: i, ts: START + 2 * i }));
      indexer.apply(from("tcp://a:5558", { seq: i, ts: START + 2 * i + 1 }));
    }
    const finding = find(told, "pod-published-twice");
    expect(finding).toMatchObject({
      pod: "pod-a",
      dataParallelRank: 0,
      evidence: { sources: ["tcp://a:5557", "tcp://a:5558"] },
    });
    expect(finding.message).toContain("come from tcp://a:5557 and tcp://a:5558 in turn");
    expect(finding.fix).toContain("no rank are taken for rank 0");
  });

  it("is not told of an engine that is followed at two addresses, nor of one that moves", async () => {
    const { indexer, codes } = await indexerOf({ hash });
    for (let life = 0; life < 4; life++)
      for (let seq = 0; seq < 5; seq++)
        for (const source of seq % 2 === 0 ? ["a", "b"] : ["b", "a"])
          indexer.apply(from(source, { seq, ts: START + 100 * life + seq }));
    for (const [life, source] of ["c", "d", "c", "d"].entries())
      indexer.apply(from(source, { seq: 0, ts: START + 1000 + 100 * life }));
    expect(codes()).toEqual(["engine-restarted"]);
  });
});
