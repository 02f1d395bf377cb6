/** Indexers that 64 pods have filled, and prompts that some of them hold. */
import type { Indexer } from "kvblock";
import { createIndexer, expectNoDoubts, type Mode } from "../run/modes.js";
import { between, seeded, tokensOf } from "../run/random.js";
import { Fleet } from "./fleet.js";

export const PODS = 64;
export const BLOCKS_PER_POD = 16_384;
/** Pods that hold a part of each prompt. */
const HOLDERS = 4;
const BLOCKS_PER_EVENT = 64;

export interface FilledIndexer {
  readonly indexer: Indexer;
  /** By length: prompts of which one pod holds everything, and three a half, a quarter and an eighth. */
  readonly prompts: ReadonlyMap<number, readonly Uint32Array[]>;
}

/**
 * @param joinedLate - the first frame of every pod has a number above 0: its history is incomplete
 * @param prompts - how many of each length, in tokens
 */
export async function filledIndexer(
  mode: Mode,
  joinedLate: boolean,
  prompts: ReadonlyMap<number, number>,
  blocksPerPod = BLOCKS_PER_POD,
): Promise<FilledIndexer> {
  const indexer = await createIndexer(mode);
  const fleet = await Fleet.create(PODS, joinedLate ? 1000n : 0n);
  let pod = 0;
  for (const payload of fleet.strangers(1, BLOCKS_PER_EVENT, PODS * blocksPerPod))
    indexer.apply(fleet.frame(pod++ % PODS, payload));
  const random = seeded(2);
  const held = new Map<number, Uint32Array[]>();
  for (const [tokens, count] of prompts) {
    held.set(tokens, []);
    for (let i = 0; i < count; i++) {
      // One token more: the last is always computed, and the blocks before it can all match.
      const prompt = tokensOf(random, tokens + 1);
      const first = between(random, 0, PODS - 1);
      for (let holder = 0; holder < HOLDERS; holder++) {
        const part = fleet.held(prompt.subarray(0, (tokens >> holder) + 1));
        indexer.apply(fleet.frame((first + holder * 13) % PODS, part));
      }
      held.get(tokens)!.push(prompt);
    }
  }
  await indexer.settled();
  expectNoDoubts(indexer);
  return { indexer, prompts: held };
}
