/**
 * What does a block hash cost, by algorithm, and what of it is the digest itself?
 *
 *     npm run bench -- hash-chain [--json]
 */
import { createHash } from "node:crypto";
import { createBlockHasher, HASH_ALGORITHMS, loadHashing } from "kvblock/hash";
import { measure, type Result, report, seeded } from "./measure.js";

const BLOCK_SIZE = 16;
const BLOCKS = 2048;

const random = seeded(42);
const tokens = Uint32Array.from({ length: BLOCKS * BLOCK_SIZE }, () => Math.floor(random() * 152_000));
const nanoseconds = (ms: number): number => (ms * 1e6) / BLOCKS;
const results: Result[] = [];

for (const algorithm of HASH_ALGORITHMS) {
  const hasher = await createBlockHasher({ algorithm, blockSize: BLOCK_SIZE, seed: "0" });
  results.push(
    measure(`${algorithm}, block size ${BLOCK_SIZE}`, "ns per block", nanoseconds, () =>
      hasher.hashTokens(tokens),
    ),
  );
}
const chain = (await loadHashing()).tokenChain({ blockSize: BLOCK_SIZE });
results.push(measure("tokens mode's own chain", "ns per block", nanoseconds, () => chain.hashTokens(tokens)));

// The floor of a plain Node call: one digest of as many bytes as a sha256_cbor block has, without building them.
const block = new Uint8Array(110).fill(7);
results.push(
  measure("createHash('sha256') of 110 bytes", "ns per block", nanoseconds, () => {
    for (let i = 0; i < BLOCKS; i++) createHash("sha256").update(block).digest();
  }),
);
report(results);
