/**
 * 10,000 tokens never seen before, to the scores of 64 full pods (16,384 blocks each): the whole read path.
 *
 * - `complete histories`: a lookup stops early, since what nobody has announced nobody holds.
 * - `incomplete histories`: all pods were joined late, so a later block may imply the earlier ones and, under the engines'
 *   own hashes, the whole prompt is looked up.
 *
 * `nobody holds it`: every prompt is new to all. `held`: one pod holds all of it, three others parts; never scored before.
 * `next turns`: the held ones again, each time with 320 more tokens that nobody holds, as a chat grows.
 */

import { keep } from "./run/measure.js";
import { MODES } from "./run/modes.js";
import type { Run, Unit } from "./run/question.js";
import { seeded, tokensOf } from "./run/random.js";
import { filledIndexer } from "./workload/prompts.js";
import { MODEL } from "./workload/stream.js";

const TOKENS = 10_000;
const HELD = 64;
const TURNS = 4;
const TURN_TOKENS = 320;
const COST: Unit = ["us", "lower"];

export async function run({ full, report, progress }: Run): Promise<void> {
  const random = seeded(3);
  for (const mode of MODES)
    for (const histories of ["complete", "incomplete"]) {
      progress(`${mode} mode, ${histories} histories`);
      const { indexer, prompts } = await filledIndexer(
        mode,
        histories === "incomplete",
        new Map([[TOKENS, HELD]]),
      );
      const score = (prompt: Uint32Array): number => {
        const started = performance.now();
        keep(indexer.scoreTokens(prompt, { model: MODEL }));
        return (performance.now() - started) * 1000;
      };
      const fresh = (count: number): number[] =>
        Array.from({ length: count }, () => score(tokensOf(random, TOKENS)));
      fresh(200); // warms up
      const by = { mode, histories };
      report("tokens to scores, held", by, COST, prompts.get(TOKENS)!.map(score));
      report("tokens to scores, next turns", by, COST, nextTurns(random, prompts.get(TOKENS)!).map(score));
      report("tokens to scores, nobody holds it", by, COST, fresh(full ? 3000 : 600));
      await indexer.close();
    }
}

/** All chats' second turns, then their third ones, … */
function nextTurns(random: () => number, chats: readonly Uint32Array[]): Uint32Array[] {
  let last = chats;
  return Array.from(
    { length: TURNS },
    () => (last = last.map((chat) => Uint32Array.of(...chat, ...tokensOf(random, TURN_TOKENS)))),
  ).flat();
}
