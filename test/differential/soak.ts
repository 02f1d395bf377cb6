/**
 * `npm run soak`: the differential run, long. Prints a table and ends with code 1 if anything diverges.
 *
 *     npm run soak -- --seed 7            another beginning; or SEED=7
 *     npm run soak -- --part 2/3          every third of its runs, from the second: for several cores
 *     SOAK_EVENTS=100000 npm run soak     events per mode, default a million
 *     SOAK_PAYLOADS=0                     mutated payloads, default a million
 *     SOAK_STEPS=300                      steps of a run: short runs shrink well
 */
import { parseArgs } from "node:util";
import { scenarioOf } from "./generate.js";
import { runHostile } from "./hostile.js";
import { Divergence } from "./judge.js";
import { play } from "./play.js";
import { PROFILES, type Profile } from "./scenario.js";
import { describeScenario, shrink } from "./shrink.js";
import { addTallies, MODES, newTallies, overClaimRate, type Tallies } from "./tally.js";

const number = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise);
const { values } = parseArgs({
  options: { seed: { type: "string" }, part: { type: "string", default: "1/1" } },
});
const seed = values.seed === undefined ? number("SEED", 1) : Number(values.seed);
const [part, parts] = values.part.split("/").map(Number) as [number, number];
const events = number("SOAK_EVENTS", 1_000_000) / parts;
const payloads = number("SOAK_PAYLOADS", 1_000_000);
const steps = number("SOAK_STEPS", 300);
const MAX_DIVERGENCES = 5;
/** Law 6's implication may claim too much: of what is claimed, no more than this. */
const MOST_OVER_CLAIMED = 0.002;

const tallies = Object.fromEntries(PROFILES.map((profile) => [profile, newTallies()])) as Record<
  Profile,
  Tallies
>;
let divergences = 0;
const eventsSoFar = (): number => PROFILES.reduce((sum, profile) => sum + tallies[profile].exact.events, 0);

console.log(
  `seed ${seed}, part ${values.part}: ${Math.round(events)} events per mode, ${payloads} mutated payloads`,
);
let told = Date.now();
for (let run = part - 1; eventsSoFar() < events && divergences < MAX_DIVERGENCES; run += parts) {
  const profile = PROFILES[run % PROFILES.length]!;
  const scenario = scenarioOf(seed * 1_000_003 + run, profile, steps);
  try {
    addTallies(tallies[profile], await play(scenario));
  } catch (error) {
    if (!(error instanceof Divergence)) {
      console.error(`seed ${scenario.seed}, ${profile}: threw`);
      throw error;
    }
    divergences++;
    console.log(`\nseed ${scenario.seed}, ${profile}: ${error.message}\nshrinking`);
    const short = await shrink(scenario);
    console.log(`${short.reason}\n${describeScenario(short.scenario)}\n`);
  }
  if (Date.now() - told < 10_000) continue;
  told = Date.now();
  console.log(`${run + 1} runs, ${eventsSoFar()} of ${events} events per mode, ${divergences} divergences`);
}

let broken = 0;
for (const profile of PROFILES) {
  const rows = MODES.map((mode) => {
    const one = tallies[profile][mode];
    const overClaimed = overClaimRate(one);
    if (overClaimed > MOST_OVER_CLAIMED) broken++;
    const { runs, events, compared, equal, partial, lostFrames, restarts, clears, ghosts } = one;
    const seen =
      one.reusable === 0 ? "" : `${((100 * (one.claimed - one.overClaimed)) / one.reusable).toFixed(1)} %`;
    const over = `${(100 * overClaimed).toFixed(3)} %`;
    const numbers = { runs, events, lookups: compared, equal, partial, lostFrames, restarts, clears, ghosts };
    return [mode, { ...numbers, "seen if incomplete": seen, "over-claimed": over }] as const;
  });
  console.log(`\n${profile}`);
  console.table(Object.fromEntries(rows));
}

if (payloads > 0) {
  const hostile = await runHostile(payloads, seed, (counts) => {
    if (Date.now() - told < 10_000) return;
    told = Date.now();
    console.log(`${counts.payloads} of ${payloads} mutated payloads`);
  });
  console.log("\nmutated payloads");
  console.table(hostile);
}
console.log(`${divergences} divergences, ${broken} over-claim rates above ${100 * MOST_OVER_CLAIMED} %`);
process.exitCode = divergences + broken > 0 ? 1 : 0;
