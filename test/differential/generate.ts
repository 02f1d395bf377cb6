/**
 * Scenarios from seeds.
 * @module
 */
import { HASH_ALGORITHMS } from "kvblock/hash";
import { WIRE_ERAS, type WireEra } from "../../examples/engine/wire.js";
import { type ExtraKind, randomPrompt } from "../indexer/traffic.js";
import { seeded } from "../support/random.js";
import type { EngineSpec, Fate, Profile, ReplayTemper, Scenario, Step } from "./scenario.js";

/** Prompts of a scenario, asked for again and again. */
const PROMPTS = 48;

class Dice {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seeded(seed);
  }

  readonly next = (): number => this.#random();
  readonly chance = (share: number): boolean => this.#random() < share;
  readonly upTo = (n: number): number => Math.floor(this.#random() * (n + 1));
  readonly pick = <T>(from: readonly T[]): T => from[Math.floor(this.#random() * from.length)]!;
}

/** Layouts that say a medium, and those that say extra keys. */
export const hasMedium = (era: WireEra): boolean => era !== "A1" && era !== "A1r";
export const saysExtraKeys = (era: WireEra): boolean => WIRE_ERAS.indexOf(era) >= WIRE_ERAS.indexOf("A4");
const saysGroups = (era: WireEra): boolean => WIRE_ERAS.indexOf(era) >= WIRE_ERAS.indexOf("A6");
const tagsKeys = (era: WireEra): boolean => era === "M3" || era === "M4";

const hashesFiner = (era: WireEra): boolean => WIRE_ERAS.indexOf(era) >= WIRE_ERAS.indexOf("M2");

export function scenarioOf(seed: number, profile: Profile, steps = 300): Scenario {
  const dice = new Dice(seed * 31 + profile.length);
  const algorithm = dice.pick([...HASH_ALGORITHMS, "sha256", "sha256_cbor"] as const);
  const sglang = algorithm === "sglang";
  const finer = !sglang && algorithm !== "sha256_cbor_64bit" && dice.chance(0.1);
  const extras: readonly ExtraKind[] =
    sglang || finer || dice.chance(0.3)
      ? []
      : dice.pick([["lora"], ["salt"], ["lora", "salt", "image"]] as const);
  const hashSeed = dice.chance(0.3) ? null : dice.pick(["0", "vllm-none-hash", "42"]);
  const tagged = extras.length > 0 && algorithm !== "sha256_cbor_64bit" && dice.chance(0.3);
  return {
    seed,
    profile,
    algorithm,
    hashSeed,
    // Finer hashes than 4 tokens are not looked for.
    hashBlockSize: finer ? 4 : null,
    extras,
    drafting: dice.chance(0.1),
    engines: engines(dice, profile, { tagged, finer, sglang, extras: extras.length > 0 }),
    prompts: Array.from({ length: PROMPTS }, () => randomPrompt(dice.next, extras)),
    steps: stepsOf(dice, profile, steps),
  };
}

function engines(
  dice: Dice,
  profile: Profile,
  { tagged, finer, sglang, extras }: Record<"tagged" | "finer" | "sglang" | "extras", boolean>,
): EngineSpec[] {
  const hybrid = !sglang && !finer && dice.chance(0.15);
  const offloads = !sglang && !hybrid && dice.chance(0.25);
  const oldWires = !hybrid && dice.chance(0.3);
  const eras = WIRE_ERAS.filter((era) =>
    finer
      ? hashesFiner(era)
      : tagged
        ? tagsKeys(era)
        : hybrid
          ? saysGroups(era)
          : oldWires || saysExtraKeys(era),
  );
  const replays: readonly ReplayTemper[] = ["none", "whole", "whole", "truncated", "refuses", "silent"];
  return [
    ["pod-a", 0],
    ["pod-a", 1],
    ["pod-b", 0],
  ].map(([pod, rank]): EngineSpec => {
    const era = dice.pick(eras);
    return {
      pod: pod as string,
      rank: rank as number,
      blockSize: finer || dice.chance(0.2) ? 8 : 4,
      numBlocks: 14 + dice.upTo(20),
      era,
      intHashes: sglang || dice.chance(0.8),
      tagged,
      replay: profile === "replay" ? dice.pick(replays) : "none",
      offload:
        offloads && hasMedium(era)
          ? { when: dice.pick(["stored", "evicted"]), blocks: 8 + dice.upTo(24) }
          : null,
      group:
        hybrid && !extras
          ? { kind: dice.pick(["full_attention", "sliding_window"]), numBlocks: 14 + dice.upTo(20) }
          : null,
    };
  });
}

const FATES: Readonly<Record<Profile, readonly (readonly [Fate, number])[]>> = {
  whole: [["twice", 0.03]],
  late: [["twice", 0.03]],
  lossy: [
    ["lost", 0.03],
    ["late", 0.02],
    ["twice", 0.03],
  ],
  replay: [
    ["lost", 0.04],
    ["late", 0.01],
    ["twice", 0.03],
  ],
  clock: [["lost", 0.01]],
  broken: [["broken", 0.04]],
};

function stepsOf(dice: Dice, profile: Profile, count: number): Step[] {
  const fate = (): Fate => {
    let at = dice.next();
    for (const [name, share] of FATES[profile]) if ((at -= share) < 0) return name;
    return "passes";
  };
  const recent: number[] = [];
  const steps: Step[] = [];
  const joinsAt = profile === "late" || profile === "replay" ? dice.upTo(Math.floor(count / 3)) : 0;
  // Restarts and clears are rare enough that what came before them has consequences.
  const upheaval = dice.pick([0.004, 0.012, 0.03]);
  const hiccups = profile === "lossy" || profile === "replay" ? 0.03 : 0.01;
  for (let number = 0; steps.length < count; number++) {
    const sent = { fate: fate(), quiet: dice.chance(0.1) };
    const asks = [...recent.slice(-2), dice.upTo(PROMPTS - 1)];
    const engine = dice.upTo(2);
    if (number === joinsAt) steps.push({ do: "join", asks: [] });
    const at = dice.next();
    if (at < upheaval) {
      if (dice.chance(0.5)) steps.push({ do: "clear", engine, idle: dice.chance(0.8), ...sent, asks });
      else {
        const clockSeconds = profile === "clock" && dice.chance(0.7) ? -1000 : 60;
        steps.push({ do: "restart", engine, clockSeconds, asks });
      }
    } else if (at < upheaval + hiccups)
      steps.push(
        dice.chance(0.6)
          ? { do: "arrive", engine, reversed: dice.chance(0.5), asks }
          : { do: "repeat", engine, back: 1 + dice.upTo(20), asks },
      );
    else if (at < 0.42) {
      const prompt = recent.length > 0 && dice.chance(0.5) ? dice.pick(recent) : dice.upTo(PROMPTS - 1);
      recent.push(prompt);
      if (recent.length > 12) recent.shift();
      const part = dice.chance(0.3) ? { part: 1 + dice.upTo(12) } : {};
      steps.push({ do: "start", engine, prompt, ...part, ...sent, asks: [prompt, ...asks] });
    } else if (at < 0.66) {
      const tokens = Array.from({ length: dice.upTo(6) }, () => 9000 + dice.upTo(1));
      steps.push({ do: "append", job: dice.upTo(9), tokens, ...sent, asks });
    } else steps.push({ do: "finish", job: dice.upTo(9), ...sent, asks });
  }
  return steps;
}
