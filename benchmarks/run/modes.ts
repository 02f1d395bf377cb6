/** The two ways in which blocks are keyed. */
import { Indexer, type IndexerOptions } from "kvblock";
import { HASH_SEED } from "../workload/stream.js";

export type Mode = "exact" | "tokens";
export const MODES: readonly Mode[] = ["exact", "tokens"];

/** More than any benchmark fills, so that nothing is dropped. */
const MEMORY_LIMIT_BYTES = 8 * 2 ** 30;

export function createIndexer(mode: Mode, options: IndexerOptions = {}): Promise<Indexer> {
  const hash: IndexerOptions["hash"] =
    mode === "exact" ? { mode, algorithm: "sha256_cbor", seed: HASH_SEED } : { mode };
  return Indexer.create({ hash, onDiagnostic: null, memoryLimitBytes: MEMORY_LIMIT_BYTES, ...options });
}

/** What is measured must be the usual case: an indexer that doubts its events does other work. @throws Error if it does */
export function expectNoDoubts(indexer: Indexer): void {
  const doubts = indexer.diagnose().filter(({ code }) => code !== "joined-late");
  if (doubts.length > 0) throw new Error(`${doubts.length} diagnostics, the first: ${doubts[0]!.message}`);
}
