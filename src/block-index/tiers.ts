/**
 * Device tiers: the wire's `medium` words, normalised to a few names, and what a block there is worth.
 *
 * Media: vLLM `GPU`, `CPU`, `STORAGE` (earlier offload docs `FS`, `OBJ`); SGLang `GPU`, `CPU_PINNED` (for a time
 * `CPU_TIER1`, `CPU_TIER2`), `DISK`, `EXTERNAL`. An absent medium is the engine's own memory, the GPU.
 * @module
 */

/** The engine's own tier: what AllBlocksCleared clears and what a block size is learned from. */
export const ENGINE_TIER = "gpu";

/** Default worth of one block by tier. gpu and cpu are llm-d's; slower tiers are worth less, by our judgement. */
export const DEFAULT_TIER_WEIGHTS: Readonly<Record<string, number>> = {
  gpu: 1,
  cpu: 0.8,
  disk: 0.6,
  storage: 0.5,
};

/** Worth of a block in a tier that nothing names. */
export const OTHER_TIER_WEIGHT = 0.5;

/** Media come from outside: past this many distinct ones, the rest share the name `other`. */
const MAX_TIERS = 32;

const NAMES: Readonly<Record<string, string>> = {
  CPU_PINNED: "cpu",
  CPU_TIER1: "cpu",
  CPU_TIER2: "cpu",
  FS: "disk",
  OBJ: "storage",
  EXTERNAL: "storage",
  REMOTE: "storage",
};

/** Interns tier names as small integers; 0 is the engine's own tier. */
export class Tiers {
  readonly names: string[] = [ENGINE_TIER];
  readonly #byMedium = new Map<string, number>();
  /** What was asked last: events of one medium follow each other. */
  #medium: string | undefined = undefined;
  #index = 0;

  /** Index of the tier that a wire medium means. */
  of(medium: string | null): number {
    if (medium === null) return 0;
    if (medium !== this.#medium) {
      this.#index = this.#find(medium);
      this.#medium = medium;
    }
    return this.#index;
  }

  #find(medium: string): number {
    const known = this.#byMedium.get(medium);
    if (known !== undefined) return known;
    const name = NAMES[medium.toUpperCase()] ?? medium.toLowerCase();
    let index = this.names.indexOf(name);
    if (index < 0) index = this.names.length < MAX_TIERS ? this.names.push(name) - 1 : this.#other();
    if (this.#byMedium.size < 4 * MAX_TIERS) this.#byMedium.set(medium, index);
    return index;
  }

  #other(): number {
    const index = this.names.indexOf("other");
    return index < 0 ? this.names.push("other") - 1 : index;
  }
}
