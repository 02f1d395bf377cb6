/**
 * What may be said of a pod: one prediction against what its engine would reuse.
 * @module
 */
import type { PodScore } from "kvblock";
import type { CacheRequest } from "../../examples/engine/block-manager.js";
import type { Engine, Truth } from "./engine.js";
import { saysExtraKeys } from "./generate.js";
import type { Scenario } from "./scenario.js";
import type { Tally } from "./tally.js";

/** A law does not hold. */
export class Divergence extends Error {}

export interface Asked {
  readonly scenario: Scenario;
  readonly engine: Engine;
  readonly request: CacheRequest;
  readonly truth: Truth;
  /** What the indexer has settled on for this engine. */
  readonly keyed: "exact" | "tokens" | "undecided";
}

/** Hold a prediction against the truth. @throws Divergence */
export function judge(score: PodScore, asked: Asked, tally: Tally): void {
  const { engine, request, truth, keyed } = asked;
  const { ledger, spec } = engine;
  const { blocks, state, complete, implied, suspect, upperBound } = score;
  if (!canTell(asked)) {
    tally.unsettled++;
    return;
  }
  const { reusable, attended, believable } = truth;
  const fail = (law: string): never => {
    const told = `${blocks} blocks (${state}, complete ${complete}, implied ${implied}, suspect ${suspect})`;
    throw new Divergence(
      `${law}: told ${told}; reusable ${reusable}, in full attention ${attended}, with what was lost ${believable}`,
    );
  };
  if (spec.offload === null && spec.group === null && truth.peeked !== attended)
    fail(`the harness is wrong: the engine's peek says ${truth.peeked}`);
  if (state === "catching-up") {
    tally.catchingUp++;
    // Of frames that wait for their turn it is not told yet: what it says was so before them.
    if (keyed === "undecided" && blocks !== 0) fail("nothing is claimed before the hashing is known");
    if (engine.neverHeld(request, blocks) > 0) fail("what is claimed while catching up was there once");
    return;
  }
  tally.compared++;
  if (complete) {
    tally.equal++;
    if (state !== "live" || implied + suspect > 0) fail("a complete history is live and certain");
    // A clear makes the history whole again, save in slower tiers that were never heard of: then the match is too short.
    const least = spec.offload !== null && !ledger.isWhole ? 0 : reusable;
    const most = upperBound ? attended : reusable;
    if (blocks < least || blocks > most) fail("a complete history is what the engine reuses");
    return;
  }
  tally.incomplete++;
  tally.reusable += attended;
  tally.claimed += blocks;
  tally.implied += implied;
  if (state === "partial") tally.partial++;
  else if (state !== "live") fail("a state that nothing explains");
  if (blocks <= attended) return;
  // Law 6's implication, and law 5's adoption of orphans, may claim too much: rarely, which the tally says.
  // Else only what lost frames or events removed may be claimed, and only as doubtful.
  const missing = engine.missing(request, blocks);
  // Nobody can ask for a group before it is heard of: its first frames were lost with a restart, or before we came.
  if (engine.hasUnheardGroup && blocks <= believable) tally.overClaimed += missing;
  else if (blocks <= believable) {
    tally.ghosts += missing;
    if (missing > suspect + implied) fail("what may have been removed unseen is called suspect");
  } else if (asked.scenario.profile === "clock" && suspect >= missing) {
    // A restart with the clock set back is known after a few frames: until then all that was there is suspect.
    tally.ghosts += missing;
  } else if (implied > 0 || keyed === "tokens") tally.overClaimed += missing;
  else fail("never more than the engine and what lost frames removed");
}

/** Where the wire does not say what prompts carry beside their tokens, own keys cannot tell them apart. */
function canTell({ scenario, engine, keyed }: Asked): boolean {
  return keyed === "exact" || scenario.extras.length === 0 || saysExtraKeys(engine.spec.era);
}
