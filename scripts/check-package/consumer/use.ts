/**
 * What a small router does with the package: events in, scores out, no engine and no optional package.
 */
import assert from "node:assert/strict";
import { Indexer, type KvBlockError, type PodScore, type PodScores } from "kvblock";
import { BlockIndex } from "kvblock/block-index";
import { decodeEventBatch, type KvEvent } from "kvblock/events";
import { type BlockHasher, createBlockHasher, toBlockKeys } from "kvblock/hash";
import { storedFrame } from "kvblock/testing";
import { createHuggingFaceTokenizer } from "kvblock/tokenize";

const model = "some/model";
const tokens: number[] = Array.from({ length: 64 }, (_, i) => i);

const hasher: BlockHasher = await createBlockHasher({ algorithm: "sha256_cbor", seed: "0", blockSize: 16 });
const digests: Uint8Array = hasher.hashTokens(tokens);
assert.equal(toBlockKeys(digests, hasher.algorithm).length, 2 * 4);

const frame = storedFrame({ pod: "pod-1", model, tokens, blockSize: 16 });
const events: readonly KvEvent[] = decodeEventBatch(frame.payload).events;
assert.equal(events[0]?.type, "BlockStored");

const indexer: Indexer = await Indexer.create({
  blockSize: 16,
  hash: { mode: "tokens" },
  onDiagnostic: null,
});
indexer.apply(frame);
await indexer.settled();
const scores: PodScores = indexer.scoreTokens(tokens, { model, pods: ["pod-1", "pod-2"] });
const best: PodScore | undefined = scores.best;
assert.equal(best?.pod, "pod-1");
assert.equal(best.blocks, 3); // of 4: the engine recomputes the last token
assert.deepEqual(scores.toJSON(), { "pod-1": 3 });
await indexer.close();

assert.equal(typeof BlockIndex, "function");
await assert.rejects(createHuggingFaceTokenizer("/nowhere/at/all"), (error: KvBlockError) => {
  return error.code === "ERR_KVBLOCK_TOKENIZE";
});
