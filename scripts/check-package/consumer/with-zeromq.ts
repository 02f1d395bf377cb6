/**
 * `subscribe` where zeromq is installed: a socket opens and closes, and nothing keeps the process alive.
 */
import assert from "node:assert/strict";
import { Indexer } from "kvblock";

const indexer = await Indexer.create({ onDiagnostic: null });
const subscription = await indexer.subscribe({ endpoint: "tcp://127.0.0.1:0", bind: true });
assert.match(subscription.endpoints[0] ?? "", /^tcp:\/\/127\.0\.0\.1:[1-9]\d*$/);
await subscription.close();
await indexer.close();
