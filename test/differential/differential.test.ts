/**
 * The differential run, short: random traffic on model engines behind wires of every temper, and what indexers of every
 * mode predict against what the engines would reuse. `npm run soak` is the same, long.
 */
import { describe, expect, it } from "vitest";
import { scenarioOf } from "./generate.js";
import { Divergence } from "./judge.js";
import { play } from "./play.js";
import { PROFILES, type Profile, type Scenario } from "./scenario.js";
import { describeScenario, shrink } from "./shrink.js";
import { addTallies, MODES, newTallies, overClaimRate, type Tallies } from "./tally.js";

const RUNS = 4;

/** Play runs of a profile; the first that diverges is told in short. */
async function playAll(profile: Profile): Promise<Tallies> {
  const sum = newTallies();
  for (let seed = 1; seed <= RUNS; seed++) {
    const scenario = scenarioOf(seed, profile);
    try {
      addTallies(sum, await play(scenario));
    } catch (error) {
      if (!(error instanceof Divergence)) throw error;
      const short = await shrink(scenario, 150);
      expect.fail(`${profile}, seed ${seed}: ${short.reason}\n${describeScenario(short.scenario)}`);
    }
  }
  return sum;
}

describe("predictions against what model engines reuse", () => {
  it.each(PROFILES)(
    "%s: equal under complete history, else never more than lost frames explain",
    async (profile) => {
      const tallies = await playAll(profile);
      for (const mode of MODES) {
        const tally = tallies[mode];
        // None of the comparisons may be idle.
        expect(tally.events).toBeGreaterThan(700);
        expect(tally.equal).toBeGreaterThan(1000);
        expect(tally.incomplete > 1000).toBe(profile !== "whole");
        if (profile === "lossy" || profile === "replay" || profile === "clock") {
          expect(tally.lostFrames).toBeGreaterThan(2);
          expect(tally.partial).toBeGreaterThan(500);
        }
        expect(overClaimRate(tally)).toBeLessThanOrEqual(0.002);
      }
      if (profile !== "late") return;
      // Implication is what a late joiner in exact mode sees by.
      const seen = (tally: Tallies["exact"]): number => (tally.claimed - tally.overClaimed) / tally.reusable;
      expect(seen(tallies.exact)).toBeGreaterThan(0.7);
      expect(seen(tallies.exact)).toBeGreaterThan(seen(tallies.tokens));
    },
  );

  it("a replay endpoint that has everything makes every history whole again", async () => {
    const tally = newTallies();
    for (let seed = 1; seed <= 3; seed++) {
      const scenario = scenarioOf(seed, "replay");
      const engines = scenario.engines.map((engine) => ({
        ...engine,
        replay: "whole" as const,
        offload: null,
      }));
      addTallies(tally, await play({ ...scenario, engines }));
    }
    for (const mode of MODES) {
      expect(tally[mode].lostFrames).toBeGreaterThan(5);
      expect(tally[mode].incomplete).toBeLessThan(tally[mode].compared / 50);
    }
  });
});

describe("shrinking", () => {
  it("leaves the steps that a failure needs", async () => {
    const scenario = scenarioOf(4, "lossy", 600);
    const clears = (steps: Scenario["steps"]): number => steps.filter((step) => step.do === "clear").length;
    const run = async ({ steps }: Scenario): Promise<void> => {
      if (clears(steps) >= 2) throw new Divergence(`step ${steps.length}: a second clear`);
    };
    expect(clears(scenario.steps)).toBeGreaterThan(1);
    const short = await shrink(scenario, 600, run);
    expect(short.scenario.steps.map((step) => step.do)).toEqual(["clear", "clear"]);
    expect(short.reason).toBe("step 2: a second clear");
    expect(describeScenario(short.scenario)).toContain('"seed":4');
  });
});
