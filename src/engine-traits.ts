/**
 * What is learned of one engine process from what it announces: how it hashes, and how its events say things. Another
 * process may be otherwise in all of it.
 * @module
 */
import type { Hashed, KeyClass } from "./key-classes.js";
import type { ModelSettings } from "./models.js";
import type { ExtraKeysEra } from "./types.js";

/** Exact mode, before it is verified: what speaks against the configured hashing. */
export interface Doubts {
  /** Telling roots that came out otherwise, by the low lane of their keys, and the number of frames when the first did. */
  readonly roots: Set<number>;
  since: number;
  /** What gives such a root its key. */
  reproducedBy: (Hashed & { readonly hashBlockSize: number }) | undefined;
  /** Lookups that matched nothing. */
  lookups: number;
  told: boolean;
}

export class EngineTraits {
  readonly settings: ModelSettings;

  mode: "exact" | "tokens" | "undecided";
  /** In exact mode: the engine's algorithm and seed. */
  hashed: Hashed | undefined = undefined;
  /** Exact mode: a block came out as computed. */
  verified = false;
  readonly doubts: Doubts = {
    roots: new Set(),
    since: 0,
    reproducedBy: undefined,
    lookups: 0,
    told: false,
  };
  /** Exact mode: adapters of which a root was looked at, and whether a path is hashed that is not known. */
  readonly adaptersSeen: Map<string, boolean> = new Map();
  /** Salts and adapters of its stores, a few: explanations try them where a prompt names none. A salt is never shown. */
  readonly saltsSeen: Set<string> = new Set();
  readonly lorasSeen: Set<string> = new Set();
  /** Undecided: plain roots that nothing reproduced, by the low lane of their keys. */
  readonly failedRoots: Set<number> = new Set();
  /** Undecided: roots with extra keys that came out otherwise: an adapter's path may be hashed, which no event says. */
  unprovenRoots = 0;
  /** Undecided: which algorithm and seed is tried next on a prompt. */
  nextCandidate = 0;

  /** Tokens per block: 0 until learned. */
  blockSize: number;
  /** The engine's own blocks were seen to have this size, first in this group. */
  blockSizeSeen = false;
  blockSizeGroup = 0;
  /** Single blocks of a smaller size than the configured one. */
  smallerBlocks = 0;
  /** Exact mode: tokens per hash, as a root showed; 0 until then, when it is taken for the block size. */
  hashBlockSize = 0;
  era: ExtraKeysEra = "offsets";
  loraAs: "name" | "id" = "name";
  tellsExtraKeys = true;
  /** What its blocks are keyed by; undefined until the mode and the block size are known. */
  keyClass: KeyClass | undefined = undefined;

  constructor(settings: ModelSettings) {
    this.settings = settings;
    this.mode = settings.hash.mode === "auto" ? "undecided" : settings.hash.mode;
    this.blockSize = settings.blockSize;
  }

  /** It is another process now. */
  protected forgetTraits(): void {
    Object.assign(this, new EngineTraits(this.settings));
  }

  /** A root's hash came out as announced, hashed so many tokens at a time. */
  learnHashBlockSize(tokens: number): void {
    this.hashBlockSize = tokens;
    this.keyClass = undefined;
  }
}
