/**
 * From a run that fails to a short one that fails alike.
 * @module
 */
import { Divergence } from "./judge.js";
import { play } from "./play.js";
import type { Scenario, Step } from "./scenario.js";

/** Take away ever smaller stretches of steps, as long as the run still diverges. */
export async function shrink(
  scenario: Scenario,
  tries = 600,
  run: (scenario: Scenario) => Promise<unknown> = play,
): Promise<{ scenario: Scenario; reason: string }> {
  let best = scenario;
  let reason = (await divergence(scenario, run)) ?? "";
  const attempt = async (steps: readonly Step[]): Promise<boolean> => {
    const shorter = { ...best, steps };
    const found = tries-- > 0 ? await divergence(shorter, run) : undefined;
    if (found === undefined) return false;
    best = shorter;
    reason = found;
    return true;
  };
  const failedAt = /^step (\d+)/.exec(reason);
  if (failedAt !== null) await attempt(best.steps.slice(0, Number(failedAt[1])));
  for (let length = best.steps.length >> 1; length >= 1; length >>= 1)
    for (let at = best.steps.length - length; at >= 0; at -= length)
      await attempt([...best.steps.slice(0, at), ...best.steps.slice(at + length)]);
  for (let at = best.steps.length - 1; at >= 0; at--) {
    const plain = { ...best.steps[at]!, asks: at === best.steps.length - 1 ? best.steps[at]!.asks : [] };
    const steps = best.steps.with(at, { ...plain, ...("quiet" in plain ? { quiet: false } : {}) } as Step);
    await attempt(steps);
  }
  return { scenario: best, reason };
}

async function divergence(
  scenario: Scenario,
  run: (scenario: Scenario) => Promise<unknown>,
): Promise<string | undefined> {
  try {
    await run(scenario);
    return undefined;
  } catch (error) {
    if (error instanceof Divergence) return error.message;
    throw error;
  }
}

/** A scenario for a person to read, and for a test to play. */
export function describeScenario({ prompts, steps, ...rest }: Scenario): string {
  const used = new Set(steps.flatMap((step) => [...step.asks, ...("prompt" in step ? [step.prompt] : [])]));
  return [
    JSON.stringify(rest),
    ...[...used].map((prompt) => `prompt ${prompt}: ${JSON.stringify(prompts[prompt])}`),
    ...steps.map((step, i) => `${i + 1}. ${JSON.stringify(step)}`),
  ].join("\n");
}
