/**
 * What does `scoreTokens` cost, by prompt length? 64 pods with 16,384 blocks each.
 *
 * - `cold`: nobody holds any of the prompt, and it was never scored before.
 * - `deep`: one pod holds all of it, three a half, a quarter and an eighth. Prompts take turns, so neither they nor their
 *   blocks were touched lately.
 */
import type { Indexer } from "kvblock";
import { sample, sampleTurns } from "./run/measure.js";
import { MODES } from "./run/modes.js";
import type { Run, Unit } from "./run/question.js";
import { seeded, tokensOf } from "./run/random.js";
import { filledIndexer } from "./workload/prompts.js";
import { MODEL } from "./workload/stream.js";

const K = 1024;
const LENGTHS = new Map([
  [K, 128],
  [8 * K, 32],
  [32 * K, 16],
  [128 * K, 8],
]);
const COST: Unit = ["us", "lower"];

export async function run({ full, report, progress }: Run): Promise<void> {
  for (const mode of MODES) {
    progress(`${mode} mode, filling`);
    const { indexer, prompts } = await filledIndexer(mode, false, LENGTHS);
    for (const [tokens, held] of prompts) {
      progress(`${mode} mode, ${tokens} tokens`);
      const by = { tokens, mode };
      const deep = scoring(indexer, held);
      if (indexer.scoreTokens(held[0]!, { model: MODEL }).best?.tokens !== tokens)
        throw new Error("a prompt that a pod holds does not match");
      report("score, deep", by, COST, inUs(sample(deep, { ms: full ? 5000 : 1200, min: 50 })));
      const cold = unseen(indexer, tokens);
      report("score, cold", by, COST, inUs(sample(cold, { ms: full ? 2000 : 400, min: 50, max: 5000 })));
    }
    await indexer.close();
  }
}

const inUs = (samples: readonly number[]): number[] => samples.map((ms) => ms * 1000);

/** The read path as it is sampled here: a call scores the next of the prompts. */
export function scoring(
  indexer: Pick<Indexer, "scoreTokens">,
  prompts: readonly Uint32Array[],
): (call: number) => unknown {
  return (call) => indexer.scoreTokens(prompts[call % prompts.length]!, { model: MODEL });
}

/** A call scores a prompt that is new: the bodies differ from call to call by their first token. */
function unseen(indexer: Pick<Indexer, "scoreTokens">, tokens: number): (call: number) => unknown {
  const prompt = tokensOf(seeded(tokens), tokens + 1);
  return (call) => {
    prompt[0] = call;
    return indexer.scoreTokens(prompt, { model: MODEL });
  };
}

/** Microseconds of several indexers on the same prompts, in turns: for comparing them within a run. */
export function scoreInTurns(
  indexers: readonly Pick<Indexer, "scoreTokens">[],
  prompts: readonly Uint32Array[],
  calls: number,
): number[][] {
  const bodies = indexers.map((indexer) => scoring(indexer, prompts));
  return sampleTurns(bodies, { ms: 0, min: calls, max: calls, warmUpMs: 50 }).map(inUs);
}
