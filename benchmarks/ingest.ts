/**
 * How many blocks a second become visible from frames in memory, and what does scoring a whole prompt cost?
 *
 *     npm run bench -- ingest [--json]
 *
 * The stream is made with the real encoder: 8 pods, multi-turn chats under shared system prompts, oldest chats evicted.
 */
import { Indexer, type KvFrame } from "kvblock";
import { removedFrame, storedFrame } from "kvblock/testing";
import { measure, type Result, report, seeded } from "./measure.js";

const BLOCK_SIZE = 16;
const PODS = 8;
const CHATS_PER_POD = 60;
const TURN_TOKENS = 512;
const TURNS = 6;

const random = seeded(42);
const randomTokens = (count: number): number[] =>
  Array.from({ length: count }, () => Math.floor(random() * 152_000));
const systems = Array.from({ length: 4 }, () => randomTokens(2048));
const model = "model";
const frames: KvFrame[] = [];
const prompts: number[][] = [];
let blockOperations = 0;

for (let p = 0; p < PODS; p++) {
  const pod = `10.0.0.${p}`;
  let seq = 0;
  const live: number[][] = [];
  for (let c = 0; c < CHATS_PER_POD; c++) {
    let tokens = systems[c % systems.length]!;
    for (let turn = 0; turn < TURNS; turn++) {
      const fromBlock = turn === 0 && c < systems.length ? 0 : Math.floor(tokens.length / BLOCK_SIZE);
      tokens = [...tokens, ...randomTokens(TURN_TOKENS)];
      frames.push(
        storedFrame({ pod, model, tokens, blockSize: BLOCK_SIZE, seed: "0", seq: seq++, fromBlock, at: seq }),
      );
      blockOperations += tokens.length / BLOCK_SIZE - fromBlock;
    }
    live.push(tokens);
    if (live.length > 20) {
      const old = live.shift()!;
      const fromBlock = 2048 / BLOCK_SIZE;
      frames.push(
        removedFrame({
          pod,
          model,
          tokens: old,
          blockSize: BLOCK_SIZE,
          seed: "0",
          seq: seq++,
          fromBlock,
          at: seq,
        }),
      );
      blockOperations += old.length / BLOCK_SIZE - fromBlock;
    }
  }
  prompts.push(...live.slice(-2));
}

const results: Result[] = [];
for (const hash of [{ mode: "exact", algorithm: "sha256_cbor", seed: "0" }, { mode: "tokens" }] as const) {
  let indexer = await Indexer.create({ hash, onDiagnostic: null });
  const made: Indexer[] = [];
  for (let i = 0; i < 6; i++) made.push(await Indexer.create({ hash, onDiagnostic: null }));
  results.push(
    measure(
      `apply, ${hash.mode} mode`,
      "M block ops/s",
      (ms) => blockOperations / ms / 1000,
      () => {
        indexer = made.pop()!;
        for (const frame of frames) indexer.apply(frame);
      },
      5,
    ),
  );
  const perPrompt = (ms: number): number => (ms * 1000) / prompts.length;
  const scored = prompts.map((tokens) => Uint32Array.from([...tokens, 1]));
  results.push(
    measure(`score ${scored[0]!.length} tokens that a pod holds, ${hash.mode} mode`, "us", perPrompt, () => {
      for (const tokens of scored) indexer.scoreTokens(tokens, { model });
    }),
  );
  const unseen = scored.map((tokens) => tokens.map((id) => id + 1));
  results.push(
    measure(`score as many tokens that nobody holds, ${hash.mode} mode`, "us", perPrompt, () => {
      for (const tokens of unseen) indexer.scoreTokens(tokens, { model });
    }),
  );
}
report(results);
