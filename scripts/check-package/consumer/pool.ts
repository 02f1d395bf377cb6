/**
 * Worker threads from the installed package: they start from its own files, answer, and are left open at the end.
 */
import assert from "node:assert/strict";
import { type Diagnostic, Indexer, type KvBlockError } from "kvblock";
import { createWorkerPool, type WorkerPool } from "kvblock/pool";
import { storedFrame } from "kvblock/testing";

const model = "some/model";
const vocab = Object.fromEntries(Array.from({ length: 94 }, (_, i) => [String.fromCharCode(33 + i), i]));
const source = {
  tokenizerJson: {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab, merges: [], unk_token: null },
  },
  chatTemplate: "{% for message in messages %}{{ message.content }}{% endfor %}",
};
const told: Diagnostic[] = [];
const pool: WorkerPool = await createWorkerPool({
  workers: 2,
  deadlineMs: 1000,
  onDiagnostic: (diagnostic) => told.push(diagnostic),
});
const tokenizer = await pool.tokenizer(source);
assert.deepEqual(told, []);
assert.equal(pool.stats().threads, 2);

const indexer = await Indexer.create({
  hash: { mode: "tokens" },
  tokenizers: { [model]: tokenizer },
  pool,
  onDiagnostic: null,
});
const text = "abcdefgh".repeat(2500);
const tokens = await indexer.tokenizePrompt(text, { model });
assert.equal(tokens.length, 20_000);
indexer.apply(storedFrame({ pod: "pod-1", model, tokens, blockSize: 16 }));
assert.deepEqual((await indexer.scorePrompt(text, { model })).toJSON(), { "pod-1": 1249 });
assert.deepEqual((await indexer.scoreChat([{ role: "user", content: text }], { model })).toJSON(), {
  "pod-1": 1249,
});

const loop = "{% for i in range(10000) %}";
const endless = loop.repeat(3) + "{% endfor %}".repeat(3);
await assert.rejects(
  async () => tokenizer.encodeChat([{ role: "user", content: "x" }], { chatTemplate: endless }),
  (error: KvBlockError) => error.code === "ERR_KVBLOCK_TIMEOUT",
);
await indexer.close();
// The pool stays open: its idle threads must not hold this process up.
setTimeout(() => process.exit(3), 20_000).unref();
