/**
 * Mutated payloads: bytes that no engine sends, made of those that engines do send.
 * @module
 */
import { readFileSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Indexer, type KvFrame } from "kvblock";
import { decodeEventBatch } from "kvblock/events";
import { chain, frame, stored } from "../indexer/frames.js";
import { seeded } from "../support/random.js";

const { rows } = JSON.parse(readFileSync(new URL("../vectors/events.json", import.meta.url), "utf8")) as {
  rows: { payload_hex: string }[];
};
const vectors = rows.map(({ payload_hex: hex }) => Uint8Array.from(Buffer.from(hex, "hex")));

/** Heads that promise more than there is, or begin what never ends. */
const ABSURD = [
  [0xdd, 0xff, 0xff, 0xff, 0xff],
  [0xdf, 0xff, 0xff, 0xff, 0xff],
  [0xdb, 0xff, 0xff, 0xff, 0xf0],
  [0xc6, 0x7f, 0xff, 0xff, 0xff],
  [0xc9, 0xff, 0xff, 0xff, 0xff, 1],
  [0xdc, 0xff, 0xff],
  Array.from({ length: 600 }, () => 0x91),
  Array.from({ length: 600 }, () => 0x81),
];

/** Without end, the same for the same seed. */
export function* mutations(seed: number): Generator<Uint8Array, never> {
  const random = seeded(seed);
  const upTo = (n: number): number => Math.floor(random() * (n + 1));
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  for (;;) {
    let bytes: Uint8Array = Uint8Array.from(pick(vectors));
    for (let changes = 1 + upTo(3); changes > 0; changes--) {
      const at = upTo(Math.max(0, bytes.length - 1));
      const dice = random();
      if (dice < 0.55) bytes[at] = upTo(255);
      else if (dice < 0.65) bytes = bytes.slice(0, at);
      else if (dice < 0.75) bytes = spliced(bytes, at, upTo(4), []);
      else if (dice < 0.85) bytes = spliced(bytes, at, upTo(4), [...pick(vectors).slice(upTo(40), 80)]);
      else bytes = spliced(bytes, at, upTo(1), pick(ABSURD));
    }
    yield bytes;
  }
}

function spliced(bytes: Uint8Array, at: number, less: number, more: readonly number[]): Uint8Array {
  return Uint8Array.from([...bytes.subarray(0, at), ...more, ...bytes.subarray(at + less)]);
}

export interface HostileCounts {
  payloads: number;
  /** Events that were read off them, events skipped, payloads broken off. */
  events: number;
  skipped: number;
  failed: number;
  /** Honest engines understood among them, and those that lost blocks to the memory limit, which they were told. */
  good: number;
  limited: number;
  slowestMs: number;
  /** Largest memory that an indexer counted, and what the process grew by. */
  usedBytes: number;
  grownBytes: number;
}

const MEMORY_LIMIT = 2 ** 20;
/** Processor time beyond any honest pause of the garbage collector, and far below a hang. */
const SLOWEST_MS = 1000;
const GROWTH_LIMIT = 256 * 2 ** 20;
const PODS = 4;
const CHECK_EVERY = 500;
const TURN_EVERY = 16;
const BLOCKS = 6;
const one = chain();
const prompt = [...one.tokens, 1];

/**
 * Decode and apply so many mutated payloads in every mode.
 * @throws what the library throws, and an Error if one takes too long, memory is not bounded, or a good frame among them
 *   is not applied
 */
export async function runHostile(
  payloads: number,
  seed: number,
  onProgress?: (counts: HostileCounts) => void,
): Promise<HostileCounts> {
  const { algorithm, noneHash } = one;
  const options = { memoryLimitBytes: MEMORY_LIMIT, onDiagnostic: null };
  const indexers = await Promise.all([
    Indexer.create({ ...options, hash: { mode: "exact", algorithm, noneHash } }),
    Indexer.create({ ...options, hash: { mode: "tokens" } }),
    Indexer.create(options),
  ]);
  const counts: HostileCounts = {
    payloads: 0,
    events: 0,
    skipped: 0,
    failed: 0,
    good: 0,
    limited: 0,
    slowestMs: 0,
    usedBytes: 0,
    grownBytes: 0,
  };
  const before = process.memoryUsage().rss;
  const source = mutations(seed);
  let good = 0;
  for (let n = 0; n < payloads; n++) {
    const { value: payload } = source.next();
    const started = process.cpuUsage();
    try {
      const { events, skipped, failed } = decodeEventBatch(payload);
      counts.events += events.length;
      counts.skipped += skipped.length;
      if (failed !== null) counts.failed++;
      // Of one pod each, and in sequence, so that whatever can be read is applied.
      const hostile: KvFrame = {
        topic: `kv@hostile-${n % PODS}@base`,
        seq: BigInt(Math.floor(n / PODS)),
        payload,
        receivedAt: n,
        // Any rank would be a publisher of its own, and take its room.
        dataParallelRank: 0,
      };
      for (const indexer of indexers) indexer.apply(hostile);
    } catch (cause) {
      throw new Error(`seed ${seed}, payload ${n}: ${Buffer.from(payload).toString("hex")}`, { cause });
    }
    counts.payloads++;
    // Of its own: what other processes do to a busy machine is no hang.
    const { user, system } = process.cpuUsage(started);
    counts.slowestMs = Math.max(counts.slowestMs, (user + system) / 1000);
    if (counts.slowestMs > SLOWEST_MS) throw new Error(`payload ${n} took ${counts.slowestMs} ms`);
    // Held frames are applied in later turns.
    if (n % TURN_EVERY === 0) await nextTurn();
    if (n % CHECK_EVERY !== 0) continue;
    for (const indexer of indexers) {
      checkGood(indexer, `good-${good}`, n, counts);
      const { usedBytes } = indexer.stats().memory;
      counts.usedBytes = Math.max(counts.usedBytes, usedBytes);
      if (usedBytes > MEMORY_LIMIT) throw new Error(`payload ${n}: ${usedBytes} bytes used`);
    }
    good++;
    counts.grownBytes = Math.max(counts.grownBytes, process.memoryUsage().rss - before);
    if (counts.grownBytes > GROWTH_LIMIT)
      throw new Error(`payload ${n}: grown by ${counts.grownBytes} bytes`);
    if (n % 20_000 === 0) onProgress?.(counts);
  }
  for (const indexer of indexers) await indexer.close();
  return counts;
}

/** An honest engine that starts now is understood as ever, save for what the memory limit takes, which it is told of. */
function checkGood(indexer: Indexer, pod: string, n: number, counts: HostileCounts): void {
  const { dropped, skips } = indexer.stats();
  for (let seq = 0; seq < 3; seq++)
    indexer.apply(frame([stored(one, 2 * seq, 2 * seq + 2)], { pod, seq, ts: 1e9 + n }));
  const blocks = indexer.scoreTokens(prompt, { model: "base" }).get(pod)?.blocks ?? 0;
  const known = indexer.pods().find((other) => other.pod === pod);
  const now = indexer.stats();
  if (blocks === BLOCKS) counts.good++;
  else if (known === undefined) {
    if (!(now.skips["too-many-publishers"]! > (skips["too-many-publishers"] ?? 0)))
      throw new Error(`payload ${n}: good frames came to nothing`);
    counts.limited++;
  } else if (!known.complete && now.dropped + memorySkips(now.skips) > dropped + memorySkips(skips))
    counts.limited++;
  // A lone root does not settle what reproduces nothing: then nothing is claimed.
  else if (known.mode !== "undecided" || blocks > 0)
    throw new Error(`payload ${n}: good frames gave ${blocks} of ${BLOCKS} blocks`);
  indexer.removePod(pod);
}

/** Events, or parts of them, that there was no memory for. */
const memorySkips = (skips: Readonly<Record<string, number>>): number => skips["no-memory"] ?? 0;
