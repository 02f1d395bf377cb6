/**
 * `subscribe` where zeromq is not installed: a plain TCP connection does without; what needs it gets a typed error that
 * names the fix; and nothing is left running.
 */
import assert from "node:assert/strict";
import { Indexer, type KvBlockError } from "kvblock";

const indexer = await Indexer.create({ onDiagnostic: null });
const plain = await indexer.subscribe({ endpoint: "tcp://127.0.0.1:5557" });
assert.equal(plain.transport?.endpoints[0]?.state, "connecting");
await assert.rejects(
  async () => indexer.subscribe({ endpoint: "tcp://127.0.0.1:5557", bind: true }),
  (error: KvBlockError) => {
    assert.equal(error.code, "ERR_KVBLOCK_SUBSCRIBE");
    assert.match(error.message, /npm (i|install) zeromq/);
    assert.notEqual(error.cause, undefined);
    return true;
  },
);
await indexer.close();
