/** The comparison itself: two workloads, every peer, every measurement. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Peer } from "./peers.js";
import { agreementOf, type PeerFigures, type PeerResult, type Results } from "./results.js";
import { canPin, readMatches, runPeer } from "./run-peer.js";
import { LONG_PROMPTS, makeWorkload, STREAM, type WorkloadDescription } from "./workload.js";
import {
  encodeWorkload,
  framesOf,
  operationsOf,
  type QueryLabel,
  queriesOf,
  type Workload,
} from "./workload-file.js";

export interface CompareOptions {
  readonly peers: readonly Peer[];
  /** Each peer ingests so often; peers take turns, so that what else the machine does befalls all alike. */
  readonly rounds: number;
  /** For the workload files. */
  readonly folder: string;
  readonly progress: (what: string) => void;
}

/** Frames come at so large a share of what the slowest peer can take. */
const VISIBLE_LOAD = 0.5;

type Compared = Omit<Results, "machine" | "skipped">;

export async function compare({ peers, rounds, folder, progress }: CompareOptions): Promise<Compared> {
  progress("making the workloads");
  const stream = await written(STREAM, join(folder, "stream.bin"));
  const long = await written(LONG_PROMPTS, join(folder, "long.bin"));
  const operations = operationsOf(stream.workload);

  const samples = new Map(peers.map(({ id }) => [id, { oneCore: [], allCores: [], decode: [] } as Samples]));
  for (let round = 1; round <= rounds; round++)
    for (const peer of peers) {
      progress(`round ${round}: ${peer.name}`);
      const { oneCore, allCores, decode } = samples.get(peer.id)!;
      const pinned = { oneCore: true };
      const ingested = await runPeer(peer, stream.path, "ingest", "1", pinned);
      oneCore.push(operations / ingested.cpuSeconds[0]!);
      allCores.push(operations / (await runPeer(peer, stream.path, "ingest", "1")).seconds[0]!);
      const decoded = await runPeer(peer, stream.path, "decode", "1", pinned);
      decode.push(operations / decoded.cpuSeconds[0]!);
    }
  const slowest = Math.min(...[...samples.values()].map(({ allCores }) => at(allCores, 0.5)));
  const visibleRate = Math.round(slowest * VISIBLE_LOAD);

  const results: PeerResult[] = [];
  for (const peer of peers) {
    progress(`lookups and memory: ${peer.name}`);
    const matches = join(folder, `${peer.id}.matches`);
    const { nanoseconds } = await runPeer(peer, stream.path, "replay", matches);
    const agreement = agreementIn(stream.workload, readMatches(matches));
    const longRun = await runPeer(peer, long.path, "replay", matches);
    const longAgreement = agreementIn(long.workload, readMatches(matches));
    const { microseconds } = await runPeer(peer, stream.path, "visible", String(visibleRate));
    const { bytes } = await runPeer(peer, stream.path, "memory", "0");
    const structs = peer.id.startsWith("dynamo")
      ? (await runPeer(peer, stream.path, "structs", String(rounds), { oneCore: true })).cpuSeconds
      : undefined;
    const { oneCore, allCores, decode } = samples.get(peer.id)!;
    const labels = queriesOf(long.workload).map(({ label }) => label);
    const longP50 = (label: QueryLabel): number =>
      at(
        longRun.nanoseconds.filter((_, i) => labels[i] === label),
        0.5,
      ) / 1000;
    const figures: PeerFigures = {
      oneCore: at(oneCore, 0.5),
      allCores: at(allCores, 0.5),
      decode: at(decode, 0.5),
      ...(structs === undefined ? {} : { structs: operations / at(structs, 0.5) }),
      lookupP50: at(nanoseconds, 0.5) / 1000,
      lookupP99: at(nanoseconds, 0.99) / 1000,
      longNew: longP50("new"),
      longSystem: longP50("system"),
      longHeld: longP50("held"),
      visibleP50: at(microseconds, 0.5),
      visibleP99: at(microseconds, 0.99),
      bytesPerPair: bytes / stream.workload.residentPairs,
    };
    results.push({
      id: peer.id,
      name: peer.name,
      version: peer.version,
      figures: rounded(figures),
      agreement: {
        queries: agreement.queries + longAgreement.queries,
        equal: agreement.equal + longAgreement.equal,
        lastTokenOnly: agreement.lastTokenOnly + longAgreement.lastTokenOnly,
        different: agreement.different + longAgreement.different,
      },
    });
  }
  return {
    pinned: canPin(),
    workload: {
      pods: STREAM.pods,
      blocksPerPod: STREAM.blocksPerPod,
      frames: framesOf(stream.workload).length,
      operations,
      residentPairs: stream.workload.residentPairs,
      queries: queriesOf(stream.workload).length,
      longPods: LONG_PROMPTS.pods,
      longQueries: queriesOf(long.workload).length,
    },
    visibleRate,
    peers: results,
    llmDForgets: await forgotten(
      peers.find(({ id }) => id === "llm-d"),
      long,
      join(folder, "forgotten"),
    ),
  };
}

interface Samples {
  readonly oneCore: number[];
  readonly allCores: number[];
  readonly decode: number[];
}

interface Written {
  readonly path: string;
  readonly workload: Workload;
}

async function written(description: WorkloadDescription, path: string): Promise<Written> {
  const workload = await makeWorkload(description);
  writeFileSync(path, encodeWorkload(workload));
  return { path, workload };
}

function agreementIn(workload: Workload, matches: Uint32Array): PeerResult["agreement"] {
  const queries = queriesOf(workload);
  const lengths = queries.map(({ tokens }) => tokens.length);
  const expected = queries.map((query) => query.expected);
  return agreementOf(expected, lengths, workload.blockSize, matches);
}

/** llm-d keeps 10 pods of a block by default; it is compared with room for all. */
async function forgotten(
  llmD: Peer | undefined,
  long: Written,
  matches: string,
): Promise<Compared["llmDForgets"]> {
  if (llmD === undefined) return undefined;
  await runPeer(llmD, long.path, "replay", matches, { environment: { POD_CACHE_SIZE: "10" } });
  const { queries, different } = agreementIn(long.workload, readMatches(matches));
  return { queries, forgotten: different };
}

/** The value that so large a share of the samples do not exceed. */
function at(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/** Four digits say all that was measured. */
function rounded(figures: PeerFigures): PeerFigures {
  const digits = (value: unknown): unknown =>
    typeof value === "number" && Number.isFinite(value) ? Number(value.toPrecision(4)) : value;
  return Object.fromEntries(
    Object.entries(figures).map(([name, value]) => [name, digits(value)]),
  ) as unknown as PeerFigures;
}
