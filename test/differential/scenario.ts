/**
 * One differential run as data: the engines, the prompts, and the steps. A seed makes it; the shrinker takes steps away.
 * @module
 */
import type { HashAlgorithm } from "kvblock";
import type { CacheRequest } from "../../examples/engine/block-manager.js";
import type { WireEra } from "../../examples/engine/wire.js";
import type { ExtraKind } from "../indexer/traffic.js";

/**
 * What may go wrong between engine and indexer. `whole`: nothing but duplicates. `late`: the indexer comes when engines
 * have served for a while. `lossy`: frames are lost, late or come twice. `replay`: both, with replay endpoints of every
 * temper. `clock`: restarted engines whose clock was set back, with losses. `broken`: one event of a frame is unreadable.
 */
export const PROFILES = ["whole", "late", "lossy", "replay", "clock", "broken"] as const;
export type Profile = (typeof PROFILES)[number];

/** What a replay socket does: has all, has the last few batches, says no, does not answer; or there is none. */
export type ReplayTemper = "none" | "whole" | "truncated" | "refuses" | "silent";

/** What becomes of a step's frame. `late`: it comes with a later `arrive`; `broken`: its first event is unreadable. */
export type Fate = "passes" | "lost" | "twice" | "late" | "broken";

export interface EngineSpec {
  readonly pod: string;
  readonly rank: number;
  readonly blockSize: number;
  readonly numBlocks: number;
  readonly era: WireEra;
  readonly intHashes: boolean;
  /** Hashes extra keys tagged, as from v0.31. */
  readonly tagged: boolean;
  readonly replay: ReplayTemper;
  /** A CPU tier of so many blocks: written when a block is stored, or when the engine's own tier evicts it. */
  readonly offload: { readonly when: "stored" | "evicted"; readonly blocks: number } | null;
  /** A second attention group with a pool of its own. */
  readonly group: { readonly kind: "full_attention" | "sliding_window"; readonly numBlocks: number } | null;
}

export type Step = { readonly asks: readonly number[] } & (
  | ({
      readonly do: "start";
      readonly engine: number;
      readonly prompt: number;
      readonly part?: number;
    } & Sent)
  | ({ readonly do: "append"; readonly job: number; readonly tokens: readonly number[] } & Sent)
  | ({ readonly do: "finish"; readonly job: number } & Sent)
  | ({ readonly do: "clear"; readonly engine: number; readonly idle: boolean } & Sent)
  | { readonly do: "restart"; readonly engine: number; readonly clockSeconds: number }
  /** What was late arrives, in order or turned around. */
  | { readonly do: "arrive"; readonly engine: number; readonly reversed: boolean }
  /** A frame from before comes once more. */
  | { readonly do: "repeat"; readonly engine: number; readonly back: number }
  /** The indexers begin to listen. */
  | { readonly do: "join" }
);

interface Sent {
  readonly fate: Fate;
  /** The events wait for the engine's next frame. */
  readonly quiet: boolean;
}

export interface Scenario {
  readonly seed: number;
  readonly profile: Profile;
  readonly algorithm: HashAlgorithm;
  /** PYTHONHASHSEED; null: random. */
  readonly hashSeed: string | null;
  readonly hashBlockSize: number | null;
  readonly extras: readonly ExtraKind[];
  readonly drafting: boolean;
  readonly engines: readonly EngineSpec[];
  readonly prompts: readonly CacheRequest[];
  readonly steps: readonly Step[];
}
