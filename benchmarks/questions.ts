/** Every benchmark: the file's name, and what it asks. */
export const questions: Readonly<Record<string, string>> = {
  "hash-chain":
    "block hashes by algorithm and block size, beside node:crypto, hash-wasm and native code on the same bytes",
  decode: "event batches by wire layout and block count, beside @msgpack/msgpack",
  "block-index": "the block index: add, evict, lookup with scoring, clear; by blocks, pods and holders",
  ingest:
    "recorded events to visible blocks: from memory, from a file and through a socket, exact and tokens mode",
  "ingest-shapes": "stores to visible blocks from memory, by pods and by blocks of an event",
  transport: "receiving a frame through a socket, whatever is made of it, beside libzmq",
  latency:
    "from an engine's send to the visible block, at a tenth, half and nine tenths of the highest rate; the host's event loop",
  score: "scoreTokens by prompt length, held and not held",
  "score-under-load": "scoring while events come at the highest rate, beside scoring when none come",
  "tokens-to-scores":
    "10,000 tokens never seen before, and a chat's next turns, against 64 full pods, with complete and incomplete histories",
  "event-loop":
    "how long tokenizing holds the host's event loop, inline and in a pool; prompt to scores whole",
  "gateway-load":
    "the mini-gateway with chats of 220 KB at rising rates, inline, with workers, and with scoring off",
  memory: "bytes per block and per (block, pod), garbage per event",
  tokenize:
    "prompts and chats to tokens: cold, unseen and again, beside the stock JavaScript and the Rust tokenizers; loading",
};

/** Asked by their names alone, not by `all`: they take long, and their figures stand on pages of their own. */
export const askedApart: readonly string[] = ["event-loop", "gateway-load"];
