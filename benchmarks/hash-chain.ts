/**
 * What does a block hash cost, by algorithm and block size, and what would it cost without the kernel? Everything of one
 * block size takes turns, so that what else the machine does befalls all alike: compare within a run.
 *
 * - `plain Node`: the same chain with the serialising in JavaScript and Node's quickest call for a digest.
 * - `hash-wasm`: the same with hash-wasm's XXH3-128, one call for each block.
 * - `native`: the same in C with OpenSSL, if there are `cc` and its headers: the one-shot `SHA256()`, and `EVP_Digest`
 *   with the algorithm fetched once.
 *
 * Ratios are of what takes turns, pair by pair.
 */
import { hash } from "node:crypto";
import { createXXHash128 } from "hash-wasm";
import { createBlockHasher, HASH_ALGORITHMS, loadHashing } from "kvblock/hash";
import { compileNativeChain } from "./baselines/native-chain.js";
import { cbor, type Digest, pickle, plainChain } from "./baselines/plain-chain.js";
import { sampleTurns } from "./run/measure.js";
import type { Run, Unit } from "./run/question.js";
import { seeded, tokensOf } from "./run/random.js";

const TOKENS = 16_384;
const NATIVE_ROUNDS = 15;
const COST: Unit = ["ns/block", "lower"];
const TIMES: Unit = ["times", "higher"];

interface Chain {
  readonly algorithm: string;
  readonly by: string;
  readonly body: () => Uint8Array;
}

export async function run({ full, report, progress }: Run): Promise<void> {
  const tokens = tokensOf(seeded(42), TOKENS);
  const digests = await digestCalls();
  const hashing = await loadHashing();
  const native = compileNativeChain();
  if ("skipped" in native) console.error(`  native: skipped, ${native.skipped}`);
  for (const blockSize of full ? [16, 32, 64, 128, 256] : [16, 64, 256]) {
    progress(`${blockSize} tokens a block`);
    const chains: Chain[] = [];
    for (const algorithm of HASH_ALGORITHMS) {
      const hasher = await createBlockHasher(
        algorithm === "sglang" ? { algorithm, blockSize } : { algorithm, blockSize, seed: "0" },
      );
      const own = hasher.hashTokens(tokens);
      chains.push({ algorithm, by: "kvblock", body: () => hasher.hashTokens(tokens) });
      for (const { by, family, digest } of digests) {
        if (algorithm !== family && algorithm !== `${family}_cbor`) continue;
        const serialise = algorithm === family ? pickle : cbor;
        const body = plainChain(serialise, digest, hasher.noneHash, tokens, blockSize);
        if (!Buffer.from(body()).equals(own)) throw new Error(`${by} gives other digests than ${algorithm}`);
        chains.push({ algorithm, by, body });
      }
    }
    const keyed = hashing.tokenChain({ blockSize });
    chains.push({ algorithm: "tokens mode", by: "kvblock", body: () => keyed.hashTokens(tokens) });

    const blocks = TOKENS / blockSize;
    const times = sampleTurns(
      chains.map(({ body }) => body),
      { ms: full ? 10_000 : 4000, min: 15 },
    );
    const ns = chains.map((chain, i) => ({ ...chain, ns: times[i]!.map((ms) => (ms * 1e6) / blocks) }));
    const nativeNs = new Map<string, { algorithm: string; by: string; ns: number[] }>();
    if (!("skipped" in native))
      for (let round = 0; round < NATIVE_ROUNDS; round++)
        for (const { algorithm, by, ns } of native.run(blockSize)) {
          const row = nativeNs.get(`${algorithm} ${by}`) ?? { algorithm, by, ns: [] };
          row.ns.push(ns);
          nativeNs.set(`${algorithm} ${by}`, row);
        }
    for (const { algorithm, by, ns: samples } of [...ns, ...nativeNs.values()])
      report("hash", { algorithm, by, "block size": blockSize }, COST, samples);
    for (const { algorithm, by, ns: theirs } of ns) {
      if (by === "kvblock") continue;
      const ours = ns.find((chain) => chain.algorithm === algorithm && chain.by === "kvblock")!.ns;
      const ratios = theirs.map((cost, i) => cost / ours[i]!);
      report("hash, theirs / ours", { algorithm, by, "block size": blockSize }, TIMES, ratios);
    }
  }
  if (!("skipped" in native)) native[Symbol.dispose]();
}

async function digestCalls(): Promise<{ by: string; family: "sha256" | "xxhash"; digest: Digest }[]> {
  const xxh3 = await createXXHash128(0, 0);
  return [
    { by: "plain Node, latin1", family: "sha256", digest: (input) => hash("sha256", input, "binary") },
    { by: "plain Node, buffer", family: "sha256", digest: (input) => hash("sha256", input, "buffer") },
    { by: "hash-wasm", family: "xxhash", digest: (input) => xxh3.init().update(input).digest("binary") },
  ];
}
