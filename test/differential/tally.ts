/**
 * What a run has counted, by mode.
 * @module
 */
export const MODES = ["exact", "tokens", "auto"] as const;
export type Mode = (typeof MODES)[number];

/** Of one mode. */
export class Tally {
  runs = 0;
  /** Events of frames that reached the indexer as new. */
  events = 0;
  frames = 0;
  lostFrames = 0;
  restarts = 0;
  clears = 0;
  /** Predictions compared, and of them those that had to be equal, under complete history. */
  compared = 0;
  equal = 0;
  /** Predictions of a pod whose state is `partial`. */
  partial = 0;
  catchingUp = 0;
  /** Not compared: the newest frame was lost or under way, or nobody can tell on this wire. */
  unsettled = 0;
  /** Of incomplete histories, in blocks: what could be reused, what was claimed, and what too much by implication. */
  incomplete = 0;
  reusable = 0;
  claimed = 0;
  implied = 0;
  overClaimed = 0;
  /** Claimed because the frame or event that removed them was lost. */
  ghosts = 0;

  add(other: Tally): void {
    for (const name of Object.keys(this) as (keyof this)[])
      if (typeof this[name] === "number") (this[name] as number) += other[name as keyof Tally] as number;
  }
}

export type Tallies = Record<Mode, Tally>;

export const newTallies = (): Tallies => ({ exact: new Tally(), tokens: new Tally(), auto: new Tally() });

export function addTallies(to: Tallies, from: Tallies): void {
  for (const mode of MODES) to[mode].add(from[mode]);
}

/** Blocks that implication claimed and the engine did not hold, by all that was claimed. */
export function overClaimRate({ overClaimed, claimed }: Tally): number {
  return claimed === 0 ? 0 : overClaimed / claimed;
}
